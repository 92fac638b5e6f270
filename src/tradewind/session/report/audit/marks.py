"""Pieces that the sections of an audit's page share: figures, tags, tables of parts and of files."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from tradewind.session.report.audit.data import CheckLine, FileLine, Mark, ShareLine, sized
from tradewind.session.report.page import table

_MARKS: dict[Mark, tuple[str, str]] = {
    "good": ("real", "as it should be"),
    "bad": ("out", "not as it should be"),
    "unsure": ("doubt", "not known"),
    "": ("", ""),
}


def figure(picture: str, *sentences: str) -> str:
    """A picture with what it shows, in words."""
    words = " ".join(html.escape(each) for each in sentences if each)
    return f"<figure>{picture}<figcaption>{words}</figcaption></figure>"


def tag(words: str, mark: Mark = "") -> str:
    """A word in a box, in the colour of its mark."""
    return f'<span class="tag {_MARKS[mark][0]}">{html.escape(words)}</span>'


def mark_tag(mark: Mark) -> str:
    """A mark in words."""
    return tag(_MARKS[mark][1], mark) if mark else ""


def code(words: str) -> str:
    """A path, key or digest."""
    return f"<code>{html.escape(words)}</code>"


def scroll(inside: str, many: bool) -> str:
    """A table in a box of its own if it is long."""
    return f'<div class="scroll">{inside}</div>' if many else inside


def paragraphs(sentences: Iterable[str]) -> str:
    """A paragraph for each sentence."""
    return "".join(f'<p class="small soft">{html.escape(each)}</p>' for each in sentences)


def facts_table(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values."""
    return table((), [[html.escape(name), code(value)] for name, value in rows])


def degree_cell(degree: float) -> str:
    """A degree with a small bar of what is kept."""
    return f'{degree:.3f}<span class="bar"><i style="width:{100 * (1 - degree):.0f}%"></i></span>'


def share_table(head: str, lines: Sequence[ShareLine], whole: ShareLine | None = None) -> str:
    """Parts before and after, and their sum; the sum must be the whole where one is given (ValueError)."""
    total = ShareLine(
        "total",
        *(
            sum(getattr(line, field) for line in lines)
            for field in ("bytes", "kept_bytes", "files", "kept_files", "packages", "bloated")
        ),
    )
    if whole is not None and (total.bytes, total.kept_bytes) != (whole.bytes, whole.kept_bytes):
        raise ValueError(f"the parts by {head} do not sum to the whole: {total} and {whole}")
    heads = (head, "bytes", "kept", "removed", "degree", "files", "kept", "packages", "nothing used")
    rows = [_share_row(line) for line in (*lines, total)]
    packages = any(line.packages for line in lines)
    cut = len(heads) if packages else len(heads) - 2
    told = table(heads[:cut], [row[:cut] for row in rows], numbers=range(1, cut))
    # The total is the last row; its class sets it apart.
    before, last = told.rsplit("<tr>", 1)
    return f'{before}<tr class="total">{last}'


def file_table(files: Sequence[FileLine], head: str = "file") -> str:
    """Files by size."""
    columns = [[code(each.path) for each in files], [sized(each.bytes) for each in files]]
    heads = [head, "bytes"]
    for name, words in (("of", [each.owner for each in files]), ("", [each.note for each in files])):
        if any(words):
            heads.append(name)
            columns.append([html.escape(each) for each in words])
    return scroll(table(heads, list(zip(*columns, strict=True)), numbers=(1,)), len(files) > 15)


def checks_table(checks: Sequence[CheckLine], heads: Sequence[str]) -> str:
    """What was checked, on both sides, and how it came out."""
    rows = [
        [
            html.escape(each.what)
            + (f'<br><span class="small soft">{html.escape(each.told)}</span>' if each.told else ""),
            code(each.before),
            code(each.after),
            mark_tag(each.mark),
        ]
        for each in checks
    ]
    return scroll(table(heads, rows), len(rows) > 20)


def _share_row(line: ShareLine) -> list[str]:
    return [
        html.escape(line.name),
        sized(line.bytes),
        sized(line.kept_bytes),
        sized(line.bytes - line.kept_bytes),
        degree_cell(line.degree),
        f"{line.files:,}",
        f"{line.kept_files:,}",
        f"{line.packages:,}" if line.packages else "",
        f"{line.bloated:,}" if line.packages else "",
    ]
