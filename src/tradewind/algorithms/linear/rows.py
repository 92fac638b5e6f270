"""Rows on their way into the kernels: what is wrong with them, and the form that a kernel takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.linear.scaling import Scaling
from tradewind.errors import Misuse

_STEEPEST = 1e18
"""Slopes whose squares leave float32 lie above."""


def check_rows(batch: Batch, features: int, source: str) -> None:
    """Raise Misuse unless a batch has that many features and finite values."""
    if batch.features != features:
        raise Misuse(
            f"the rows have {batch.features} features, the state was made for {features}",
            source=source,
            field="features",
            fix="Give the same columns in the same order.",
        )
    values = batch.dense if batch.dense is not None else batch.values
    if values is None or values.dtype.kind not in "biuf":
        kind = "none" if values is None else str(values.dtype)
        raise Misuse(
            f"features of kind {kind} are no numbers", source=source, field="features", fix="Code them."
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        at = int(np.argwhere(~np.isfinite(values))[0][0])
        row = at if batch.indptr is None else int(np.searchsorted(batch.indptr, at, "right")) - 1
        raise Misuse(
            f"row {row} holds NaN or infinity", source=source, field="features", fix="Drop or fill it."
        )
    if batch.indices is not None and len(batch.indices):
        low, high = int(batch.indices.min()), int(batch.indices.max())
        if low < 0 or high >= features:
            raise Misuse(
                f"there is a column {low if low < 0 else high}, there are {features}",
                source=source,
                field="features",
                fix="Number the columns from 0.",
            )


def check_gradient(losses: NDArray[Any], slopes: NDArray[Any]) -> None:
    """Raise Misuse unless losses are finite, and slopes so small that a state can sum their squares."""
    if not (np.isfinite(losses).all() and np.abs(slopes).max(initial=0) < _STEEPEST):
        raise Misuse(
            "the loss or its gradient leaves float32", source="update", field="rate",
            fix="Give a smaller rate, leave normalize_data on, and look for huge values in the rows.",
        )  # fmt: skip


def as_rows(
    batch: Batch, scaling: Scaling
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """A batch's scaled rows as `indptr`, `indices`, `values`; all columns of a dense one."""
    values = scaling.rows(batch)
    if batch.dense is None:
        assert batch.indptr is not None and batch.indices is not None
        return np.asarray(batch.indptr, np.int64), np.asarray(batch.indices, np.int32), values
    n, d = values.shape
    return np.arange(n + 1, dtype=np.int64) * d, np.tile(np.arange(d, dtype=np.int32), n), values.ravel()
