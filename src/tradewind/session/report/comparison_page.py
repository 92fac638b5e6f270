"""The comparison's page: policies from the same starts, in one self-contained HTML file."""

from __future__ import annotations

import html
import math
from pathlib import Path

from tradewind.estimates.bootstrap import MeanInterval
from tradewind.session import durations
from tradewind.session.report import pictures
from tradewind.session.report.comparison_data import BOUNDS, DONE, Comparison, Line
from tradewind.session.report.page import (
    cards_of,
    document,
    dollars,
    honesty,
    moment_text,
    table,
    write_document,
)

COLUMNS = (
    "policy",
    "cost",
    "95 %",
    "difference",
    "95 %",
    "$/vCPU-hour",
    "x bound",
    "time",
    "p95",
    "late",
    "revoked",
    "done",
)
"""The heads of the table, on the page and in a terminal."""
_UNDER = {2: "", 4: "", 8: "p95 "}
"""The columns that the page shows under the one before, with the word that goes before them."""


def comparison_page(told: Comparison) -> str:
    """The whole page as text."""
    parts = [_subtitle(told), cards_of(_cards(told)), _table(told), _pictures(told), _reasons(told)]
    parts += [_every_start(told), honesty(told.real, told.simulated, told.sources)]
    return document(told.title, parts, f"Made by Tradewind {told.version}. Nothing was rented.")


def write_comparison(told: Comparison, path: Path) -> None:
    """Write the page to `path`, whole or not at all; Misuse if that is no place for a file."""
    write_document(comparison_page(told), path)


def cells(line: Line) -> tuple[str, ...]:
    """A line of the table as text, a cell for each of `COLUMNS`."""
    bound = line.policy in BOUNDS
    return (
        BOUNDS.get(line.policy, line.policy),
        "–" if line.cost is None else dollars(line.cost.mean),
        _bounds(line.cost),
        "" if line.difference is None else _signed(line.difference.mean),
        _bounds(line.difference, signed=True),
        "–" if line.per_vcpu_hour is None else f"{line.per_vcpu_hour:.5f}",
        "–"
        if line.of_bound is None
        else f"{line.of_bound:.3f}"
        if line.of_bound < 10
        else f"{line.of_bound:.0f}",
        "–" if line.seconds is None else durations.text(line.seconds),
        "–" if line.seconds_p95 is None else durations.text(line.seconds_p95),
        "" if bound else str(line.missed),
        "" if bound or line.revocations is None else f"{line.revocations:.1f}",
        f"{line.done} of {line.starts}",
    )


def summary(told: Comparison) -> str:
    """One sentence on what was compared and what of it is a model, for right above the table."""
    job = f"{told.work:,.4g} vCPU-hours of modelled work"
    due = "" if told.deadline is None else f" within {durations.text(told.deadline)}"
    least = "" if told.budget is None else f" for {dollars(told.budget)} at most"
    starts = f"{len(told.starts)} random starts" + (f" of {told.asked} asked for" if told.interrupted else "")
    return (
        f"{job}{due}{least}, from {starts} (seed {told.seed}) in the recorded prices of {told.history}, "
        "for a price-taker; nothing was rented"
    )


def method(told: Comparison) -> str:
    """One sentence on the intervals."""
    drawn = (
        f"calendar weeks drawn with replacement, {told.weeks} of them"
        if told.blocks == "week"
        else f"starts drawn one by one for want of calendar weeks ({told.weeks}): they claim to know more "
        "than they do"
    )
    intervals = f"95 % intervals by bootstrap over {drawn}; differences are paired by start"
    if told.attained is None:
        return intervals
    return f"{intervals}; schedules made with hindsight cost {told.attained:.3f} of the bound"


def _subtitle(told: Comparison) -> str:
    first, last = min(told.starts), max(told.starts)
    when = f"starts from {moment_text(first)} to {moment_text(last)}, market time (UTC)"
    line = html.escape(summary(told))
    return f'<p class="soft">{line}<br><span class="small">{when}</span></p>'


def _cards(told: Comparison) -> list[tuple[str, str, str]]:
    lines = {line.policy: line for line in told.lines}
    ours = told.lines[0]
    cards = []
    if ours.cost is not None:
        cards.append((f"{ours.policy}, mean", dollars(ours.cost.mean), ""))
        dear = lines.get("on_demand")
        if dear is not None and dear is not ours and dear.cost is not None and dear.cost.mean > 0:
            saved = 1 - ours.cost.mean / dear.cost.mean
            name = "below on demand" if saved >= 0 else "above on demand"
            cards.append((name, f"{abs(saved):.0%}", "good" if saved > 0 else "bad"))
    if ours.of_bound is not None:
        cards.append(("of the clairvoyant bound", f"{ours.of_bound:.2f}x", ""))
    if told.deadline is not None:
        late = f"{ours.missed} of {ours.starts}"
        cards.append(("deadlines missed", late, "bad" if ours.missed else "good"))
    cards.append(("starts", f"{len(told.starts):,}", ""))
    return cards


def _table(told: Comparison) -> str:
    rows = []
    for line in told.lines:
        row = [html.escape(cell) for cell in cells(line)]
        # On paper an interval stands under its mean, so that the table is no wider than the page.
        for column, name in _UNDER.items():
            row[column - 1] += f'<br><span class="soft small">{name}{row[column]}</span>'
        rows.append([cell for column, cell in enumerate(row) if column not in _UNDER])
    heads = [head for column, head in enumerate(COLUMNS) if column not in _UNDER]
    return (
        "<h2>Cost by policy</h2>"
        + table(heads, rows, numbers=range(1, len(heads)))
        + f'<p class="soft small">{html.escape(method(told))}. Costs are means over the starts from which '
        f"the work was done, differences to {html.escape(told.policies[0])}, times medians. Less than the "
        "bound nobody pays, not even who knows all prices and revocations in advance; a policy is held "
        "against the bound of its own job, with servers or without.</p>"
    )


def _pictures(told: Comparison) -> str:
    parts = [
        "<h2>Cost against completion time</h2><figure>",
        pictures.scatter(told.trials, told.policies, told.deadline),
        "<figcaption>A point is one policy from one start (modelled work, recorded prices); the large marks "
        "are means. Crosses are the clairvoyant's bounds.</figcaption></figure>",
    ]
    if told.timeline is not None:
        parts += [
            f"<h2>One start: {moment_text(told.timeline.start)}</h2><figure>",
            pictures.lanes(told.timeline),
            "<figcaption>"
            + ("Above: recorded spot prices by vCPU. " if told.timeline.prices else "")
            + "A lane is a policy, its height the vCPUs that it held; a cross is a revocation, the upright "
            f"line the end. {html.escape(told.timeline.chosen)}</figcaption></figure>",
        ]
    return "".join(parts)


def _reasons(told: Comparison) -> str:
    rows = [
        [html.escape(line.policy), str(count), html.escape(reason)]
        for line in told.lines
        for reason, count in line.reasons
    ]
    if not rows:
        return ""
    return "<h2>Not done, and why</h2>" + table(("policy", "starts", "reason"), rows, numbers=(1,))


def _every_start(told: Comparison) -> str:
    known = {(each.start, each.policy): each for each in told.trials}
    rows = []
    for start in told.starts:
        row = [moment_text(start)]
        for name in told.policies:
            each = known.get((start, name))
            if each is None:
                row.append("")
            elif each.outcome != DONE:
                row.append(html.escape(each.outcome))
            else:
                late = ' <span class="tag out">late</span>' if each.late else ""
                row.append(
                    f"{dollars(each.cost)} <span class='t'>{durations.text(each.seconds)}</span>{late}"
                )
        rows.append(row)
    return (
        f'<h2>Every start ({len(rows):,})</h2><div class="scroll">'
        + table(("start", *(BOUNDS.get(name, name) for name in told.policies)), rows, times=(0,))
        + "</div>"
    )


def _bounds(interval: MeanInterval | None, *, signed: bool = False) -> str:
    if interval is None or not math.isfinite(interval.low):
        return ""
    show = _signed if signed else dollars
    return f"{show(interval.low)} to {show(interval.high)}"


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return "–"
    return f"{ratio:.3f}" if ratio < 10 else f"{ratio:.0f}"


def _signed(amount: float) -> str:
    return ("+" if amount > 0 else "−" if amount < 0 else "") + dollars(abs(amount))
