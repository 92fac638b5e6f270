"""Measured runs from a file, whichever layout it has."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from tradewind.data.measured_runs.published import LAYOUTS
from tradewind.data.measured_runs.table import NEEDED, read_table
from tradewind.errors import Misuse
from tradewind.market.measured_runs import MeasuredRun

_GZIP = b"\x1f\x8b"


def measured_runs(path: str | Path) -> tuple[MeasuredRun, ...]:
    """The runs in a file, gzipped or not: of our layout, or of one of those in `published`.

    Raises Misuse that names the file, the line and the column of whatever is wrong.
    """
    source = str(path)
    try:
        content = Path(path).read_bytes()
        if content.startswith(_GZIP):
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, EOFError, zlib.error) as problem:
        raise Misuse(f"cannot be read: {problem}", source=source, fix="Give a CSV file.") from problem
    first = text.partition("\n")[0].strip()
    for beginning, layout in LAYOUTS.items():
        if first.startswith(beginning):
            return layout(text, source)
    if missing := [name for name in NEEDED if name not in first.split(",")]:
        raise Misuse(
            "the column is missing from the first line",
            source=source,
            field=missing[0],
            fix=f"Give a CSV file with {','.join(NEEDED)}.",
        )
    return read_table(text, source)
