"""Sections on what lies beyond files: pages that are touched, the time and cost of moving it, and growth."""

from __future__ import annotations

import html
from collections.abc import Sequence

from tradewind.session.report.audit.data import BloatSection, CostLine, GrowthSection, PageLine, sized
from tradewind.session.report.audit.marks import code, degree_cell, figure, paragraphs, scroll
from tradewind.session.report.audit.pictures import cohorts, page_bars, releases, survival
from tradewind.session.report.page import dollars, moment_text, table


def pages(section: BloatSection | None) -> str:
    """How much of what is kept was ever touched."""
    if section is None or not section.pages:
        return ""
    told = (
        "Pages that were never touched are what could be fetched late; blanking them breaks the first run "
        "that differs from these."
    )
    picture = figure(
        page_bars([each for each in section.pages if "/" not in each.name]), section.page_note, told
    )
    packages = ""
    if section.page_packages:
        packages = f"<h3>Pages by package</h3>{_page_table('package', section.page_packages)}"
    return picture + _page_table("kept files", section.pages) + packages


def _page_table(head: str, lines: Sequence[PageLine]) -> str:
    rows = [
        [
            code(each.name) if set("/:") & set(each.name) else html.escape(each.name),
            f"{each.files:,}",
            sized(each.bytes),
            sized(each.touched),
            degree_cell(1 - each.touched / each.bytes if each.bytes else 0.0),
        ]
        for each in lines
    ]
    heads = (head, "files", "bytes", "touched", "page degree")
    return scroll(table(heads, rows, numbers=(1, 2, 3, 4)), len(rows) > 20)


def costs(section: BloatSection | None) -> str:
    """Seconds and dollars before and after, as intervals."""
    if section is None or not section.costs:
        return ""
    rows = [
        [
            html.escape(each.what),
            interval(each, each.before),
            interval(each, each.after),
            times_less(each),
            f'<span class="small">{html.escape(each.given)}</span>',
        ]
        for each in section.costs
    ]
    heads = ("what", "before", "after", "times less", "computed from")
    return table(heads, rows, numbers=(1, 2, 3)) + paragraphs(section.cost_notes)


def growth(section: GrowthSection | None) -> str:
    """Lines by year of origin, how long they live, and sizes of releases."""
    if section is None:
        return ""
    parts = []
    if section.cohorts and section.moments:
        told = (
            f"The history of {section.repository}: each band holds the lines that were written in that year."
        )
        parts.append(figure(cohorts(section), told))
        rows = [
            [html.escape(line.name), f"{max(line.values):,.0f}", f"{line.values[-1]:,.0f}"]
            for line in section.cohorts
        ]
        rows.append(["total", "", f"{sum(line.values[-1] for line in section.cohorts):,.0f}"])
        parts.append(table(("written in", "lines at most", "lines at the end"), rows, numbers=(1, 2)))
    if section.survival:
        parts.append(figure(survival(section.survival), "How much of what was written is still there."))
    if section.releases:
        parts.append(figure(releases(section.releases), "The size of each release, as it is downloaded."))
        rows = [
            [
                html.escape(e.name),
                moment_text(e.moment)[:10],
                sized(e.bytes),
                sized(e.unpacked) if e.unpacked else "",
            ]
            for e in sorted(section.releases, key=lambda one: (one.name, one.moment))
        ]
        inside = table(("release of", "on", "bytes", "unpacked"), rows, numbers=(2, 3))
        parts.append(scroll(inside, len(rows) > 15))
    parts.append(paragraphs(section.notes))
    return "".join(parts)


def interval(line: CostLine, values: tuple[float, float]) -> str:
    """The values of one side of a line, as people read them."""
    low, high = (dollars(each) if line.unit == "dollars" else f"{each:.3g} s" for each in values)
    return low if low == high else f"{low} to {high}"


def times_less(line: CostLine) -> str:
    """How many times less it is after, as an interval; empty where it comes to nothing."""
    if min(line.after) <= 0:
        return ""
    low, high = line.before[0] / line.after[1], line.before[1] / line.after[0]
    return f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f}"
