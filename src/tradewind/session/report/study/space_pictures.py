"""Pictures of a study's settings: parallel coordinates, and which hyper-parameters matter."""

from __future__ import annotations

import math

from tradewind.data.trial_records import COMPLETED
from tradewind.session.report.study.choice import better_sign, chosen, fenced
from tradewind.session.report.study.data import Axis, StudyData
from tradewind.session.report.study.drawing import (
    BLUE,
    INK,
    LABEL,
    LOST,
    WIDTH,
    Scale,
    Sheet,
    fitted,
    number,
)
from tradewind.session.report.study.words import many, trial_words

MOST_LINES, MOST_AXES = 200, 12
"""Of what more would hide more than it shows."""


def parallel(data: StudyData) -> tuple[str, str]:
    """An SVG of parallel coordinates, a line for each completed trial, and what of it is left out."""
    better = better_sign(data)
    known = [
        each for each in data.trials if each.point and (each.state != COMPLETED or each.final is not None)
    ]
    done = [each for each in known if each.state == COMPLETED]
    drawn = chosen(done, MOST_LINES, better, data.best)
    rest = chosen(
        [each for each in known if each.state != COMPLETED], max(MOST_LINES - len(drawn), 40), better, None
    )
    order = list(range(len(data.axes)))
    if data.importance is not None:
        shares = data.importance.shares
        order.sort(key=lambda at: -shares[at].mean)
    order = sorted(order[:MOST_AXES])
    ends = [each.final for each in drawn if each.final is not None]
    fence, beyond = fenced(ends, better)
    finals = fitted([value for value in ends if better * value <= fence], 300, 52)
    places = [60 + (WIDTH - 130) * k / max(len(order), 1) for k in range(len(order) + 1)]
    room = int((places[1] - places[0] if order else WIDTH) / 6.8)
    sheet = Sheet(366, f"Settings and objectives of {len(drawn)} completed trials")
    ranks = {
        each.number: k for k, each in enumerate(sorted(drawn, key=lambda each: better * (each.final or 0)))
    }
    for each in [*rest, *sorted(drawn, key=lambda each: -ranks[each.number])]:
        final = [None if each.final is None else finals.at(each.final)] if each.state == COMPLETED else [None]
        ys = [_height(each.point[at]) for at in order] + final
        color, width, opacity = "#CBD2DA", 1.0, 0.6
        if each.number in ranks:
            color = _shade(ranks[each.number] / max(len(ranks) - 1, 1))
            width, opacity = (3.2, 1.0) if each.number == data.best else (1.3, 0.8)
        piece: list[tuple[float, float]] = []
        # A line is interrupted where a parameter has no place.
        for place, height in [*zip(places, ys, strict=True), (0.0, None)]:
            if height is not None:
                piece.append((place, height))
            elif piece:
                told = trial_words(each, data.best)
                sheet.line(piece, color, width if len(piece) > 1 else width + 3, opacity=opacity, told=told)
                piece = []
    for k, (place, at) in enumerate(zip(places, order, strict=False)):
        _upright(sheet, place, data.axes[at], room, k % 2 if room < 14 else 0)
    last = places[-1]
    sheet.line([(last, 52), (last, 300)], LABEL, 1.4)
    for value in finals.ticks():
        sheet.line([(last, finals.at(value)), (last + 4, finals.at(value))], LABEL, 1)
        sheet.text(last + 7, finals.at(value) + 4, number(value), size=11)
    sheet.text(last, 34, "objective", anchor="middle", color=INK)
    keys = [
        ("line", _shade(0.0), "the best"),
        ("line", _shade(0.5), "middle"),
        ("line", _shade(1.0), "worst"),
    ]
    sheet.keys(356, [*keys, *([("line", "#CBD2DA", "not completed")] if rest else [])])
    words = []
    if len(drawn) < len(done):
        words.append(
            f"{len(drawn)} of {len(done):,} completed trials are drawn: the best, and some of every rank"
        )
    if beyond:
        words.append(f"drawn at the edge: {many(beyond, 'objective')} far worse than the others")
    waiting = len(known) - len(done)
    if len(rest) < waiting:
        words.append(f"{len(rest)} of {waiting:,} that are not completed are drawn")
    if len(order) < len(data.axes):
        which = "those that matter most" if data.importance is not None else "the first ones"
        words.append(f"{len(order)} of {len(data.axes)} hyper-parameters are drawn, {which}")
    return str(sheet), "; ".join(words)


def importances(data: StudyData) -> str:
    """An SVG: a bar for each hyper-parameter's share, with its interval, and what chance alone would get."""
    found = data.importance
    assert found is not None
    rows = sorted(
        zip((each.name for each in data.axes), found.shares, strict=True), key=lambda row: -row[1].mean
    )
    tall = 24.0
    sheet = Sheet(66 + tall * len(rows), "Shares of the variance by hyper-parameter")
    most = max([found.chance, *(share.high for _, share in rows)])
    x = Scale(0.0, min(max(100 * most * 1.05, 1.0), 100.0), 220, WIDTH - 70)
    bottom = 10 + tall * len(rows)
    for value in x.ticks(8):
        sheet.line([(x.at(value), 6), (x.at(value), bottom)], "#E5E7EB", 0.8)
        sheet.text(x.at(value), bottom + 17, f"{number(value)} %", anchor="middle")
    for at, (name, share) in enumerate(rows):
        top = 10 + tall * at
        told = f"{name}: {share.mean:.1%}, {share.low:.1%} to {share.high:.1%}"
        sure = share.low > found.chance
        sheet.text(210, top + 15, name, anchor="end", color=INK, most=30)
        sheet.bar(x.start, top + 4, x.at(100 * share.mean) - x.start, 14, BLUE if sure else "#B9C6D3", told)
        low, high = x.at(100 * share.low), x.at(100 * share.high)
        sheet.line([(low, top + 11), (high, top + 11)], INK, 1.4, told=told)
        for end in (low, high):
            sheet.line([(end, top + 7), (end, top + 15)], INK, 1.4)
        sheet.text(high + 8, top + 15, f"{share.mean:.0%}", size=11)
    luck = x.at(100 * found.chance)
    sheet.line([(luck, 4), (luck, bottom)], LOST, 1.1, dash="5 3", told="what random numbers may get")
    sheet.line([(x.start, bottom), (x.end, bottom)], "#9AA3AF", 1)
    keys = [("bar", BLUE, "beyond chance"), ("bar", "#B9C6D3", "not told from chance")]
    sheet.keys(bottom + 44, [*keys, ("dash", LOST, "what random numbers may get")])
    return str(sheet)


def _shade(share: float) -> str:
    """From blue, for the best, to a pale amber, for the worst."""
    share = min(max(share, 0.0), 1.0)
    stops = ((0x00, 0x5A, 0x9C), (0x6B, 0xAE, 0xC6), (0xF0, 0xC9, 0x7D))
    one, other = (stops[0], stops[1]) if share < 0.5 else (stops[1], stops[2])
    part = 2 * share if share < 0.5 else 2 * share - 1
    return "#" + "".join(f"{round(a + part * (b - a)):02X}" for a, b in zip(one, other, strict=True))


def _height(unit: float | None) -> float | None:
    return None if unit is None else 300 - 248 * unit


def _upright(sheet: Sheet, place: float, axis: Axis, room: int, lower: int) -> None:
    """An axis of the parallel coordinates, with its values."""
    sheet.line([(place, 52), (place, 300)], LABEL, 1.4)
    if axis.labels:
        each = max(1, math.ceil(len(axis.labels) / 14))
        ticks = [
            ((k + 0.5) / len(axis.labels), label) for k, label in enumerate(axis.labels) if k % each == 0
        ]
    else:
        scale = Scale(axis.low, axis.high, 0.0, 1.0, axis.log)
        values = (
            [v for v in scale.ticks() if not axis.whole or v == round(v)]
            if axis.high > axis.low
            else [axis.low]
        )
        ticks = [(scale.at(value), number(value)) for value in values]
    for unit, words in ticks:
        at = 300 - 248 * unit
        sheet.line([(place, at), (place + 4, at)], LABEL, 1)
        sheet.text(place + 7, at + 4, words, size=11, most=max(room - 2, 4), halo=True)
    sheet.text(
        place,
        34 - 14 * lower,
        axis.name,
        anchor="middle",
        color=INK,
        most=max(room * (2 if room < 14 else 1), 6),
    )
    under = "log" if axis.log else ""
    if axis.condition:
        under = f"{under}, if {axis.condition}" if under else f"if {axis.condition}"
    if under:
        sheet.text(place, 318, under, anchor="middle", size=10, most=max(room + 1, 5))
