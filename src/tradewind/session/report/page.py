"""The report's page: one self-contained HTML file, without a script and without the network."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from tradewind import clock
from tradewind.data.durable_files import write_durably
from tradewind.errors import Misuse
from tradewind.session import durations
from tradewind.session.report import pictures
from tradewind.session.report.data import ReportData, Source

_CSS = """
:root{--ink:#111827;--soft:#4b5563;--faint:#6b7280;--line:#e5e7eb;--wash:#f8fafc;--good:#00714f;--bad:#b91c1c}
*{box-sizing:border-box}
body{margin:0;background:#fff;color:var(--ink);
  font:15px/1.5 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1040px;margin:0 auto;padding:32px 24px 64px}
h1{font-size:26px;line-height:1.2;margin:0 0 4px}
h2{font-size:18px;margin:40px 0 10px;padding-top:14px;border-top:1px solid var(--line)}
p{margin:6px 0}.soft{color:var(--soft)}.small{font-size:13px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(122px,1fr));gap:10px;margin:22px 0 8px}
.card{background:var(--wash);border:1px solid var(--line);border-radius:8px;padding:12px 14px}
.card b{display:block;font-size:22px;line-height:1.25;font-variant-numeric:tabular-nums}
.card span{color:var(--faint);font-size:13px}
.good b{color:var(--good)}.bad b{color:var(--bad)}
table{border-collapse:collapse;width:100%;font-size:14px}
th{text-align:left;font-weight:600;
  color:var(--soft);border-bottom:2px solid var(--line);padding:6px 10px 6px 0}
td{border-bottom:1px solid var(--line);padding:6px 10px 6px 0;vertical-align:top}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.t{white-space:nowrap;font-variant-numeric:tabular-nums;color:var(--soft)}
.tag{display:inline-block;border-radius:10px;padding:0 8px;font-size:12px;
  border:1px solid var(--line);background:var(--wash)}
.tag.real{background:#e6f4ef;border-color:#b7dfd0;color:var(--good)}
.tag.out{background:#fdecec;border-color:#f5c2c2;color:var(--bad)}
figure{margin:8px 0 0}figure svg{width:100%;height:auto;display:block}
svg text{font-family:system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
figcaption{color:var(--faint);font-size:13px}
.scroll{overflow:auto;max-height:520px;border:1px solid var(--line);border-radius:8px;padding:0 12px}
.scroll th{position:sticky;top:0;background:#fff}
ul{margin:6px 0;padding-left:20px}
footer{margin-top:40px;color:var(--faint);font-size:13px}
@media print{.scroll{max-height:none;overflow:visible}}
"""

_NOTHING_FROM_OUTSIDE = "default-src 'none'; style-src 'unsafe-inline'"


def page(data: ReportData) -> str:
    """The whole page as text."""
    parts = [
        f"{_subtitle(data)}{_cards(data)}",
        _comparison(data),
        timeline_section(data),
        _curves(data),
        _estimates(data),
        leases_section(data),
        decisions_section(data),
        notes_section(data),
        honesty(data.real, data.simulated, data.sources),
    ]
    return document(data.title, parts, f"Made by Tradewind {data.version} from the run's journal alone.")


def document(title: str, parts: Iterable[str], footer: str) -> str:
    """A page of its own: a title and a footer, which are text, about parts, which are HTML."""
    told = html.escape(title)
    return "".join(
        [
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{told}</title>'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f'<meta http-equiv="Content-Security-Policy" content="{_NOTHING_FROM_OUTSIDE}">'
            f"<style>{_CSS}</style></head><body><main><h1>{told}</h1>",
            *parts,
            f"<footer>{html.escape(footer)}</footer></main></body></html>\n",
        ]
    )


def write_page(data: ReportData, path: Path) -> None:
    """Write the page to `path`, whole or not at all; Misuse if that is no place for a file."""
    write_document(page(data), path)


def write_document(text: str, path: Path) -> None:
    """Write a page that is made to `path`, whole or not at all; Misuse if that is no place for a file."""
    try:
        write_durably(path, text.encode())
    except OSError as problem:
        raise Misuse(
            f"cannot be written: {problem.strerror}", source=str(path), fix="Name another file."
        ) from problem


def dollars(amount: float | None) -> str:
    """Money as people read it: cents, and below ten of them, where cents would say little, four digits."""
    if amount is None:
        return "–"
    return f"${amount:,.2f}" if abs(amount) >= 0.1 or amount == 0 else f"${amount:.4f}"


def moment_text(moment: float) -> str:
    """A moment as a table shows it, UTC."""
    return clock.iso(moment).replace("T", " ").removesuffix("Z")


def _subtitle(data: ReportData) -> str:
    told = [f"policy {data.policy}" if data.policy else "", data.outcome, data.reason]
    when = f"{moment_text(data.started)} to {moment_text(data.ended)}, market time (UTC)"
    line = html.escape(" · ".join(part for part in told if part))
    return f'<p class="soft">{line}<br><span class="small">{when}</span></p>'


def _cards(data: ReportData) -> str:
    cards = [("paid", dollars(data.cost), "")]
    if data.cost_on_demand is not None:
        cards.append(("on demand would have cost", dollars(data.cost_on_demand), ""))
        if data.cost_on_demand > 0:
            saved = 1 - data.cost / data.cost_on_demand
            cards.append(
                ("saved" if saved >= 0 else "lost", f"{abs(saved):.0%}", "good" if saved > 0 else "bad")
            )
    cards.append(("market time", durations.text(data.ended - data.started), ""))
    if data.wall_seconds is not None:
        cards.append(("wall time", durations.text(data.wall_seconds), ""))
    cards.append(
        ("revocations survived" if data.outcome == "done" else "revocations", str(data.revocations), "")
    )
    if data.quality is not None:
        cards.append((data.quality_name or "quality", f"{data.quality:.4f}", ""))
    facts = (
        table((), [[html.escape(name), html.escape(value)] for name, value in data.facts])
        if data.facts
        else ""
    )
    return cards_of(cards) + facts


def cards_of(cards: Iterable[tuple[str, str, str]]) -> str:
    """Figures in boxes: each its name, its value, and `good`, `bad` or nothing."""
    shown = "".join(
        f'<div class="card {kind}"><b>{html.escape(value)}</b><span>{html.escape(name)}</span></div>'
        for name, value, kind in cards
    )
    return f'<div class="cards">{shown}</div>'


def _comparison(data: ReportData) -> str:
    if not data.comparison:
        return ""
    rows = [
        [
            html.escape(row.name),
            dollars(row.cost),
            "–" if row.seconds is None else durations.text(row.seconds),
            "" if row.revocations is None else str(row.revocations),
            "" if row.quality is None else f"{row.quality:.4f}",
            f'<span class="tag {"real" if "real" in row.how else ""}">{html.escape(row.how)}</span>',
        ]
        for row in data.comparison
    ]
    heads = ("policy", "cost", "market time", "revocations", data.quality_name or "quality", "how")
    return "<h2>Beside the other policies</h2>" + table(heads, rows, numbers=(1, 2, 3, 4))


def timeline_section(data: ReportData) -> str:
    """Prices and leases as a picture; nothing where there are none."""
    if not data.prices and not data.leases:
        return ""
    picture = pictures.timeline(data.prices, data.leases, data.started, data.ended)
    above = "Above: spot prices of the pools used, as the policy saw them. Below: a" if data.prices else "A"
    return (
        f"<h2>Prices and leases</h2><figure>{picture}<figcaption>{above} bar is a lease, and those that do "
        "not overlap share a lane; a triangle is a notice, a cross the end.</figcaption></figure>"
    )


def _curves(data: ReportData) -> str:
    if all(sample.loss is None for sample in data.samples):
        return ""
    picture = pictures.curves(data.samples, data.started)
    return f"<h2>Loss against time and against dollars</h2><figure>{picture}</figure>"


def _estimates(data: ReportData) -> str:
    if not data.estimates:
        return ""

    def number(value: float | None, unit: str) -> str:
        if value is None:
            return "–"
        if unit == "dollars":
            return dollars(value)
        return durations.text(value) if unit == "seconds" else f"{value:g}"

    rows = []
    for row in data.estimates:
        inside = row.actual is not None and row.low <= row.actual <= row.high
        verdict = '<span class="tag real">inside</span>' if inside else '<span class="tag out">outside</span>'
        rows.append(
            [
                html.escape(row.what),
                f"{number(row.low, row.unit)} to {number(row.high, row.unit)}",
                number(row.expected, row.unit),
                number(row.actual, row.unit),
                verdict if row.actual is not None else "",
            ]
        )
    heads = ("", "interval before the start", "expected", "actual", "")
    return "<h2>Estimate against actual</h2>" + table(heads, rows, numbers=(1, 2, 3))


def leases_section(data: ReportData) -> str:
    """Every lease in a table; nothing where there is none."""
    if not data.leases:
        return ""
    rows = [
        [
            html.escape(lease.id),
            html.escape(lease.pool),
            html.escape(lease.terms.replace("_", " ")),
            html.escape(lease.purpose),
            moment_text(lease.started),
            durations.text((data.ended if lease.ended is None else lease.ended) - lease.started),
            html.escape(lease.ending or "held"),
            "" if lease.cost is None else dollars(lease.cost),
        ]
        for lease in data.leases
    ]
    heads = ("lease", "pool", "terms", "for", "from", "held", "ended", "cost")
    return (
        f'<h2>Leases ({len(rows):,})</h2><div class="scroll">'
        + table(heads, rows, numbers=(5, 7), times=(4,))
        + "</div>"
    )


def decisions_section(data: ReportData) -> str:
    """Every decision in a table, with its reason."""
    rows = [
        [
            moment_text(row.at),
            html.escape(row.reason),
            "<br>".join(html.escape(action) for action in row.actions),
            html.escape(row.outcome),
        ]
        for row in data.decisions
    ]
    heads = ("moment", "reason", "actions", "outcome")
    return (
        f'<h2>Every decision ({len(rows):,})</h2><div class="scroll">'
        + table(heads, rows, times=(0,))
        + "</div>"
    )


def notes_section(data: ReportData) -> str:
    """What was noted; nothing where nothing was."""
    if not data.notes:
        return ""
    items = "".join(f"<li>{html.escape(note)}</li>" for note in data.notes)
    return f'<h2>Notes</h2><div class="scroll"><ul>{items}</ul></div>'


def honesty(real: Sequence[str], simulated: Sequence[str], sources: Sequence[Source]) -> str:
    """What was real and what was not, a sentence each, and where the data comes from."""
    parts = ["<h2>What was real, what was not</h2>"]
    for head, sentences in (("Real", real), ("Simulated or modelled", simulated)):
        if sentences:
            parts.append(f"<p><b>{head}</b></p><ul>")
            parts += [f"<li>{html.escape(sentence)}</li>" for sentence in sentences]
            parts.append("</ul>")
    if sources:
        rows = [
            [html.escape(each.what), html.escape(each.origin), html.escape(each.licence)] for each in sources
        ]
        parts.append(table(("data", "from", "licence"), rows))
    return "".join(parts)


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    times: Sequence[int] = (),
) -> str:
    """A table of cells that are HTML already."""

    def kind(column: int) -> str:
        return ' class="n"' if column in numbers else ' class="t"' if column in times else ""

    head = "".join(f"<th{kind(column)}>{html.escape(name)}</th>" for column, name in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(f"<td{kind(column)}>{cell}</td>" for column, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if heads else ''}<tbody>{body}</tbody></table>"
