"""CSV: one row a line, cells between delimiters, with or without a line of names, quoted or not."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.mixing import text_number, text_numbers
from tradewind.data.formats.numerals import (
    EXACT,
    LEFT_TO_PYTHON,
    cell_at,
    line_of,
    python_number,
    read_numeral,
    writes_gap,
    writes_nonfinite,
)
from tradewind.data.schemas import column_index, encode_classes
from tradewind.data.tables import Table
from tradewind.errors import Misuse

_FINE, _RAGGED, _NO_NUMBER = 0, 1, 2
_LABEL, _WEIGHT, _SKIPPED = -1, -2, -3


def parse_csv(
    text: bytes,
    name: str,
    *,
    label: str | int | None = "label",
    features: int | Sequence[str | int] | None = None,
    weight: str | int | None = None,
    header: bool | None = None,
    delimiter: str = ",",
    classes: tuple[str, ...] | None = None,
    gaps: bool = False,
    categories: Sequence[str | int] = (),
) -> Table:
    """The rows of a CSV text, dense, as float64.

    `label` and `weight` are columns by name or number; `features` the number of the others, or which of them
    to take. Whether the first line holds names is found where `header` is None: it does if a column is asked
    for by name, or if a cell of it is no number where the second line has one. A label column with a cell
    that is no number is text: the labels are then 0, 1, ... and `classes` says what they stand for. With
    `gaps` a feature may be missing (nothing, ?, NA, N/A, NaN, null, None) and is NaN. The cells of the
    columns `categories` are text, each read as the number that `mixing.text_numbers` gives it; there nothing
    is missing, an empty cell is the empty text.

    Raises Misuse, naming line and column, for a missing column, a ragged row, a cell that is no finite
    number.
    """
    if len(delimiter) != 1 or not delimiter.isascii():
        raise Misuse(
            f"{delimiter!r} is no delimiter", source=name, field="delimiter", fix="Give one character."
        )
    try:
        first = _first_cells(text, delimiter)
    except UnicodeDecodeError:
        raise Misuse(
            "the first line is not UTF-8 text", source=name, fix="Convert the file to UTF-8."
        ) from None
    if header is None:
        wanted = [label, weight, *categories, *(features if isinstance(features, Sequence) else ())]
        header = any(isinstance(column, str) for column in wanted if column is not None) or (
            len(first) == 2
            and any(
                not _writes_number(a) and _writes_number(b) for a, b in zip(first[0], first[1], strict=False)
            )
        )
    columns = tuple(cell.strip() for cell in first[0]) if header else ()
    names = columns or tuple(str(place) for place in range(len(first[0])))
    roles, chosen = _roles(names, name, bool(columns), label, weight, features)
    texts = _texts(names, name, roles, categories)
    read = _quoted if b'"' in text else _plain
    matrix, cells, weights, lines = read(
        text, name, delimiter, header, names, roles, len(chosen), texts, gaps
    )
    if not len(matrix):
        raise Misuse("there are no rows", source=name, fix="Give a file with rows.")
    _check_finite(matrix, weights, lines, name, [names[place] for place in chosen], names, roles, gaps)
    labels = None
    kinds: tuple[str, ...] = ()
    if cells is not None:
        label_name = names[int(np.flatnonzero(roles == _LABEL)[0])]
        labels, kinds = _labels(cells, classes, lines, name, label_name, gaps)
    batch = Batch(len(chosen), dense=matrix, labels=labels, weights=weights)
    taken = tuple(names[place] for place in chosen) if columns else ()
    return Table(name, batch, taken, kinds, lines)


def _first_cells(text: bytes, delimiter: str) -> list[list[str]]:
    """The cells of the first two rows that are not blank."""
    if b'"' not in text:  # then a row is a line, and only the first lines need decoding
        lines = (line for line in text.split(b"\n", 64) if line.strip())
        text = b"\n".join(itertools.islice(lines, 2))
    reader = csv.reader(io.StringIO(text.decode(), newline=""), delimiter=delimiter)
    return list(itertools.islice((row for row in reader if any(cell.strip() for cell in row)), 2))


def _writes_number(cell: str) -> bool:
    return python_number(cell.strip().encode()) is not None


def _roles(
    names: tuple[str, ...],
    source: str,
    named: bool,
    label: str | int | None,
    weight: str | int | None,
    features: int | Sequence[str | int] | None,
) -> tuple[NDArray[np.int64], list[int]]:
    """What each column is for, and the feature columns in their order."""
    roles = np.full(len(names), _SKIPPED, np.int64)
    for field, column, role in (("label", label, _LABEL), ("weight", weight, _WEIGHT)):
        if column is not None:
            if isinstance(column, str) and not named:
                raise Misuse(
                    f"the file has no line of names to find {column!r} in", source=source, field=field,
                    fix="Give the column's number, or None.",
                )  # fmt: skip
            roles[column_index(column, names, source, field)] = role
    if features is None or isinstance(features, int):
        chosen = [place for place in range(len(names)) if roles[place] == _SKIPPED]
        if features is not None and len(chosen) != features:
            raise Misuse(
                f"there are {len(chosen)} feature columns, not {features}", source=source, field="features",
                fix="Give the right number, or the columns by name.",
            )  # fmt: skip
    else:
        chosen = [column_index(column, names, source, "features") for column in features]
        for place in chosen:
            if roles[place] != _SKIPPED or chosen.count(place) > 1:
                raise Misuse(
                    f"the column {names[place]!r} is taken twice", source=source, field="features",
                    fix="Name each column once, for one purpose.",
                )  # fmt: skip
    if not chosen:
        raise Misuse("there is no feature column", source=source, fix="Give at least one.")
    for order, place in enumerate(chosen):
        roles[place] = order
    return roles, chosen


def _plain(
    text: bytes,
    name: str,
    delimiter: str,
    header: bool,
    names: tuple[str, ...],
    roles: NDArray[np.int64],
    width: int,
    texts: NDArray[np.bool_],
    gaps: bool,
) -> tuple[NDArray[np.float64], NDArray[np.bytes_] | None, NDArray[np.float32] | None, NDArray[np.int64]]:
    """Read a text without quotes."""
    raw = np.frombuffer(text, np.uint8)
    lines = text.count(b"\n") + 1
    rows, problem, position, column, matrix, weights, starts, spans, slow = _scan(
        raw, lines, ord(delimiter), header, roles, width, texts, gaps
    )
    if problem == _RAGGED:
        raise Misuse(
            f"{column} cells where there are {len(names)} columns", source=name,
            field=f"line {line_of(text, position)}", fix="Give every row a cell for each column.",
        )  # fmt: skip
    if problem == _NO_NUMBER:
        cell = cell_at(text, position, delimiter.encode() + b"\r\n")
        _refuse_cell(cell, name, line_of(text, position), names[column])
    for row, place, start, stop in slow:
        number = python_number(text[start:stop])
        assert number is not None
        if place >= 0:
            matrix[row, place] = number
        else:
            weights[row] = number
    numbers = np.searchsorted(np.flatnonzero(raw == 10), starts[:rows]).astype(np.int64) + 1
    cells = None
    if (roles == _LABEL).any():
        spans = spans[:rows]
        longest = max(1, int((spans[:, 1] - spans[:, 0]).max())) if rows else 1
        cells = _cut(raw, spans, longest).view(f"S{longest}").ravel()
    kept = weights[:rows].astype(np.float32) if (roles == _WEIGHT).any() else None
    return matrix[:rows], cells, kept, numbers


def _quoted(
    text: bytes,
    name: str,
    delimiter: str,
    header: bool,
    names: tuple[str, ...],
    roles: NDArray[np.int64],
    width: int,
    texts: NDArray[np.bool_],
    gaps: bool,
) -> tuple[NDArray[np.float64], NDArray[np.bytes_] | None, NDArray[np.float32] | None, NDArray[np.int64]]:
    """Read a text with quotes, row by row."""
    try:
        reader = csv.reader(io.StringIO(text.decode(), newline=""), delimiter=delimiter, strict=True)
        matrix: list[list[float]] = []
        cells: list[bytes] = []
        weights: list[float] = []
        lines: list[int] = []
        ended = 0
        for row in reader:
            line, ended = ended + 1, reader.line_num
            if not row or (len(row) == 1 and not row[0].strip()) or header:
                header = header and not row
                continue
            if len(row) != len(names):
                raise Misuse(
                    f"{len(row)} cells where there are {len(names)} columns", source=name,
                    field=f"line {line}",
                    fix="Give every row a cell for each column.",
                )  # fmt: skip
            numbers = [0.0] * width
            for place, (role, cell) in enumerate(zip(roles.tolist(), row, strict=True)):
                if role == _LABEL:
                    cells.append(cell.strip().encode())
                elif texts[place]:
                    numbers[role] = float(text_numbers([cell.strip()])[0])
                elif role != _SKIPPED:
                    number = _number(cell.strip(), gaps and role != _WEIGHT)
                    if number is None:
                        _refuse_cell(cell.strip(), name, line, names[place])
                    elif role == _WEIGHT:
                        weights.append(number)
                    else:
                        numbers[role] = number
            matrix.append(numbers)
            lines.append(line)
    except UnicodeDecodeError as error:
        line = line_of(text, error.start)
        raise Misuse("not UTF-8 text", source=name, field=f"line {line}", fix="Convert the file.") from None
    except csv.Error as error:
        raise Misuse(str(error), source=name, field=f"line {ended + 1}", fix="Close every quote.") from None
    return (
        np.array(matrix, np.float64).reshape(len(matrix), width),
        np.array(cells, np.bytes_) if (roles == _LABEL).any() else None,
        np.array(weights, np.float32) if (roles == _WEIGHT).any() else None,
        np.array(lines, np.int64),
    )


def _is_gap(cell: str) -> bool:
    raw = np.frombuffer(cell.encode(), np.uint8)
    return bool(writes_gap(raw, 0, len(raw)))


def _number(cell: str, gaps: bool = False) -> float | None:
    if gaps and _is_gap(cell):
        return float("nan")
    if cell.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        return float("inf")
    return python_number(cell.encode())


def _refuse_cell(cell: str, name: str, line: int, column: str) -> None:
    raise Misuse(
        f"{cell!r} is not a number" if cell else "the cell is empty", source=name,
        field=f"line {line}: column {column!r}",
        fix="Encode text as numbers, or leave the column out." if cell else "Fill the gap or drop the row.",
    )  # fmt: skip


def _texts(
    names: tuple[str, ...], source: str, roles: NDArray[np.int64], categories: Sequence[str | int]
) -> NDArray[np.bool_]:
    """Which columns are text."""
    texts = np.zeros(len(names), np.bool_)
    for column in categories:
        place = column_index(column, names, source, "categories")
        if roles[place] < 0:
            raise Misuse(
                f"the column {names[place]!r} is no feature", source=source, field="categories",
                fix="Name columns of features.",
            )  # fmt: skip
        texts[place] = True
    return texts


def _check_finite(
    matrix: NDArray[np.float64],
    weights: NDArray[np.float32] | None,
    lines: NDArray[np.int64],
    name: str,
    chosen: Sequence[str],
    names: tuple[str, ...],
    roles: NDArray[np.int64],
    gaps: bool,
) -> None:
    bad = np.argwhere(np.isinf(matrix) if gaps else ~np.isfinite(matrix))
    if len(bad):
        row, column = (int(place) for place in bad[0])
        where = f"line {lines[row]}: column {chosen[column]!r}"
        raise Misuse("not a finite number", source=name, field=where, fix="Fill the gap or drop the row.")
    if weights is not None and not ((weights >= 0) & (weights < np.inf)).all():
        row = int(np.flatnonzero(~((weights >= 0) & (weights < np.inf)))[0])
        column_name = names[int(np.flatnonzero(roles == _WEIGHT)[0])]
        raise Misuse(
            f"{weights[row]} is no weight", source=name, field=f"line {lines[row]}: column {column_name!r}",
            fix="Weights are finite and not negative.",
        )  # fmt: skip


def _labels(
    cells: NDArray[np.bytes_],
    classes: tuple[str, ...] | None,
    lines: NDArray[np.int64],
    name: str,
    column: str,
    gaps: bool,
) -> tuple[NDArray[np.float64] | NDArray[np.int64], tuple[str, ...]]:
    empty = np.flatnonzero(cells == b"")
    if gaps and not len(empty):
        absent = [kind for kind in np.unique(cells) if _is_gap(kind.decode("latin-1"))]
        empty = np.flatnonzero(np.isin(cells, absent)) if absent else empty
    if len(empty):
        where = f"line {lines[empty[0]]}: column {column!r}"
        raise Misuse("the label is missing", source=name, field=where, fix="Fill the gap or drop the row.")
    if classes is None:
        kinds, codes = np.unique(cells, return_inverse=True)
        numbers = [_number(kind.decode("utf-8", "replace")) for kind in kinds]
        if None not in numbers:
            values = np.array(numbers, np.float64)
            bad = np.flatnonzero(~np.isfinite(values[codes]))
            if len(bad):
                where = f"line {lines[bad[0]]}: column {column!r}"
                raise Misuse(
                    f"the label {cells[bad[0]].decode()!r} is not a finite number", source=name, field=where,
                    fix="Fill the gap or drop the row.",
                )  # fmt: skip
            return values[codes], ()
    return encode_classes(cells, classes, name, lambda row: f"line {lines[row]}")


@njit(cache=True, nogil=True, error_model="numpy")
def _scan(text, lines, delimiter, header, roles, width, texts, gaps):  # type: ignore[no-untyped-def]
    matrix = np.empty((lines, width), np.float64)
    weights = np.empty(lines, np.float64)
    starts = np.empty(lines, np.int64)
    spans = np.zeros((lines, 2), np.int64)
    slow = [(np.int64(0), np.int64(0), np.int64(0), np.int64(0)) for _ in range(0)]
    columns = len(roles)
    rows = 0
    at = 0
    end = len(text)
    while at < end:
        stop = at
        blank = True
        while stop < end and text[stop] != 10:
            if text[stop] != 32 and text[stop] != 9 and text[stop] != 13:
                blank = False
            stop += 1
        if blank or header:
            header = header and blank
            at = stop + 1
            continue
        starts[rows] = at
        line = at
        last = stop - 1 if text[stop - 1] == 13 else stop
        column = 0
        while True:
            cell = at
            while at < last and text[at] != delimiter:
                at += 1
            if column < columns and roles[column] != _SKIPPED:
                start, close = cell, at
                while start < close and (text[start] == 32 or text[start] == 9):
                    start += 1
                while close > start and (text[close - 1] == 32 or text[close - 1] == 9):
                    close -= 1
                role = roles[column]
                if role == _LABEL:
                    spans[rows, 0] = start
                    spans[rows, 1] = close
                elif texts[column]:
                    matrix[rows, role] = text_number(text, start, close)
                elif gaps and role != _WEIGHT and writes_gap(text, start, close):
                    matrix[rows, role] = np.nan
                else:
                    number, how = read_numeral(text, start, close)
                    if how == LEFT_TO_PYTHON:
                        slow.append(
                            (np.int64(rows), np.int64(max(role, -1)), np.int64(start), np.int64(close))
                        )
                    elif how != EXACT:
                        if not writes_nonfinite(text, start, close):
                            if _cells(text, line, last, delimiter) != columns:
                                count = _cells(text, line, last, delimiter)
                                return rows, _RAGGED, line, count, matrix, weights, starts, spans, slow
                            return rows, _NO_NUMBER, start, column, matrix, weights, starts, spans, slow
                        number = np.inf
                    if role == _WEIGHT:
                        weights[rows] = number
                    else:
                        matrix[rows, role] = number
            column += 1
            if at >= last:
                break
            at += 1
            if at == last:  # the line ends with a delimiter: one more cell, an empty one
                if column < columns and roles[column] != _SKIPPED and roles[column] != _LABEL:
                    if texts[column]:
                        matrix[rows, roles[column]] = text_number(text, at, at)
                    elif gaps and roles[column] != _WEIGHT:
                        matrix[rows, roles[column]] = np.nan
                    elif column + 1 == columns:
                        return rows, _NO_NUMBER, at, column, matrix, weights, starts, spans, slow
                elif column < columns and roles[column] == _LABEL:
                    spans[rows, 0] = at
                    spans[rows, 1] = at
                column += 1
                break
        if column != columns:
            return rows, _RAGGED, line, column, matrix, weights, starts, spans, slow
        rows += 1
        at = stop + 1
    return rows, _FINE, 0, 0, matrix, weights, starts, spans, slow


@njit(cache=True, nogil=True)
def _cells(text, start, stop, delimiter):  # type: ignore[no-untyped-def]
    count = 1
    for at in range(start, stop):
        if text[at] == delimiter:
            count += 1
    return count


@njit(cache=True, nogil=True)
def _cut(text, spans, width):  # type: ignore[no-untyped-def]
    """The spans of a text as rows of `width` bytes, filled with zeros."""
    cells = np.zeros((len(spans), width), np.uint8)
    for row in range(len(spans)):
        start, stop = spans[row]
        for place in range(start, stop):
            cells[row, place - start] = text[place]
    return cells
