"""Pictures of a search: cost against time of every candidate, and the probes in their order."""

from __future__ import annotations

from tradewind.market.measured_runs import DONE
from tradewind.session import durations
from tradewind.session.advise_outlook import Row, money
from tradewind.session.report.advice.reading import AdviceData, ProbeLine
from tradewind.session.report.study.drawing import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    INK,
    LABEL,
    LOST,
    RED,
    SKY,
    WIDTH,
    Scale,
    Sheet,
    fitted,
    number,
)

_GRID = "#E5E7EB"
MOST_DOTS, MOST_NAMES, MOST_BARS = 400, 14, 60
_STATES = {"done": SKY, "failed": LOST, "timed_out": AMBER, "stopped": RED, "interrupted": GREY}
_ENDS = {
    "done": "whole",
    "failed": "failed",
    "timed_out": "timed out",
    "stopped": "stopped early",
    "interrupted": "interrupted",
}


def scatter(data: AdviceData) -> tuple[str, str]:
    """An SVG of cost against run time with the frontier of what was measured; what is left out, in words."""
    rows = _drawn(data)
    sheet = Sheet(408, f"Cost of a run against its time, {len(rows)} candidates")
    x = fitted([row.seconds for row in rows], 64, WIDTH - 16)
    y = fitted([row.dollars for row in rows], 330, 20)
    sheet.axes(x, y, "seconds of a run", "US dollars of a run")
    if data.deadline is not None and x.low < data.deadline < x.high:
        sheet.line([(x.at(data.deadline), y.end), (x.at(data.deadline), y.start)], RED, 1.2, dash="5 4")
    edge = frontier(rows)
    if edge:
        corners: list[tuple[float, float]] = []
        for row in edge:
            place = x.at(row.seconds), y.at(row.dollars)
            if corners:
                corners.append((place[0], corners[-1][1]))
            corners.append(place)
        sheet.line(corners, BLUE, 1.6, opacity=0.7)
    for row in sorted(rows, key=lambda row: (_measured(row), row.recommended)):
        _candidate(sheet, row, x, y, data)
    named = [row for row in rows if row.recommended or row.current or _measured(row)][:MOST_NAMES]
    for row in named:
        right = x.at(row.seconds) > WIDTH - 170
        sheet.text(
            x.at(row.seconds) + (-8 if right else 8),
            y.at(row.dollars) - 7,
            row.name,
            anchor="end" if right else "start",
            size=11,
            color=INK,
            halo=True,
            most=24,
        )
    keys = [("dot", GREEN, "recommended")] if any(row.recommended for row in rows) else []
    keys += [("dot", SKY, "measured"), ("ring", GREY, "believed")]
    keys += [("cross", LOST, "failed or cut off, and believed")] if any(map(_lost, rows)) else []
    keys += [("line", BLUE, "frontier")] if edge else []
    keys += [("dash", RED, "deadline")] if data.deadline is not None else []
    sheet.keys(388, keys)
    left = len(data.rows) - len(rows)
    return str(sheet), f"{left} more candidates, which were not probed, are not drawn" if left else ""


def course(data: AdviceData) -> tuple[str, str]:
    """An SVG of what each probe came to in its order, with the best so far; what is left out, in words."""
    probes = data.probes[-MOST_BARS:]
    sheet = Sheet(330, f"{len(probes)} probes in their order")
    values = [_value(each, data) for each in probes]
    bests = [each.best for each in probes if each.best is not None]
    y = Scale(0.0, 1.05 * max([*values, *bests], default=1.0) or 1.0, 250, 20)
    x = Scale(0.0, float(len(probes)), 64, WIDTH - 16)
    unit = "US dollars" if data.minimize == "cost" else "seconds"
    for tick in y.ticks():
        sheet.line([(x.start, y.at(tick)), (x.end, y.at(tick))], _GRID, 0.8)
        sheet.text(x.start - 7, y.at(tick) + 4, number(tick), anchor="end")
    sheet.text((x.start + x.end) / 2, y.start + 35, "probes in their order", anchor="middle", color=LABEL)
    sheet.text(x.start - 48, (y.start + y.end) / 2, unit, anchor="middle", color=LABEL, turned=True)
    width = (x.end - x.start) / max(len(probes), 1)
    for place, (each, value) in enumerate(zip(probes, values, strict=True)):
        top = y.at(value)
        sheet.bar(
            x.at(place) + 0.15 * width,
            top,
            0.7 * width,
            y.start - top,
            _STATES[each.status],
            probe_words(each),
        )
        if len(probes) <= 30:
            sheet.text(x.at(place + 0.5), y.start + 17, str(each.number), anchor="middle")
    line: list[tuple[float, float]] = []
    for place, each in enumerate(probes):
        if each.best is not None:
            line += [(x.at(place), y.at(each.best)), (x.at(place + 1), y.at(each.best))]
    sheet.line(line, BLUE, 2.0)
    there = [status for status in _STATES if any(each.status == status for each in probes)]
    sheet.keys(
        312, [("line", BLUE, "the best so far"), *(("bar", _STATES[each], _ENDS[each]) for each in there)]
    )
    left = len(data.probes) - len(probes)
    return str(sheet), f"the first {left} are not drawn" if left else ""


def frontier(rows: list[Row]) -> list[Row]:
    """Of the candidates that were measured whole, those that none beats in time and in dollars; by time."""
    found: list[Row] = []
    for row in sorted(filter(_measured, rows), key=lambda row: (row.seconds, row.dollars)):
        if not found or row.dollars < found[-1].dollars:
            found.append(row)
    return found


def probe_words(probe: ProbeLine) -> str:
    """A probe in one line."""
    how = _ENDS[probe.status]
    took = f"{durations.text(probe.seconds)}, {money(probe.dollars)}"
    return f"probe {probe.number}, {probe.name}: {how}, {took}"


def _drawn(data: AdviceData) -> list[Row]:
    known = [row for row in data.rows if row.status or row.current or row.recommended]
    return known + [row for row in data.rows if row not in known][: max(0, MOST_DOTS - len(known))]


def _candidate(sheet: Sheet, row: Row, x: Scale, y: Scale, data: AdviceData) -> None:
    place = x.at(row.seconds), y.at(row.dollars)
    span = f"{number(row.low)} to {number(row.high)}"
    told = f"{row.name}: {durations.text(row.seconds)}, {money(row.dollars)}, objective within {span}"
    told += f", works with probability {row.works:.2f}" + (" (runs now)" if row.current else "")
    if not _measured(row) and not _lost(row):
        _whisker(sheet, row, x, y, data)
    if _lost(row):
        sheet.cross(*place, 4, LOST, told=told)
    elif row.recommended:
        sheet.dot(*place, 6, GREEN, told=told)
    else:
        sheet.dot(*place, 4, SKY if _measured(row) else GREY, filled=_measured(row), told=told)
    if row.current:
        sheet.dot(*place, 9, INK, filled=False, opacity=0.35)


def _whisker(sheet: Sheet, row: Row, x: Scale, y: Scale, data: AdviceData) -> None:
    if data.minimize == "cost":
        ends = [(x.at(row.seconds), y.at(row.low)), (x.at(row.seconds), y.at(row.high))]
    else:
        ends = [(x.at(row.low), y.at(row.dollars)), (x.at(row.high), y.at(row.dollars))]
    sheet.line(ends, GREY, 1, opacity=0.45)


def _value(probe: ProbeLine, data: AdviceData) -> float:
    return probe.dollars if data.minimize == "cost" else probe.seconds


def _measured(row: Row) -> bool:
    return row.status in (DONE, "past")


def _lost(row: Row) -> bool:
    return row.status not in ("", "past", DONE)
