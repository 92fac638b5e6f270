"""Pictures of an endpoint over the market's time: its latency, its load and machines, its dollars."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tradewind.session.report.data import LeaseBar
from tradewind.session.report.endpoint.data import EndpointData, Fleet, shown
from tradewind.session.report.study.drawing import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    LOST,
    PINK,
    RED,
    SKY,
    VIOLET,
    WIDTH,
    Scale,
    Sheet,
    fitted,
    number,
    thinned,
)

_LEFT, _RIGHT = 64.0, WIDTH - 12.0
_KINDS = (SKY, GREEN, AMBER, PINK, VIOLET, GREY)
_TAKEN = ("cross", LOST, "a machine was taken away")
_BEYOND = 10.0
"""Seconds beyond which latencies are not told apart."""


def latency(data: EndpointData) -> str:
    """The median and the promised quantile of every stretch, and the promise, in milliseconds."""
    sheet = Sheet(300, "latency over time")
    x, unit = _time(data)
    promised = 1000 * data.objective.latency
    rows = [
        ((each.began + each.ended) / 2, _milliseconds(each.median), _milliseconds(each.tail))
        for each in data.slices
        if each.median is not None and each.tail is not None
    ]
    values = [value for _, *pair in rows for value in pair]
    y = fitted([*values, promised] if math.isfinite(promised) else values, 250, 30, zero=True)
    sheet.axes(x, y, unit, "milliseconds")
    share = f"p{100 * data.objective.share:g}"
    if math.isfinite(promised):
        sheet.line([(_LEFT, y.at(promised)), (_RIGHT, y.at(promised))], LOST, 1.4, dash="6 4",
                   told=f"promised: {data.objective}")  # fmt: skip
    _lost(sheet, data, x, 30, 250)
    at = [x.at(_place(data, moment)) for moment, _, _ in rows]
    for column, color, name in ((1, BLUE, "p50"), (2, RED, share)):
        drawn = [y.at(row[column]) for row in rows]
        sheet.line(thinned(at, drawn), color, 1.6, told=name)
        for place, height, row in zip(at, drawn, rows, strict=True):
            sheet.dot(place, height, 2.2, color, told=f"{name}: {shown(row[column] / 1000)}")
    keys = [("line", BLUE, "p50"), ("line", RED, share), ("dash", LOST, f"promised: {data.objective}")]
    sheet.keys(18, [*keys, _TAKEN])
    return str(sheet)


def load(data: EndpointData) -> str:
    """Requests a second and what the machines up are counted on for; under them the machines by kind."""
    sheet = Sheet(500, "load and machines over time")
    x, unit = _time(data)
    middles = [(each.began + each.ended) / 2 for each in data.slices]
    y = fitted([0.0, *(each.rate for each in data.slices), *(each.capacity for each in data.fleets)], 220, 30,
               zero=True)  # fmt: skip
    sheet.axes(x, y, "", "requests a second")
    _lost(sheet, data, x, 30, 220)
    steps = _steps(data, x, [each.capacity for each in data.fleets])
    sheet.line([(place, y.at(value)) for place, value in steps], GREEN, 1.6, dash="5 3",
               told="what the machines up are counted on for")  # fmt: skip
    line = thinned([x.at(_place(data, at)) for at in middles], [y.at(each.rate) for each in data.slices])
    sheet.line(line, BLUE, 1.8, told="requests that came in, a second")
    keys = [
        ("line", BLUE, "requests that came in"),
        ("dash", GREEN, "what the machines up are counted on for"),
    ]
    sheet.keys(18, [*keys, _TAKEN])
    rented = [float(each.rented) for each in data.fleets]
    below = fitted([0.0, 1.0, *rented, float(data.most_up)], 450, 280, zero=True)
    sheet.axes(x, below, unit, "machines")
    floor = [0.0] * len(data.fleets)
    for index, kind in enumerate(data.kinds):
        top = [under + each.up[index] for under, each in zip(floor, data.fleets, strict=True)]
        upper = [(place, below.at(value)) for place, value in _steps(data, x, top)]
        lower = [(place, below.at(value)) for place, value in _steps(data, x, floor)]
        if upper and any(above > under for above, under in zip(top, floor, strict=True)):
            sheet.shape([*upper, *reversed(lower)], _KINDS[index % len(_KINDS)], told=kind.replace("_", " "))
        floor = top
    sheet.line([(place, below.at(value)) for place, value in _steps(data, x, rented)], GREY, 1.4, dash="3 3",
               told="rented, those that start or leave included")  # fmt: skip
    _lost(sheet, data, x, 280, 450)
    names = [("bar", _KINDS[at % len(_KINDS)], kind.replace("_", " ")) for at, kind in enumerate(data.kinds)]
    sheet.keys(268, [*names, ("dash", GREY, "rented")])
    return str(sheet)


def money(data: EndpointData) -> str:
    """US dollars so far, beside machines on demand for the peak from the first moment on."""
    sheet = Sheet(290, "dollars over time")
    x, unit = _time(data)
    peak = data.peak.cost if data.peak is not None else 0.0
    y = fitted([0.0, peak, *(amount for _, amount in data.spent)], 240, 30, zero=True)
    sheet.axes(x, y, unit, "US dollars")
    keys = [("line", BLUE, "paid, as billed so far")]
    if data.peak is not None:
        ends = [(x.at(0.0), y.at(0.0)), (x.at(_place(data, data.run.ended)), y.at(peak))]
        sheet.line(ends, RED, 1.6, dash="6 4", told=f"computed, not run: ${number(peak)}")
        kind = f"{data.peak.count} {data.peak.instance_type}"
        keys.append(("dash", RED, f"{kind} on demand for the peak all along (computed, not run)"))
    line = [(x.at(_place(data, at)), y.at(amount)) for at, amount in data.spent]
    sheet.line(thinned([a for a, _ in line], [b for _, b in line]), BLUE, 1.8, told="paid")
    if data.functions is not None:
        line = [(x.at(_place(data, at)), y.at(amount)) for at, amount in data.spent_on_functions]
        sheet.line(thinned([a for a, _ in line], [b for _, b in line]), VIOLET, 1.8, told="for functions")
        keys.append(("line", VIOLET, "of it for functions"))
    _lost(sheet, data, x, 30, 240)
    sheet.keys(18, [*keys, _TAKEN])
    return str(sheet)


def _unit(data: EndpointData) -> tuple[str, float]:
    """What time is counted in, and the seconds of one."""
    span = data.run.ended - data.run.started
    if span >= 72 * 3600:
        return "days", 86400.0
    return ("minutes", 60.0) if span < 3 * 3600 else ("hours", 3600.0)


def _place(data: EndpointData, moment: float) -> float:
    """The moment as the axis counts."""
    return (moment - data.run.started) / _unit(data)[1]


def _time(data: EndpointData) -> tuple[Scale, str]:
    name, size = _unit(data)
    span = max(data.run.ended - data.run.started, 1.0)
    return Scale(0.0, span / size, _LEFT, _RIGHT), f"market time, {name} from the start"


def _milliseconds(seconds: float | None) -> float:
    return 1000 * min(seconds if seconds is not None else 0.0, _BEYOND)


def _lost(sheet: Sheet, data: EndpointData, x: Scale, top: float, bottom: float) -> None:
    """A mark at every machine that was taken away, or failed."""
    for lease in _taken(data.run.leases):
        assert lease.ended is not None
        place = x.at(_place(data, lease.ended))
        sheet.line([(place, top), (place, bottom)], LOST, 0.8, opacity=0.45)
        sheet.cross(place, bottom - 7, 3.6, LOST, told=f"{lease.id}, {lease.pool}: {lease.ending}")


def _taken(leases: Sequence[LeaseBar]) -> list[LeaseBar]:
    return [each for each in leases if each.ended is not None and each.ending in ("revoked", "failed")]


def _steps(data: EndpointData, x: Scale, values: Sequence[float]) -> list[tuple[float, float]]:
    """The corners of values that hold until the next; only where they change."""
    found: list[tuple[float, float]] = []
    fleets: Sequence[Fleet] = data.fleets
    for each, value in zip(fleets, values, strict=True):
        place = x.at(_place(data, each.at))
        if found and found[-1][1] != value:
            found.append((place, found[-1][1]))
        if not found or found[-1][1] != value:
            found.append((place, value))
    if found:
        found.append((x.at(_place(data, max(data.run.ended, fleets[-1].at))), found[-1][1]))
    return found
