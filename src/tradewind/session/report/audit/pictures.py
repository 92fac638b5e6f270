"""Pictures of an audit: degrees, shares before and after, what runs added, states of advisories, growth."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tradewind.session.report.audit.data import (
    STATES,
    GpuLine,
    GrowthSection,
    PackageLine,
    PageLine,
    ReleaseLine,
    RunLine,
    ShareLine,
    VulnerabilityLine,
    VulnerabilityState,
    sized,
)
from tradewind.session.report.audit.treemap import REMOVED
from tradewind.session.report.study.drawing import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    LABEL,
    LOST,
    PINK,
    RED,
    SKY,
    VIOLET,
    WIDTH,
    Scale,
    Sheet,
    fitted,
    thinned,
)

CATEGORIES = {"ML": BLUE, "GPU": GREEN, "generic": SKY}
STATE_COLOURS = {
    "present-loaded": LOST,
    "present-untouched": AMBER,
    "unknown": VIOLET,
    "metadata-only": SKY,
    "removed": GREY,
}
_YEARS = ("#0B3C5D", BLUE, SKY, GREEN, "#8FD3B6", AMBER, RED, PINK, VIOLET, GREY)
_LEFT, _RIGHT = 168.0, WIDTH - 170
_ROW = 26.0
_BINS = 10


def histogram(packages: Sequence[PackageLine]) -> str:
    """An SVG: how many packages have which degree, in tenths, with exactly 0 and exactly 1 apart."""
    names = ["0", *(f"to {(k + 1) / _BINS:g}" for k in range(_BINS)), "1"]
    names[_BINS] = "below 1"
    count: dict[str, list[int]] = {category: [0] * len(names) for category in CATEGORIES}
    for each in packages:
        at = 0 if each.degree <= 0 else len(names) - 1 if each.degree >= 1 else _bin(each.degree)
        count.setdefault(each.category, [0] * len(names))[at] += 1
    totals = [sum(values[at] for values in count.values()) for at in range(len(names))]
    sheet = Sheet(300, f"Bloat degrees of {len(packages)} packages")
    x = Scale(0, len(names), 64, WIDTH - 16)
    y = Scale(0, max(1, *totals) * 1.1, 222, 14)
    for value in y.ticks():
        if value == int(value):
            sheet.line([(64, y.at(value)), (WIDTH - 16, y.at(value))], "#E5E7EB", 0.8)
            sheet.text(57, y.at(value) + 4, f"{value:,.0f}", anchor="end")
    for at, name in enumerate(names):
        floor = 0
        for category, values in count.items():
            if values[at]:
                top = y.at(floor + values[at])
                told = f"{values[at]} {category} packages of degree {name}"
                sheet.bar(
                    x.at(at + 0.1), top, x.at(0.9) - x.at(0.1), y.at(floor) - top,
                    CATEGORIES.get(category, GREY), told,
                )  # fmt: skip
                floor += values[at]
        if totals[at]:
            sheet.text(x.at(at + 0.5), y.at(totals[at]) - 4, f"{totals[at]:,}", anchor="middle", color=LABEL)
        sheet.text(x.at(at + 0.5), 240, name, anchor="middle")
    sheet.text(WIDTH / 2, 262, "package bloat degree", anchor="middle", color=LABEL)
    sheet.text(14, 118, "packages", anchor="middle", color=LABEL, turned=True)
    there = [category for category, values in count.items() if any(values)]
    sheet.keys(288, [("bar", CATEGORIES.get(each, GREY), each) for each in there])
    return str(sheet)


def share_bars(lines: Sequence[ShareLine], told: str) -> str:
    """An SVG: a bar for each part of the tree, its kept bytes and its removed ones."""
    greatest = max((line.bytes for line in lines), default=1) or 1
    sheet = Sheet(_ROW * len(lines) + 30, told)
    x = Scale(0, greatest, _LEFT, _RIGHT)
    for row, line in enumerate(lines):
        y = row * _ROW + 5
        kept = x.at(line.kept_bytes)
        words = f"{line.name}: {sized(line.kept_bytes)} of {sized(line.bytes)} kept, degree {line.degree:.3f}"
        sheet.text(_LEFT - 8, y + 13, line.name, anchor="end", color=LABEL, most=24)
        sheet.bar(_LEFT, y, x.at(line.bytes) - _LEFT, 17, REMOVED, words)
        if line.kept_bytes:
            sheet.bar(_LEFT, y, kept - _LEFT, 17, BLUE, words)
        sheet.text(x.at(line.bytes) + 8, y + 13, f"{sized(line.bytes)}, degree {line.degree:.3f}")
    sheet.keys(_ROW * len(lines) + 22, [("bar", BLUE, "kept"), ("bar", REMOVED, "removed")])
    return str(sheet)


def page_bars(lines: Sequence[PageLine]) -> str:
    """An SVG: a bar for each kind of kept file, its touched bytes and the others."""
    greatest = max((line.bytes for line in lines), default=1) or 1
    sheet = Sheet(_ROW * len(lines) + 30, "Kept bytes by kind of file, and how much was touched")
    x = Scale(0, greatest, _LEFT, _RIGHT)
    for row, line in enumerate(lines):
        y = row * _ROW + 5
        share = line.touched / line.bytes if line.bytes else 0.0
        words = f"{line.name}: {sized(line.touched)} of {sized(line.bytes)} touched"
        sheet.text(_LEFT - 8, y + 13, line.name, anchor="end", color=LABEL, most=24)
        sheet.bar(_LEFT, y, x.at(line.bytes) - _LEFT, 17, SKY, words)
        sheet.bar(_LEFT, y, x.at(line.touched) - _LEFT, 17, BLUE, words)
        sheet.text(x.at(line.bytes) + 8, y + 13, f"{sized(line.bytes)}, {share:.0%} touched")
    keys = [("bar", BLUE, "pages touched"), ("bar", SKY, "kept, never touched")]
    sheet.keys(_ROW * len(lines) + 22, keys)
    return str(sheet)


def run_bars(runs: Sequence[RunLine]) -> str:
    """An SVG: a bar for each run, what it needed that none before it did and what others needed too."""
    greatest = max((run.bytes for run in runs), default=1) or 1
    sheet = Sheet(_ROW * len(runs) + 30, "Bytes that each run needed, and what it added")
    x = Scale(0, greatest, _LEFT, _RIGHT - 40)
    for row, run in enumerate(runs):
        y = row * _ROW + 5
        words = f"{run.name}: {sized(run.bytes)} needed, {sized(run.new_bytes)} by no run before it"
        sheet.text(_LEFT - 8, y + 13, run.name, anchor="end", color=LABEL, most=24)
        sheet.bar(_LEFT, y, x.at(run.bytes) - _LEFT, 17, SKY, words)
        if run.new_bytes:
            sheet.bar(_LEFT, y, x.at(run.new_bytes) - _LEFT, 17, BLUE, words)
        sheet.text(x.at(run.bytes) + 8, y + 13, f"{run.files:,} files, {run.new_files:,} new")
    keys = [("bar", BLUE, "added by this run"), ("bar", SKY, "needed before already")]
    sheet.keys(_ROW * len(runs) + 22, keys)
    return str(sheet)


def state_bars(groups: Sequence[tuple[str, Sequence[VulnerabilityLine]]]) -> str:
    """An SVG: for each manager its advisories by state, before slimming where there was any, and in the
    end."""
    bars: list[tuple[str, list[VulnerabilityState]]] = []
    for name, found in groups:
        if any(each.before for each in found):
            bars.append((f"{name}, before", [each.before or each.state for each in found]))
            bars.append((f"{name}, after", [each.state for each in found]))
        else:
            bars.append((name, [each.state for each in found]))
    greatest = max((len(states) for _, states in bars), default=1) or 1
    sheet = Sheet(_ROW * len(bars) + 30, "Advisories by state, before and after")
    x = Scale(0, greatest, _LEFT, _RIGHT)
    for row, (name, states) in enumerate(bars):
        y = row * _ROW + 5
        sheet.text(_LEFT - 8, y + 13, name, anchor="end", color=LABEL, most=26)
        floor = 0
        for state in STATES:
            count = states.count(state)
            if count:
                left, right = x.at(floor), x.at(floor + count)
                sheet.bar(left, y, right - left, 17, STATE_COLOURS[state], f"{name}: {count} {state}")
                floor += count
        gone = states.count("removed")
        words = f"{len(states):,}" + (f", {gone:,} removed" if gone else "")
        sheet.text(x.at(floor) + 8, y + 13, words)
    there = [state for state in STATES if any(state in states for _, states in bars)]
    sheet.keys(_ROW * len(bars) + 22, [("bar", STATE_COLOURS[state], state) for state in there])
    return str(sheet)


def gpu_bars(lines: Sequence[GpuLine]) -> str:
    """An SVG: bytes of GPU code for each architecture."""
    greatest = max((line.bytes for line in lines), default=1) or 1
    told = any(line.needed is not None for line in lines)
    sheet = Sheet(_ROW * len(lines) + (30 if told else 8), "Bytes of GPU code by architecture")
    x = Scale(0, greatest, _LEFT, _RIGHT)
    for row, line in enumerate(lines):
        y = row * _ROW + 5
        color = SKY if line.needed is None else BLUE if line.needed else REMOVED
        name = f"{line.architecture}, {line.kind}"
        sheet.text(_LEFT - 8, y + 13, name, anchor="end", color=LABEL, most=24)
        sheet.bar(_LEFT, y, x.at(line.bytes) - _LEFT, 17, color, f"{name}: {sized(line.bytes)}")
        sheet.text(x.at(line.bytes) + 8, y + 13, sized(line.bytes))
    if told:
        keys = [("bar", BLUE, "the device runs it"), ("bar", REMOVED, "it does not")]
        sheet.keys(_ROW * len(lines) + 22, keys)
    return str(sheet)


def cohorts(growth: GrowthSection) -> str:
    """An SVG: lines of code by year of origin, one cohort on the other, over time."""
    moments = growth.moments
    sheet = Sheet(400, "Lines of code by year of origin")
    x = Scale(moments[0], max(moments[-1], moments[0] + 1), 74, WIDTH - 16)
    floors = [0.0] * len(moments)
    totals = [sum(line.values[at] for line in growth.cohorts) for at in range(len(moments))]
    y = Scale(0, max(1.0, *totals) * 1.04, 322, 14)
    _years_axis(sheet, x, y, "lines")
    for place, line in enumerate(growth.cohorts):
        tops = [floor + value for floor, value in zip(floors, line.values, strict=True)]
        keep = range(0, len(moments), max(1, len(moments) // 300))
        at = sorted({*keep, len(moments) - 1})
        outline = [(x.at(moments[k]), y.at(tops[k])) for k in at]
        outline += [(x.at(moments[k]), y.at(floors[k])) for k in reversed(at)]
        sheet.shape(
            outline, _YEARS[place % len(_YEARS)], f"{line.name}: {line.values[-1]:,.0f} lines at the end"
        )
        floors = tops
    keys = [("bar", _YEARS[k % len(_YEARS)], line.name) for k, line in enumerate(growth.cohorts)]
    sheet.keys(368, keys[-24:])
    return str(sheet)


def survival(points: Sequence[tuple[float, float]]) -> str:
    """An SVG: the share of lines that are still there so many years after they were written."""
    sheet = Sheet(260, "Share of lines that survive, by age")
    x = fitted([age for age, _ in points], 64, WIDTH - 16, zero=True)
    y = Scale(0, 1, 200, 14)
    sheet.axes(x, y, "years since a line was written", "share that is left")
    drawn = thinned([age for age, _ in points], [share for _, share in points])
    sheet.line([(x.at(age), y.at(share)) for age, share in drawn], BLUE, 1.8)
    return str(sheet)


def releases(lines: Sequence[ReleaseLine]) -> str:
    """An SVG: the size of each release of each package over time."""
    names = sorted({line.name for line in lines})
    moments = [line.moment for line in lines]
    sheet = Sheet(360, "Size of releases over time")
    x = Scale(min(moments), max(*moments, min(moments) + 1), 74, WIDTH - 16)
    y = Scale(0, max(line.bytes for line in lines) * 1.06 / 1e6, 290, 14)
    _years_axis(sheet, x, y, "MB as downloaded")
    for place, name in enumerate(names):
        mine = sorted((line.moment, line.bytes) for line in lines if line.name == name)
        color = _YEARS[(place + 1) % len(_YEARS)]
        sheet.line([(x.at(moment), y.at(size / 1e6)) for moment, size in mine], color, 1.6)
        for moment, size in mine:
            sheet.dot(x.at(moment), y.at(size / 1e6), 2.6, color, told=f"{name}: {sized(size)}")
    sheet.keys(336, [("line", _YEARS[(k + 1) % len(_YEARS)], name) for k, name in enumerate(names)])
    return str(sheet)


def _years_axis(sheet: Sheet, x: Scale, y: Scale, upwards: str) -> None:
    for value in y.ticks():
        at = y.at(value)
        sheet.line([(x.start, at), (x.end, at)], "#E5E7EB", 0.8)
        sheet.text(
            x.start - 7, at + 4, f"{value:,.0f}" if value >= 10 or not value else f"{value:g}", anchor="end"
        )
    first, last = (datetime.fromtimestamp(each, UTC).year for each in (x.low, x.high))
    step = max(1, -(-(last - first) // 10))
    for year in range(first, last + 2, step):
        moment = datetime(year, 1, 1, tzinfo=UTC).timestamp()
        if x.low <= moment <= x.high:
            sheet.line([(x.at(moment), y.end), (x.at(moment), y.start)], "#E5E7EB", 0.8)
            sheet.text(x.at(moment), y.start + 17, str(year), anchor="middle")
    sheet.line([(x.start, y.end), (x.start, y.start), (x.end, y.start)], "#9AA3AF", 1)
    sheet.text(x.start - 58, (y.start + y.end) / 2, upwards, anchor="middle", color=LABEL, turned=True)


def _bin(degree: float) -> int:
    return min(_BINS, 1 + int(degree * _BINS - 1e-12))
