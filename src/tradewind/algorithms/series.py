"""Time series as rows, so that streams, cursors, snapshots and caches take them as they take any rows.

A row is one series, as a sparse row. With `span` steps of time, F dynamic features and C categories its
columns are

    [0, span)                      the target by time step; a step without a value is missing, zero is stored
    [span (1 + f), span (2 + f))   dynamic feature f by time step, f = 0 .. F - 1
    then C columns                 the categories, whole numbers from 0
    then 5 columns                 day and second of the start, length, F, C

The start is kept in days since 1970-01-01 and seconds of that day, each of which float32 holds exactly. The
last two columns let every row say how it is laid out. `length` counts the steps of the history, missing ones
too; dynamic features may go on beyond it, into the time to be forecast.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from tradewind.algorithms.batch import Batch
from tradewind.errors import Misuse

TRAILER = 5
"""Columns after the categories: day, second, length, F, C."""
_DAY = 86400
_LARGEST = float(2**24)
_ZONE = re.compile(r":\d\d.*([zZ]|[+-])|\dZ$")


class SeriesLayout(Struct, frozen=True):
    """Which column holds what."""

    span: int
    """Steps of time that a row has room for."""
    dynamic: int = 0
    """F, dynamic features."""
    categories: int = 0
    """C."""

    @property
    def features(self) -> int:
        """The number of columns."""
        return self.span * (1 + self.dynamic) + self.categories + TRAILER


class Series(Struct, frozen=True, eq=False):
    """One series."""

    start: np.datetime64
    """The moment of its first step; whole seconds count."""
    target: NDArray[np.float64]
    """(length,), NaN where a value is missing."""
    categories: tuple[int, ...] = ()
    dynamic: NDArray[np.float64] = np.zeros((0, 0))
    """(F, at least length)."""


class SeriesBlock(Struct, frozen=True, eq=False):
    """Rows taken apart again: n series as dense arrays."""

    layout: SeriesLayout
    target: NDArray[np.float32]
    """(n, span), NaN where there is no value."""
    length: NDArray[np.int64]
    """(n,)"""
    start: NDArray[np.int64]
    """(n,), seconds since 1970-01-01."""
    categories: NDArray[np.int64]
    """(n, C)"""
    dynamic: NDArray[np.float32]
    """(n, F, span), NaN where there is no value."""

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: NDArray[Any]) -> SeriesBlock:
        """The series that `rows` picks, by number or flag."""
        return SeriesBlock(
            self.layout, self.target[rows], self.length[rows], self.start[rows], self.categories[rows],
            self.dynamic[rows],
        )  # fmt: skip

    def until(self, length: NDArray[np.int64]) -> SeriesBlock:
        """The same series as they were when they had `length` (n,) steps; dynamic features stay."""
        after = np.arange(self.layout.span) >= length[:, None]
        target = np.where(after, np.float32(np.nan), self.target)
        return SeriesBlock(self.layout, target, length, self.start, self.categories, self.dynamic)


def series_of(given: Any, source: str = "series", field: str = "") -> Series:
    """A series of a mapping as SageMaker's DeepAR writes it, or of a `Series`.

    The mapping has `start` (ISO 8601, or a datetime64; time zones are refused), `target`, and optionally
    `cat` (a number or a list) and `dynamic_feat` (a list of lists). None, NaN and the text "NaN" in the
    target are missing values. Raises Misuse, naming `source`, the field and the fix, for all else.
    """

    def refuse(problem: str, name: str, fix: str) -> Misuse:
        return Misuse(problem, source=source, field=f"{field}: {name}" if field else name, fix=fix)

    if isinstance(given, Series):
        given = {
            "start": given.start, "target": given.target, "cat": given.categories,
            "dynamic_feat": given.dynamic,
        }  # fmt: skip
    if not isinstance(given, Mapping):
        raise refuse(
            f"{type(given).__name__} is no series", "series", "Give a mapping with start and target."
        )
    unknown = set(given) - {"start", "target", "cat", "dynamic_feat", "item_id"}
    if unknown:
        raise refuse(
            "a series has no such field", sorted(map(str, unknown))[0],
            "Known: start, target, cat, dynamic_feat, item_id.",
        )  # fmt: skip
    for name in ("start", "target"):
        if name not in given:
            raise refuse("it is absent", name, "Give each series its start and its target.")
    try:
        moment = given["start"]
        if isinstance(moment, str) and _ZONE.search(moment):
            raise ValueError("a zone")
        start = np.datetime64(moment, "s")
        if np.isnat(start):
            raise ValueError("not a time")
    except (ValueError, TypeError):
        raise refuse(
            f"{given['start']!r} is no moment", "start", "Write it as 2026-01-31 12:00:00, without a zone."
        ) from None
    target = _numbers(given["target"], 1)
    if target is None or target.ndim != 1:
        raise refuse("it is no list of numbers", "target", "Give numbers; null or NaN for a missing value.")
    if np.isinf(target).any():
        place = int(np.flatnonzero(np.isinf(target))[0])
        raise refuse(f"step {place} is infinite", "target", "Write null or NaN for a missing value.")
    with np.errstate(over="ignore"):
        if np.isinf(target.astype(np.float32)).any():
            raise refuse("a value is too large for float32", "target", "Divide the series by a constant.")
    raw = given.get("cat")
    cat = [] if raw is None else ([raw] if np.ndim(raw) == 0 else list(raw))
    if not all(
        isinstance(each, int | np.integer) and not isinstance(each, bool) and 0 <= each < _LARGEST
        for each in cat
    ):
        raise refuse(f"{raw!r} is no category", "cat", "Number the categories 0, 1, 2, ...")
    raw = given.get("dynamic_feat")
    dynamic = np.zeros((0, 0)) if raw is None or len(raw) == 0 else _numbers(raw, 2)
    if dynamic is None or dynamic.ndim != 2:
        raise refuse("it is no list of equally long lists of numbers", "dynamic_feat", "Give one a feature.")
    with np.errstate(over="ignore"):
        if not np.isfinite(dynamic.astype(np.float32)).all():
            raise refuse("a value is missing or not finite", "dynamic_feat", "Fill in the gaps of features.")
    if len(dynamic) and dynamic.shape[1] < len(target):
        raise refuse(
            f"{dynamic.shape[1]} steps for a target of {len(target)}", "dynamic_feat",
            "Give a value for each step of the target at least.",
        )  # fmt: skip
    return Series(start, target, tuple(int(each) for each in cat), dynamic)


def _numbers(given: Any, dimensions: int) -> NDArray[np.float64] | None:
    """Numbers with NaN for null; None where they are no such thing."""
    if isinstance(given, np.ndarray) or (
        dimensions == 1 and not isinstance(given, Sequence) and hasattr(given, "__array__")
    ):
        found = np.asarray(given)
        return found.astype(np.float64) if found.dtype.kind in "fiu" else None
    if not isinstance(given, Sequence) or isinstance(given, str):
        return None
    if dimensions == 2:
        parts = [_numbers(each, 1) for each in given]
        if any(each is None for each in parts) or len({len(each) for each in parts if each is not None}) > 1:
            return None
        return np.array(parts, np.float64)
    plain = [
        np.nan if each is None or (isinstance(each, str) and each.lower() == "nan") else each
        for each in given
    ]
    if any(isinstance(each, bool | str) or not np.isreal(each) or np.ndim(each) for each in plain):
        return None
    return np.array(plain, np.float64)


def series_rows(
    given: Sequence[Any], source: str = "series", *, span: int | None = None, fields: Sequence[str] = ()
) -> Batch:
    """One row a series, of mappings or `Series`; see `series_of`.

    `span` is how many steps a row has room for, the longest series' if it is not given. Raises Misuse where
    series differ in their number of categories or dynamic features, or one is longer than `span`. `fields`
    says how errors name each.
    """
    names = fields or [f"series {number}" for number in range(len(given))]
    if not len(given):
        raise Misuse("there is no series", source=source, fix="Give at least one.")
    parsed = [series_of(each, source, name) for each, name in zip(given, names, strict=True)]
    F, C = len(parsed[0].dynamic), len(parsed[0].categories)
    longest = 1
    for each, name in zip(parsed, names, strict=True):
        for what, found, first in (
            ("dynamic_feat", len(each.dynamic), F),
            ("cat", len(each.categories), C),
        ):
            if found != first:
                raise Misuse(
                    f"{found} where the first series has {first}", source=source, field=f"{name}: {what}",
                    fix="Give every series the same number.",
                )  # fmt: skip
        steps = max(len(each.target), each.dynamic.shape[1] if F else 0)
        if span is not None and steps > span:
            raise Misuse(
                f"{steps} steps do not fit in {span}", source=source, field=name,
                fix="Give a larger span, or cut the beginning off.",
            )  # fmt: skip
        longest = max(longest, steps)
    layout = SeriesLayout(longest if span is None else span, F, C)
    if layout.features >= 2**31 or layout.span > _LARGEST:
        raise Misuse("the longest series is too long", source=source, field="target", fix="Cut it.")
    bounds, columns, values = [0], [], []
    for each in parsed:
        there = np.flatnonzero(~np.isnan(each.target))
        columns.append(there)
        values.append(each.target[there])
        for f in range(F):
            columns.append(layout.span * (1 + f) + np.arange(each.dynamic.shape[1]))
            values.append(each.dynamic[f])
        seconds = int(each.start.astype(np.int64))
        columns.append(np.arange(layout.features - TRAILER - C, layout.features))
        values.append(
            np.array([*each.categories, seconds // _DAY, seconds % _DAY, len(each.target), F, C], np.float64)
        )
        bounds.append(bounds[-1] + len(there) + F * each.dynamic.shape[1] + C + TRAILER)
    return Batch(
        layout.features,
        indptr=np.array(bounds, np.int64),
        indices=np.concatenate(columns).astype(np.int32),
        values=np.concatenate(values).astype(np.float32),
    )


def wide_rows(
    table: ArrayLike, start: Any = "1970-01-01", source: str = "table", *, span: int | None = None
) -> Batch:
    """One row a series, of a wide table (n, T) of numbers whose rows end where only NaN is left.

    So are the files of the M4 competition, or a data frame of numbers. NaN before the end is a missing value.
    `start` is the moment of the first column, of all rows or one each. Misuse where it is no such table.
    """
    numbers = np.asarray(table)
    if numbers.ndim != 2 or numbers.dtype.kind not in "fiu" or not len(numbers):
        raise Misuse(
            f"an array of shape {numbers.shape} and type {numbers.dtype}", source=source, field="table",
            fix="Give numbers, (series, steps).",
        )  # fmt: skip
    there = ~np.isnan(numbers.astype(np.float64))
    lengths = np.where(there.any(axis=1), numbers.shape[1] - np.argmax(there[:, ::-1], axis=1), 0)
    starts = [start] * len(numbers) if np.ndim(start) == 0 else list(start)
    if len(starts) != len(numbers):
        raise Misuse(
            f"{len(starts)} moments for {len(numbers)} rows", source=source, field="start",
            fix="Give one, or one a row.",
        )  # fmt: skip
    given = [
        {"start": moment, "target": row[:length]}
        for moment, row, length in zip(starts, numbers, lengths, strict=True)
    ]
    return series_rows(
        given, source, span=span or int(numbers.shape[1]), fields=[f"row {i}" for i in range(len(given))]
    )


def layout_of(batch: Batch, source: str = "rows") -> SeriesLayout:
    """How the rows of a batch are laid out, from their last columns; Misuse if they are no series."""
    wrong = Misuse(
        "these rows are no series", source=source, field="rows",
        fix="Open JSON Lines with format='series', or make the rows with series_rows or wide_rows.",
    )  # fmt: skip
    if not batch.sparse or not len(batch) or batch.features <= TRAILER:
        raise wrong
    assert batch.indptr is not None and batch.indices is not None and batch.values is not None
    ends = batch.indptr[1:]
    if (np.diff(batch.indptr) < TRAILER).any():
        raise wrong
    places = batch.indices[ends[:, None] + np.arange(-TRAILER, 0)]
    if not (places == batch.features + np.arange(-TRAILER, 0)).all():
        raise wrong
    F, C = batch.values[ends - 2], batch.values[ends - 1]
    if not (F[0] == F).all() or not (C[0] == C).all() or F[0] < 0 or C[0] < 0:
        raise wrong
    span, rest = divmod(batch.features - TRAILER - int(C[0]), 1 + int(F[0]))
    if rest or span < 1 or F[0] != int(F[0]) or C[0] != int(C[0]):
        raise wrong
    return SeriesLayout(span, int(F[0]), int(C[0]))


def lengths_of(batch: Batch, source: str = "rows") -> NDArray[np.int64]:
    """How many steps each series of a batch has, (n,); Misuse if its rows are no series."""
    layout_of(batch, source)
    assert batch.indptr is not None and batch.values is not None
    return batch.values[batch.indptr[1:] - 3].astype(np.int64)


def unpacked_series(batch: Batch, source: str = "rows") -> SeriesBlock:
    """The series of a batch as dense arrays; Misuse if its rows are no series. O(n span (1 + F)) memory."""
    layout = layout_of(batch, source)
    dense = np.full((len(batch), batch.features), np.nan, np.float32)
    assert batch.indptr is not None and batch.indices is not None and batch.values is not None
    dense[np.repeat(np.arange(len(batch)), np.diff(batch.indptr)), batch.indices] = batch.values
    at = layout.span * (1 + layout.dynamic)
    trailer = dense[:, -TRAILER:].astype(np.float64)
    categories = dense[:, at : at + layout.categories]
    length = trailer[:, 2]
    if np.isnan(trailer).any() or np.isnan(categories).any() or (length > layout.span).any():
        raise Misuse(
            "a row lacks its categories, its start or its length", source=source, field="rows",
            fix="Make the rows with series_rows or wide_rows.",
        )  # fmt: skip
    return SeriesBlock(
        layout,
        dense[:, : layout.span],
        length.astype(np.int64),
        (trailer[:, 0] * _DAY + trailer[:, 1]).astype(np.int64),
        categories.astype(np.int64),
        dense[:, layout.span : at].reshape(len(batch), layout.dynamic, layout.span),
    )
