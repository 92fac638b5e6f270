"""The page of an audit: one self-contained HTML file that needs neither the network nor its script.

Each section is there only if its data is. Beside each picture stands a table with the same figures.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path

from tradewind.session.report.audit import contents, evidence, outlook
from tradewind.session.report.audit.data import AuditReport, sized
from tradewind.session.report.audit.marks import checks_table, facts_table
from tradewind.session.report.audit.sorting import CSS, sortable
from tradewind.session.report.page import cards_of, document, honesty, moment_text, write_document

_MORE_CSS = """
:root{color-scheme:light dark}
nav{margin:10px 0 0;font-size:14px}nav a{display:inline-block;margin:0 14px 2px 0}
a{color:#0b62a4}h3{font-size:15px;margin:22px 0 6px}
code{font-size:13px;overflow-wrap:anywhere}
.tag,.whole{white-space:nowrap}
.tag.doubt{background:#f3effa;border-color:#d5c8ec;color:#5b3f9b}
.bar{display:inline-block;width:74px;height:9px;background:#f2c9a5;vertical-align:baseline;margin-left:8px}
.bar i{display:block;height:9px;background:#0072b2}
tr.total td{font-weight:600;border-top:2px solid var(--line)}
.doubtful b{color:#5b3f9b}
@media screen and (prefers-color-scheme:dark){
:root{--ink:#e5e7eb;--soft:#b6bdc9;--faint:#98a1b0;--line:#323a47;--wash:#1b212b;--good:#4cc79a;--bad:#f58b8b}
body{background:#11151c}a{color:#7cc0f5}.scroll th{background:#11151c}
.tag.real{background:#12352a;border-color:#22624c}.tag.out{background:#3c1b1d;border-color:#74353a}
.tag.doubt{background:#2a2140;border-color:#4d3d78;color:#c3b0f0}.doubtful b{color:#c3b0f0}
svg text[fill="#4B5563"],svg text[fill="#374151"]{fill:#b6bdc9}
svg text[fill="#111827"][stroke]{fill:#e5e7eb;stroke:#11151c}
svg [stroke="#E5E7EB"]{stroke:#2b323e}svg [stroke="#9AA3AF"]{stroke:#6b7280}
}
@media print{
:root{color-scheme:light}main{max-width:none;padding:0}nav{display:none}
h2,h3{break-after:avoid}figure,tr,.card{break-inside:avoid}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
"""
"""What this page needs beside what all pages have: marks, colours for dark rooms, and paper."""


def audit_page(report: AuditReport) -> str:
    """The whole page as text."""
    sections = [
        (name, told)
        for name, told in (
            ("What is needed", contents.bloat(report.bloat)),
            ("Packages and why they are there", contents.packages(report.bloat)),
            ("Inventory", contents.inventory(report.inventory, report.bloat)),
            ("Wheel diet", contents.diet(report.inventory)),
            ("GPU code", contents.gpu(report.inventory)),
            ("Runs and what they cover", evidence.runs(report.runs)),
            ("The slim tree", evidence.slim(report.slim)),
            ("Proof that it still works", evidence.verification(report.verification)),
            ("Pages", outlook.pages(report.bloat)),
            ("Time and cost of moving it", outlook.costs(report.bloat)),
            ("Vulnerabilities", evidence.vulnerabilities(report.vulnerabilities)),
            ("Model files", evidence.models(report.models)),
            ("Growth", outlook.growth(report.growth)),
            ("Gate", checks_table(report.gate, ("asked for", "limit", "found", "")) if report.gate else ""),
            ("Notes", _notes(report.notes)),
        )
        if told
    ]
    parts = [_subject(report), cards_of(_cards(report)), _contents(name for name, _ in sections)]
    parts += [f'<h2 id="{_anchor(name)}">{html.escape(name)}</h2>{told}' for name, told in sections]
    if report.real or report.modelled or report.sources:
        parts.append(honesty(report.real, report.modelled, report.sources))
    made = f"Made by Tradewind {report.version} on {moment_text(report.made)} (UTC)."
    page = document(report.title, parts, made).replace("</style>", f"{_MORE_CSS}{CSS}</style>", 1)
    return sortable(page)


def write_audit_page(report: AuditReport, path: Path) -> None:
    """Write the page to `path`, whole or not at all; Misuse if that is no place for a file."""
    write_document(audit_page(report), path)


def _subject(report: AuditReport) -> str:
    subject = report.subject
    line = f"{subject.kind} {subject.name}"
    rows = [("digest", subject.digest)] if subject.digest else []
    if subject.bytes or subject.files:
        held = f"{sized(subject.bytes)} ({subject.bytes:,} bytes)"
        held += f" in {subject.files:,} files" if subject.files else ""
        rows.append(("holds", held + (f" and {subject.links:,} links" if subject.links else "")))
    rows.append(("audited", f"{moment_text(report.made)} (UTC)"))
    return f'<p class="soft">{html.escape(line)}</p>{facts_table([*rows, *subject.facts])}'


def _cards(report: AuditReport) -> list[tuple[str, str, str]]:
    """The figures that matter, each only if it is known; what is not known is never shown as good."""
    cards = [("in the tree", sized(report.subject.bytes), "")] if report.subject.files else []
    bloat, found = report.bloat, report.vulnerabilities
    if bloat is not None:
        cards.append(("needed", sized(bloat.whole.kept_bytes), ""))
        cards.append(("container bloat degree", f"{bloat.whole.degree:.3f}", ""))
        idle = sum(each.state not in ("used", "") for each in bloat.packages)
        cards.append(("packages of which nothing is used", f"{idle:,}/{len(bloat.packages):,}", ""))
    elif report.inventory is not None:
        cards.append(("packages", f"{len(report.inventory.packages):,}", ""))
    if report.verification is not None:
        words = {
            True: ("works", "good"),
            False: ("differs", "bad"),
            None: ("undecided", "doubtful"),
        }
        value, kind = words[report.verification.passed]
        cards.append(("the slim tree", value, kind))
    if found is not None:
        open_ones = sum(each.state in ("present-loaded", "present-untouched") for each in found.found)
        unknown = sum(each.state == "unknown" for each in found.found) + sum(n for _, n, _ in found.unknown)
        cards.append(("vulnerable and present", f"{open_ones:,}", "bad" if open_ones else ""))
        if unknown or not any(source.usable for source in found.sources):
            cards.append(("vulnerability not known", f"{unknown:,}" if unknown else "all", "doubtful"))
    if report.models is not None:
        count = {
            each: sum(m.verdict == each for m in report.models.files) for each in ("blocked", "undecided")
        }
        wrong = count["blocked"] + count["undecided"]
        kind = "bad" if count["blocked"] else "doubtful" if wrong else "good"
        cards.append(
            ("model files clean", f"{len(report.models.files) - wrong}/{len(report.models.files)}", kind)
        )
    return cards


def _contents(names: Iterable[str]) -> str:
    links = "".join(f'<a href="#{_anchor(name)}">{html.escape(name)}</a>' for name in names)
    return f'<nav aria-label="Contents">{links}</nav>'


def _notes(notes: Iterable[str]) -> str:
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return f"<ul>{items}</ul>" if items else ""


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")
