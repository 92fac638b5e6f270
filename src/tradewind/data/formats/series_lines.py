"""Series in JSON Lines, as SageMaker's DeepAR reads them: one object a line.

`{"start": "2026-01-01 00:00:00", "target": [4.0, null, 5.5], "cat": [0, 3], "dynamic_feat": [[1, 1, 0]]}`,
where `cat` and `dynamic_feat` may be left out, and null, NaN and "NaN" are missing values.
"""

from __future__ import annotations

import json

import numpy as np

from tradewind.algorithms.series import TRAILER, series_of, series_rows
from tradewind.data.tables import Table
from tradewind.errors import Misuse


def parse_series(text: bytes, name: str, *, features: int | None = None) -> Table:
    """The series of JSON Lines as sparse rows, laid out as `algorithms.series` says.

    `features` fixes the number of columns, so that files whose longest series differ can follow each other in
    one job; without it there is room for the longest. Raises Misuse, naming line and field, for what is no
    series.
    """
    found, lines = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            value = json.loads(line)
        except ValueError as problem:
            raise Misuse(
                f"not JSON ({problem})", source=name, field=where, fix="Write one JSON object a line."
            ) from None
        found.append(series_of(value, name, where))
        lines.append(number)
    if not found:
        raise Misuse("there are no series", source=name, fix="Give a file with one JSON object a line.")
    span = None
    if features is not None:
        dynamic, categories = len(found[0].dynamic), len(found[0].categories)
        span, rest = divmod(features - TRAILER - categories, 1 + dynamic)
        if rest or span < 1:
            raise Misuse(
                f"{features} columns cannot hold {dynamic} dynamic features and {categories} categories",
                source=name,
                field="features",
                fix=f"Give steps * {1 + dynamic} + {categories + TRAILER}.",
            )
    rows = series_rows(found, name, span=span, fields=[f"line {number}" for number in lines])
    return Table(name, rows, lines=np.array(lines, np.int64))
