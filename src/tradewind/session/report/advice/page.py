"""The page of a search for a configuration: one HTML file, without a script and without the network."""

from __future__ import annotations

import html
from pathlib import Path

from tradewind.session import durations
from tradewind.session.advise_outlook import against_current, money, sentence
from tradewind.session.report.advice import pictures
from tradewind.session.report.advice.reading import AdviceData
from tradewind.session.report.page import cards_of, document, table, write_document
from tradewind.session.report.study.drawing import number

MOST_ROWS = 500
"""Candidates in the table of all."""
_STYLE = "<style>h1,.wide{overflow-wrap:anywhere}pre{background:#f8fafc;padding:10px;overflow:auto}</style>"


def advice_page(data: AdviceData) -> str:
    """The whole page as text."""
    parts = [_STYLE, _subtitle(data), cards_of(_cards(data)), _recommended(data)]
    parts += [_scatter(data), _course(data), _probes(data), _candidates(data), _notes(data)]
    return document(
        f"Advice for {data.name}", parts, f"Made by Tradewind {data.version} from the run's records alone."
    )


def write_advice_page(data: AdviceData, path: Path) -> None:
    """Write the page to `path`, whole or not at all; Misuse if that is no place for a file."""
    write_document(advice_page(data), path)


def _subtitle(data: AdviceData) -> str:
    wanted = "the least cost of a run" if data.minimize == "cost" else "the least time of a run"
    if data.deadline is not None:
        wanted += f", within {durations.text(data.deadline)}"
    line = f"{wanted} · advisor {data.advisor} · {data.outcome}: {data.reason}"
    return f'<p class="soft">{html.escape(line)}</p>'


def _cards(data: AdviceData) -> list[tuple[str, str, str]]:
    best = data.recommendation
    cards = [("recommended", "nothing" if best is None else best.name, "bad" if best is None else "good")]
    if best is not None:
        cards += [
            ("a run costs", money(best.dollars), ""),
            ("a run takes", durations.text(best.seconds), ""),
        ]
        if best.saving is not None and data.current != best.name:
            kind = "saved" if best.saving >= 0 else "lost"
            cards.append(
                (
                    f"{kind} against {data.current}",
                    f"{abs(best.saving):.0%}",
                    "good" if best.saving > 0 else "bad",
                )
            )
    budget = "" if data.budget is None else f" of {money(data.budget)}"
    cards.append((f"spent on probes{budget}", money(data.spent), ""))
    cards.append(("probes", str(len({each.number for each in data.probes})), ""))
    return cards


def _recommended(data: AdviceData) -> str:
    best = data.recommendation
    if best is None:
        why = "no candidate has done what is asked, and none is likely to."
        return f"<p><b>Nothing can be recommended:</b> {why}</p>"
    words = [
        f"{best.name}: {sentence(best, data.minimize)}.",
        against_current(best, data.rows, data.minimize),
    ]
    told = "".join(f"<p>{html.escape(each)}</p>" for each in words)
    if best.warnings:
        told += "<ul>" + "".join(f"<li>{html.escape(each)}</li>" for each in best.warnings) + "</ul>"
    return f"<h2>What to run on</h2>{told}<pre>{html.escape(data.snippet)}</pre>"


def _scatter(data: AdviceData) -> str:
    picture, left = pictures.scatter(data)
    words = "A filled mark was measured, a ring is believed with its 90 % interval. " + (
        f"{left}." if left else ""
    )
    return (
        f"<h2>Cost against time</h2><figure>{picture}<figcaption>{html.escape(words)}</figcaption></figure>"
    )


def _course(data: AdviceData) -> str:
    if not data.probes:
        return '<h2>Probes</h2><p class="soft">None was made.</p>'
    picture, left = pictures.course(data)
    words = "What each attempt cost, however it ended." if data.minimize == "cost" else "What each took."
    words += f" {left}." if left else ""
    return f"<h2>Probes</h2><figure>{picture}<figcaption>{html.escape(words)}</figcaption></figure>"


def _probes(data: AdviceData) -> str:
    if not data.probes:
        return ""
    rows = [
        [
            str(each.number),
            html.escape(each.name),
            _wide(each.reason),
            each.status.replace("_", " "),
            durations.text(each.seconds),
            money(each.dollars),
            f"{each.seen['cpu_user']:.0%}" if "cpu_user" in each.seen else "",
            f"{each.seen['held_gib']:.3g}" if "held_gib" in each.seen else "",
            _wide(each.words),
        ]
        for each in data.probes
    ]
    heads = ("probe", "configuration", "why", "ended", "took", "cost", "CPU, user", "GiB held", "")
    return '<div class="scroll">' + table(heads, rows, numbers=(0, 4, 5, 6, 7)) + "</div>"


def _candidates(data: AdviceData) -> str:
    rows = []
    for row in data.rows[:MOST_ROWS]:
        tags = "".join(
            f' <span class="tag {kind}">{name}</span>'
            for name, kind, there in (("recommended", "real", row.recommended), ("runs now", "", row.current))
            if there
        )
        rows.append(
            [
                html.escape(row.name) + tags,
                money(row.per_hour),
                f"{row.status.replace('_', ' ') or 'believed'}",
                number(row.value),
                f"{number(row.low)} to {number(row.high)}",
                durations.text(row.seconds),
                money(row.dollars),
                f"{row.works:.2f}",
            ]
        )
    heads = (
        "configuration",
        "an hour",
        "known",
        "objective",
        "90 % interval",
        "a run takes",
        "costs",
        "works",
    )
    more = len(data.rows) - len(rows)
    note = f'<p class="soft small">{more} more are not shown.</p>' if more else ""
    return (
        f"<h2>All candidates ({len(data.rows):,})</h2>"
        '<div class="scroll">' + table(heads, rows, numbers=(1, 3, 4, 5, 6, 7)) + f"</div>{note}"
    )


def _notes(data: AdviceData) -> str:
    told = "".join(f"<li>{html.escape(each)}</li>" for each in data.notes if each)
    return f"<h2>How it was measured</h2><ul>{told}</ul>" if told else ""


def _wide(words: str) -> str:
    words = words if len(words) <= 400 else words[:399] + "…"
    return f'<span class="wide">{html.escape(words)}</span>'
