"""Sections on what was seen and proven: runs, the slim tree, its verification, advisories and model files."""

from __future__ import annotations

import html
from collections.abc import Sequence

from tradewind.session import durations
from tradewind.session.report.audit.data import (
    STATES,
    Mark,
    ModelsSection,
    RunsSection,
    SlimSection,
    VerificationSection,
    VulnerabilitiesSection,
    VulnerabilityLine,
    sized,
)
from tradewind.session.report.audit.marks import (
    checks_table,
    code,
    facts_table,
    figure,
    file_table,
    paragraphs,
    scroll,
    tag,
)
from tradewind.session.report.audit.pictures import run_bars, state_bars
from tradewind.session.report.page import table

_STATE_MARKS: dict[str, Mark] = {
    "present-loaded": "bad",
    "present-untouched": "bad",
    "unknown": "unsure",
    "metadata-only": "",
    "removed": "good",
}
_STATE_WORDS = {
    "present-loaded": "kept, and a run loaded it",
    "present-untouched": "kept, and no run loaded it",
    "unknown": "no source could tell",
    "metadata-only": "only records of it are kept",
    "removed": "nothing of it is kept",
}
_VERDICTS: dict[str, Mark] = {"clean": "good", "blocked": "bad", "undecided": "unsure"}


def runs(section: RunsSection | None) -> str:
    """The runs, what each needed and what it added; what they do not cover."""
    if section is None or not (section.runs or section.statements):
        return ""
    parts = [paragraphs(section.statements)]
    if section.runs:
        told = "What no earlier run needed is what a run added: if the last adds much, more may be missing."
        parts.append(figure(run_bars(section.runs), told))
        rows = [
            [
                html.escape(run.name) + f'<br><span class="small">{code(run.command)}</span>',
                html.escape(run.backend)
                + (" " + tag(f"{run.lost:,} events lost", "bad") if run.lost else ""),
                durations.text(run.seconds),
                "" if run.exit_code is None else str(run.exit_code),
                f"{run.files:,}",
                sized(run.bytes),
                f"{run.new_files:,}",
                sized(run.new_bytes),
                html.escape(", ".join(run.sees)),
            ]
            for run in section.runs
        ]
        heads = ("run", "seen by", "took", "exit", "files", "bytes", "new files", "new bytes", "sees")
        parts.append(scroll(table(heads, rows, numbers=(2, 3, 4, 5, 6, 7)), len(rows) > 20))
    return "".join(parts)


def slim(section: SlimSection | None) -> str:
    """What was made: sizes, what each rule kept, layers, probed files."""
    if section is None:
        return ""
    whole = section.kept_bytes + section.removed_bytes
    parts = [
        f"<p>{sized(section.kept_bytes)} kept and {sized(section.removed_bytes)} in the side-car sum to "
        f"{sized(whole)}.</p>",
        facts_table(section.facts) if section.facts else "",
        paragraphs(section.notes),
    ]
    if section.rules:
        rows = [
            [code(each.rule), html.escape(each.meaning), f"{each.files:,}", sized(each.bytes)]
            for each in section.rules
        ]
        parts.append("<h3>What each rule keeps</h3>")
        parts.append(table(("rule", "why", "files", "bytes"), rows, numbers=(2, 3)))
    if section.layers:
        words = {True: tag("as it was", "good"), False: tag("rewritten"), None: ""}
        rows = [
            [code(e.digest[:19]), sized(e.bytes), words[e.kept], html.escape(e.made_by)]
            for e in section.layers
        ]
        parts.append(
            f"<h3>Layers</h3>{table(('layer', 'bytes', 'in the slim image', 'made by'), rows, numbers=(1,))}"
        )
    if section.probed:
        parts.append(f"<h3>Files that were only asked for</h3>{file_table(section.probed)}")
    if section.healed:
        rows = [
            [code(e.path), sized(e.bytes), html.escape(e.owner), html.escape(e.run),
             "opened" if e.opened else "asked for"]
            for e in section.healed
        ]  # fmt: skip
        told = "Runs took these from the side-car of an earlier version; this one has them."
        heads = ("file", "bytes", "of", "missed by", "was")
        inside = scroll(table(heads, rows, numbers=(1,)), len(rows) > 15)
        parts.append(f"<h3>Healed ({len(rows):,})</h3>{paragraphs([told])}{inside}")
    return "".join(parts)


def verification(section: VerificationSection | None) -> str:
    """What was run on both, and whether it came out the same."""
    if section is None:
        return ""
    words: dict[bool | None, tuple[str, Mark]] = {
        True: ("the slim tree does what the original does", "good"),
        False: ("the slim tree differs from the original", "bad"),
        None: ("it could not be decided", "unsure"),
    }
    heads = ("what", "on the original", "on the slim tree", "")
    return (
        f"<p>{tag(*words[section.passed])}</p>{checks_table(section.checks, heads)}"
        f"{facts_table(section.facts) if section.facts else ''}{paragraphs(section.statements)}"
    )


def vulnerabilities(section: VulnerabilitiesSection | None) -> str:
    """Advisories in five states with their evidence; what is not known is said first."""
    if section is None:
        return ""
    parts = []
    usable = [each for each in section.sources if each.usable]
    if not usable:
        parts.append(
            "<p>" + tag("no usable source: nothing is known, which is not a pass", "unsure") + "</p>"
        )
    if section.unknown:
        rows = [[html.escape(name), f"{count:,}", html.escape(why)] for name, count, why in section.unknown]
        parts.append(table(("not known of", "packages", "why"), rows, numbers=(1,)))
    if section.found:
        groups = _by_manager(section.found)
        told = "Debloating removes what is not used; an advisory on a package in use stays."
        parts.append(figure(state_bars(groups), told))
        parts.append(_state_table(groups))
        parts.append("<h3>Each advisory</h3>" + _advisories(section.found))
    elif usable:
        parts.append("<p>The usable sources name none of the packages.</p>")
    parts.append(paragraphs(section.notes))
    if section.sources:
        rows = [
            [html.escape(each.name), html.escape(each.date),
             "" if each.records is None else f"{each.records:,}",
             tag("used", "good") if each.usable else tag("not usable", "unsure"), html.escape(each.told)]
            for each in section.sources
        ]  # fmt: skip
        parts.append("<h3>Sources</h3>" + table(("source", "of", "records", "", ""), rows, numbers=(2,)))
    return "".join(parts)


def models(section: ModelsSection | None) -> str:
    """Model files with verdicts and findings, the worst first."""
    if section is None:
        return ""
    order = {"blocked": 0, "undecided": 1, "clean": 2}
    files = sorted(section.files, key=lambda each: (order[each.verdict], each.path))
    rows = [
        [
            code(each.path) + (f'<br><span class="small">{code(each.digest)}</span>' if each.digest else ""),
            html.escape(each.format),
            sized(each.bytes),
            tag(each.verdict, _VERDICTS[each.verdict]),
            f"{len(each.findings):,}",
        ]
        for each in files
    ]
    heads = ("file", "format", "bytes", "verdict", "findings")
    parts = [paragraphs(section.notes), scroll(table(heads, rows, numbers=(2, 4)), len(rows) > 20)]
    found = [
        [
            code(each.path),
            tag(one.level, _VERDICTS.get(one.level, "")) + f"<br>{code(one.rule)}",
            html.escape(one.message) + (f"<br>{code(one.name)}" if one.name else ""),
            html.escape(one.where),
            "" if one.offset is None else f"{one.offset:,}",
        ]
        for each in files
        for one in each.findings
    ]
    if found:
        inside = table(("file", "rule", "finding", "in", "offset"), found, numbers=(4,))
        parts.append(f"<h3>Findings ({len(found):,})</h3>{scroll(inside, len(found) > 10)}")
    return "".join(parts)


def _by_manager(found: Sequence[VulnerabilityLine]) -> list[tuple[str, list[VulnerabilityLine]]]:
    groups: dict[str, list[VulnerabilityLine]] = {}
    for each in found:
        groups.setdefault(each.manager or "all", []).append(each)
    return sorted(groups.items())


def _state_table(groups: Sequence[tuple[str, Sequence[VulnerabilityLine]]]) -> str:
    rows = []
    for state in STATES:
        counts = []
        for _, found in groups:
            after = sum(each.state == state for each in found)
            before = sum(each.before == state for each in found)
            slimmed = any(each.before for each in found)
            counts.append(f"{before:,} → {after:,}" if slimmed else f"{after:,}")
        rows.append([tag(state, _STATE_MARKS[state]), html.escape(_STATE_WORDS[state]), *counts])
    heads = ("state", "means", *(name for name, _ in groups))
    return table(heads, rows, numbers=range(2, len(heads)))


def _advisories(found: Sequence[VulnerabilityLine]) -> str:
    rank = {state: place for place, state in enumerate(STATES)}
    rows = []
    for each in sorted(found, key=lambda one: (rank[one.state], one.package, one.advisory)):
        shown = [code(path) for path in each.evidence[:4]]
        if len(each.evidence) > 4:
            shown.append(f"and {len(each.evidence) - 4:,} more")
        fixed = (
            f'<br><span class="small soft">fixed in {html.escape(each.fixed_in)}</span>'
            if each.fixed_in
            else ""
        )
        rows.append([
            code(each.package) + f'<br><span class="small">{html.escape(each.version)}</span>',
            f'<span class="whole">{html.escape(each.advisory).replace(", ", "<br>")}</span>'
            + (f"<br>{tag(each.severity)}" if each.severity else ""),
            tag(each.state, _STATE_MARKS[each.state]),
            html.escape(each.summary) + fixed,
            f'<span class="small">{"<br>".join(shown)}</span>',
        ])  # fmt: skip
    inside = table(("package", "advisory", "state", "what", "evidence"), rows)
    return scroll(inside, len(rows) > 8)
