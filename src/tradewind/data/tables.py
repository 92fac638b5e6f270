"""A parsed source: its rows as one batch, and what errors need to name them by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.algorithms.batch import Batch
from tradewind.data.schemas import Schema
from tradewind.errors import Misuse


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows in memory."""

    name: str
    batch: Batch
    columns: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    lines: NDArray[np.int64] | None = None
    """The line of the source that each row stood on, where the source has lines."""

    @property
    def schema(self) -> Schema:
        """What every row looks like."""
        batch = self.batch
        labelled = batch.labels is not None
        return Schema(batch.features, batch.sparse, labelled, self.columns, self.classes)

    def where(self, row: int) -> str:
        """How an error names a row."""
        return f"row {row}" if self.lines is None else f"line {int(self.lines[row])}"


def check_finite(
    batch: Batch, name: str, columns: Sequence[str] = (), first_row: int = 0, gaps: bool = False
) -> None:
    """Raise Misuse at the first value or label that is NaN or infinite, naming row and column.

    With `gaps` a value may be NaN, which means that it is missing; a label or weight still may not.
    """

    def refuse(value: float, row: int, field: str) -> None:
        fix = "Fill or drop such rows first."
        if np.isnan(value) and field not in ("label", "weight"):
            fix = "Drop such rows, or open the data with missing='mean' or 'keep'."
        raise Misuse(
            f"{value} is not a finite number", source=name, field=f"row {first_row + row}: {field}", fix=fix
        )

    def wrong(values: NDArray[Any]) -> NDArray[np.bool_]:
        fine: NDArray[np.bool_] = ~np.isinf(values) if gaps else np.isfinite(values)
        return ~fine

    # A sum is finite only where every term is; it needs no array of flags, and seldom fails.
    with np.errstate(invalid="ignore", over="ignore"):
        if batch.dense is not None and not np.isfinite(batch.dense.sum(dtype=np.float64)):
            bad = np.argwhere(wrong(batch.dense))
            if len(bad):
                row, column = (int(place) for place in bad[0])
                field = columns[column] if columns else f"column {column}"
                refuse(float(batch.dense[row, column]), row, field)
        if batch.values is not None and not np.isfinite(batch.values.sum(dtype=np.float64)):
            places = np.flatnonzero(wrong(batch.values))
            if len(places):
                assert batch.indptr is not None and batch.indices is not None
                entry = int(places[0])
                row = int(np.searchsorted(batch.indptr, entry, side="right")) - 1
                refuse(float(batch.values[entry]), row, f"feature {int(batch.indices[entry])}")
        for field, numbers in (("label", batch.labels), ("weight", batch.weights)):
            if numbers is not None and numbers.dtype.kind == "f" and not np.isfinite(numbers.sum()):
                places = np.flatnonzero(~np.isfinite(numbers))
                if len(places):
                    refuse(float(numbers[places[0]]), int(places[0]), field)


def concatenate(batches: Sequence[Batch]) -> Batch:
    """One batch of all the rows, in order; the batches agree in features, density and labels."""
    if len(batches) == 1:
        return batches[0]

    def joined(parts: list[NDArray[Any] | None]) -> NDArray[Any] | None:
        present = [part for part in parts if part is not None]
        return np.concatenate(present) if present else None

    labels = joined([batch.labels for batch in batches])
    weights = joined([batch.weights for batch in batches])
    features = batches[0].features
    if not batches[0].sparse:
        return Batch(
            features, dense=joined([batch.dense for batch in batches]), labels=labels, weights=weights
        )
    bounds, total = [np.zeros(1, np.int64)], 0
    for batch in batches:
        assert batch.indptr is not None
        bounds.append(batch.indptr[1:] - batch.indptr[0] + total)
        total += int(batch.indptr[-1] - batch.indptr[0])
    return Batch(
        features,
        indptr=np.concatenate(bounds),
        indices=joined([batch.indices for batch in batches]),
        values=joined([batch.values for batch in batches]),
        labels=labels,
        weights=weights,
    )
