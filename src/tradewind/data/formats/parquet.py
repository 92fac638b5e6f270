"""Parquet files, read by pyarrow: the one module that knows it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.mixing import text_numbers
from tradewind.data.schemas import column_index, encode_classes
from tradewind.data.tables import Table, check_finite
from tradewind.errors import MissingExtra, Misuse


def parse_parquet(
    content: bytes,
    name: str,
    *,
    label: str | int | None = "label",
    features: int | Sequence[str | int] | None = None,
    weight: str | int | None = None,
    classes: tuple[str, ...] | None = None,
    gaps: bool = False,
    categories: Sequence[str | int] = (),
) -> Table:
    """The rows of a Parquet file, dense, as float64; the columns are chosen as for a CSV file.

    With `gaps` a feature may be null or NaN, and is NaN. The columns `categories` are text, read as
    `mixing.text_numbers` reads it; a null is the empty text.

    Raises Misuse, naming column and row, for a column that is absent or no number, and for nulls;
    MissingExtra without pyarrow.
    """
    try:
        import pyarrow  # noqa: PLC0415
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError:
        raise MissingExtra("pyarrow", "parquet", "reading Parquet") from None
    try:
        source = pyarrow.parquet.read_table(io.BytesIO(content))
    except pyarrow.lib.ArrowException as error:
        raise Misuse(
            f"not a whole Parquet file ({error})", source=name, fix="Write the file again."
        ) from None
    if not source.num_rows:
        raise Misuse("there are no rows", source=name, fix="Give a file with rows.")
    names = tuple(source.column_names)
    special = {
        field: column_index(column, names, name, field)
        for field, column in (("label", label), ("weight", weight))
        if column is not None
    }
    if features is None or isinstance(features, int):
        chosen = [place for place in range(len(names)) if place not in special.values()]
        if features is not None and len(chosen) != features:
            raise Misuse(
                f"there are {len(chosen)} feature columns, not {features}", source=name, field="features",
                fix="Give the right number, or the columns by name.",
            )  # fmt: skip
    else:
        chosen = [column_index(column, names, name, "features") for column in features]
    if not chosen:
        raise Misuse("there is no feature column", source=name, fix="Give at least one.")

    spoken = {column_index(column, names, name, "categories") for column in categories}

    def cells(place: int, gaps: bool = False) -> NDArray[Any]:
        column = source.column(place)
        if column.null_count and not gaps:
            row = column.is_null().to_pylist().index(True)
            raise Misuse(
                "the cell is empty", source=name, field=f"row {row}: column {names[place]!r}",
                fix="Fill the gap or drop the row.",
            )  # fmt: skip
        return np.asarray(column.to_numpy())

    def numbers(place: int) -> NDArray[np.float64]:
        kind = source.schema.field(place).type
        if place in spoken:
            return text_numbers(
                ["" if cell is None else str(cell) for cell in source.column(place).to_pylist()]
            )
        if not (
            pyarrow.types.is_integer(kind)
            or pyarrow.types.is_floating(kind)
            or pyarrow.types.is_boolean(kind)
            or pyarrow.types.is_decimal(kind)
        ):
            raise Misuse(
                f"{kind} is no kind of number", source=name, field=f"column {names[place]!r}",
                fix="Encode it as numbers, or leave the column out.",
            )  # fmt: skip
        return cells(place, gaps and place in chosen).astype(np.float64)

    labels: NDArray[Any] | None = None
    kinds: tuple[str, ...] = ()
    if "label" in special:
        kind = source.schema.field(special["label"]).type
        if (
            pyarrow.types.is_dictionary(kind)
            or pyarrow.types.is_string(kind)
            or pyarrow.types.is_large_string(kind)
        ):
            texts = cells(special["label"]).astype(np.str_)
            labels, kinds = encode_classes(texts, classes, name, lambda row: f"row {row}")
        else:
            labels = numbers(special["label"])
    weights = numbers(special["weight"]).astype(np.float32) if "weight" in special else None
    taken = tuple(names[place] for place in chosen)
    matrix = np.empty((source.num_rows, len(chosen)), np.float64)
    for order, place in enumerate(chosen):
        matrix[:, order] = numbers(place)
    batch = Batch(len(chosen), dense=matrix, labels=labels, weights=weights)
    check_finite(batch, name, taken, gaps=gaps)
    return Table(name, batch, taken, kinds)
