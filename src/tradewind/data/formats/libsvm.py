"""LIBSVM's sparse rows: a label, then ascending index:value pairs; text after # is a comment."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradewind.algorithms.batch import Batch
from tradewind.data.formats.numerals import (
    LEFT_TO_PYTHON,
    NO_NUMBER,
    cell_at,
    line_of,
    python_number,
    read_numeral,
    writes_gap,
    writes_nonfinite,
)
from tradewind.data.schemas import encode_classes
from tradewind.data.tables import Table
from tradewind.errors import Misuse

_FINE, _BAD_LABEL, _BAD_PAIR, _BAD_INDEX, _BAD_VALUE, _ZERO_INDEX, _HUGE_INDEX, _DISORDER = range(8)


def parse_libsvm(
    text: bytes,
    name: str,
    *,
    features: int | None = None,
    zero_based: bool = False,
    classes: tuple[str, ...] | None = None,
    gaps: bool = False,
) -> Table:
    """The rows of a LIBSVM text. `features` is found where it is None; an index beyond it is Misuse.

    With `gaps` a value may be written NaN, which means that it is missing.

    Indices begin with 1 as the format says, unless `zero_based`. Raises Misuse, naming line and field, for a
    label or value that is no finite number, a pair without a colon, and indices that do not ascend.
    """
    raw = np.frombuffer(text, np.uint8)
    lines, pairs = text.count(b"\n") + 1, text.count(b":")
    rows, entries, problem, position, bounds, indices, values, labels, starts, slow = _scan(
        raw, lines, pairs, 0 if zero_based else 1, np.iinfo(np.int32).max if features is None else features
    )
    if problem:
        _refuse(problem, text, position, name, features)
    for place, start, stop in slow:
        number = python_number(text[start:stop])
        assert number is not None
        if place >= 0:
            values[place] = number
        else:
            labels[-1 - place] = number
    with np.errstate(over="ignore"):  # beyond a float32 is told below, as infinite
        values = values[:entries].astype(np.float32)
    labels, starts = labels[:rows], starts[:rows]
    _check_finite(text, name, bounds, values, labels, starts, gaps)
    if not rows:
        raise Misuse("there are no rows", source=name, fix="Give a file with rows.")
    indices = indices[:entries].copy()
    found = int(indices.max()) + 1 if entries else 0
    breaks = np.flatnonzero(raw == 10)
    numbers = np.searchsorted(breaks, starts).astype(np.int64) + 1
    kept: NDArray[np.int64] | NDArray[np.float64] = labels
    names: tuple[str, ...] = ()
    if classes is not None:
        texts = np.array([f"{label:g}" for label in labels])
        kept, names = encode_classes(texts, classes, name, lambda row: f"line {numbers[row]}")
    batch = Batch(
        found if features is None else features, indptr=bounds[: rows + 1].copy(), indices=indices,
        values=values, labels=kept,
    )  # fmt: skip
    return Table(name, batch, classes=names, lines=numbers)


def _refuse(problem: int, text: bytes, position: int, name: str, features: int | None) -> None:
    cell = cell_at(text, position, b" \t\r\n")
    stated = f"the data has {features} features"
    why, fix = {
        _BAD_LABEL: (f"the label {cell!r} is not a number", "Begin each line with a number."),
        _BAD_PAIR: (f"{cell!r} is not index:value", "Write each feature as index:value."),
        _BAD_INDEX: (f"the index of {cell!r} is not a whole number", "Write each feature as index:value."),
        _BAD_VALUE: (f"the value of {cell!r} is not a number", "Write each feature as index:value."),
        _ZERO_INDEX: (f"{cell!r} has index 0", "Indices begin with 1; give zero_based=True if yours do not."),
        _HUGE_INDEX: (f"the index of {cell!r} is too big: {stated}", "Give the right number of features."),
        _DISORDER: (f"the index of {cell!r} does not ascend", "Sort each line's features; give each once."),
    }[problem]
    raise Misuse(why, source=name, field=f"line {line_of(text, position)}", fix=fix)


def _check_finite(
    text: bytes,
    name: str,
    bounds: NDArray[np.int64],
    values: NDArray[np.float32],
    labels: NDArray[np.float64],
    starts: NDArray[np.int64],
    gaps: bool,
) -> None:
    bad = np.flatnonzero(~np.isfinite(labels))
    row, problem = (int(bad[0]), "the label") if len(bad) else (-1, "")
    bad = np.flatnonzero(np.isinf(values) if gaps else ~np.isfinite(values))
    if len(bad):
        first = int(np.searchsorted(bounds[: len(labels) + 1], bad[0], side="right")) - 1
        if row < 0 or first < row:
            row, problem = first, "a value"
    if row >= 0:
        raise Misuse(
            f"{problem} is not a finite number", source=name, field=f"line {line_of(text, int(starts[row]))}",
            fix="Fill or drop such rows first.",
        )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _scan(text, lines, pairs, base, features):  # type: ignore[no-untyped-def]
    bounds = np.zeros(lines + 1, np.int64)
    indices = np.empty(pairs, np.int32)
    values = np.empty(pairs, np.float64)
    labels = np.empty(lines, np.float64)
    starts = np.empty(lines, np.int64)
    slow = [(np.int64(0), np.int64(0), np.int64(0)) for _ in range(0)]
    rows = 0
    entries = 0
    at = 0
    end = len(text)
    while at < end:
        while at < end and (text[at] == 32 or text[at] == 9 or text[at] == 13):
            at += 1
        if at == end:
            break
        if text[at] == 10:
            at += 1
            continue
        if text[at] == 35:
            while at < end and text[at] != 10:
                at += 1
            continue
        start = at
        while at < end and not (
            text[at] == 32 or text[at] == 9 or text[at] == 13 or text[at] == 10 or text[at] == 35
        ):
            at += 1
        number, how = read_numeral(text, start, at)
        if how == NO_NUMBER:
            if not writes_nonfinite(text, start, at):
                return rows, entries, _BAD_LABEL, start, bounds, indices, values, labels, starts, slow
            number = np.nan
        elif how == LEFT_TO_PYTHON:
            slow.append((np.int64(-1 - rows), np.int64(start), np.int64(at)))
        labels[rows] = number
        starts[rows] = start
        before = np.int64(-1)
        while at < end and text[at] != 10:
            if text[at] == 32 or text[at] == 9 or text[at] == 13:
                at += 1
                continue
            if text[at] == 35:
                while at < end and text[at] != 10:
                    at += 1
                break
            start = at
            index = np.int64(0)
            while at < end and 48 <= text[at] <= 57:
                index = min(index * 10 + (text[at] - 48), np.int64(1) << 40)
                at += 1
            if at == end or text[at] != 58:
                problem = _BAD_PAIR
                look = at
                while look < end and not (text[look] == 32 or text[look] == 10):
                    if text[look] == 58:
                        problem = _BAD_INDEX
                    look += 1
                return rows, entries, problem, start, bounds, indices, values, labels, starts, slow
            if at == start:
                return rows, entries, _BAD_INDEX, start, bounds, indices, values, labels, starts, slow
            at += 1
            first = at
            while at < end and not (
                text[at] == 32 or text[at] == 9 or text[at] == 13 or text[at] == 10 or text[at] == 35
            ):
                at += 1
            if index < base:
                return rows, entries, _ZERO_INDEX, start, bounds, indices, values, labels, starts, slow
            index -= base
            if index >= features:
                return rows, entries, _HUGE_INDEX, start, bounds, indices, values, labels, starts, slow
            if index <= before:
                return rows, entries, _DISORDER, start, bounds, indices, values, labels, starts, slow
            before = index
            number, how = read_numeral(text, first, at)
            if how == NO_NUMBER:
                if not writes_nonfinite(text, first, at):
                    return rows, entries, _BAD_VALUE, start, bounds, indices, values, labels, starts, slow
                number = np.nan if writes_gap(text, first, at) else np.inf
            elif how == LEFT_TO_PYTHON:
                slow.append((np.int64(entries), np.int64(first), np.int64(at)))
            indices[entries] = index
            values[entries] = number
            entries += 1
        rows += 1
        bounds[rows] = entries
    return rows, entries, _FINE, 0, bounds, indices, values, labels, starts, slow
