"""Scaling of features and labels before learning, and its undoing in the model.

SageMaker's linear learner normalises from the first 10,000 points, `x' = (x - mean) / deviation`; a column
that does not vary is left alone. Sparse rows are scaled only, since a shift would fill their zeros. A sparse
column is scaled by the root mean square of its *non-zeros*: its deviation over all rows would blow a feature
that one row in ten thousand has up a hundredfold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import NDArray

from tradewind.algorithms.batch import Batch
from tradewind.errors import Misuse


class Scaling(Struct, frozen=True):
    """`x' = (x - shift) / scale` for each feature and `y' = (y - label_shift) / label_scale`."""

    shift: NDArray[np.float64]
    """(d,)."""
    scale: NDArray[np.float64]
    """(d,), positive."""
    label_shift: float = 0.0
    label_scale: float = 1.0

    @property
    def centred(self) -> bool:
        """Whether any feature is shifted."""
        return bool(self.shift.any())

    def rows(self, batch: Batch) -> NDArray[np.float32]:
        """The scaled features of a dense batch (n, d) or the scaled values of a sparse one (non-zeros,)."""
        if batch.dense is not None:
            dense = np.asarray(batch.dense, np.float64)
            with np.errstate(over="ignore"):  # who learns from infinity sees it in the score
                return np.ascontiguousarray((dense - self.shift) / self.scale, np.float32)
        assert batch.values is not None and batch.indices is not None
        with np.errstate(over="ignore"):
            return np.asarray(batch.values / self.scale[batch.indices], np.float32)

    def fold_back(
        self, weights: NDArray[Any], bias: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights (d, c) and biases (c,) for raw features and labels of those for scaled ones.

        `w = w' / scale`, `b = b' - sum(w' * shift / scale)`; then both times the label's scale, and its shift
        added to the bias.
        """
        raw = np.asarray(weights, np.float64) / self.scale[:, None]
        moved = np.asarray(bias, np.float64) - self.shift @ raw
        return raw * self.label_scale, moved * self.label_scale + self.label_shift


def no_scaling(features: int) -> Scaling:
    """Features and labels as they are."""
    return Scaling(np.zeros(features), np.ones(features))


def measure(sample: Batch, *, features: bool, centre: bool, labels: bool) -> Scaling:
    """The scaling that `sample` calls for.

    `features` scales them, `centre` shifts dense ones to mean zero, `labels` scales and shifts the labels.
    Misuse where their squares leave float64.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found = _measured(sample, features, centre, labels)
    wrong = np.flatnonzero(~(np.isfinite(found.shift) & np.isfinite(found.scale)))
    if len(wrong):
        raise too_large(f"column {wrong[0]} holds values that are", "features")
    if not (np.isfinite(found.label_shift) and np.isfinite(found.label_scale)):
        raise too_large("the labels are", "labels")
    return found


def too_large(what: str, field: str) -> Misuse:
    """The error for numbers whose size no scaling mends."""
    return Misuse(
        f"{what} too large or too small to scale", source="initialize", field=field,
        fix="Give them in other units.",
    )  # fmt: skip


def _measured(sample: Batch, features: bool, centre: bool, labels: bool) -> Scaling:
    shift, scale = np.zeros(sample.features), np.ones(sample.features)
    if sample.dense is not None and len(sample):
        dense = np.asarray(sample.dense, np.float64)
        if centre:
            shift = dense.mean(axis=0)
        if features:
            scale = _usable(dense.std(axis=0), np.abs(dense).max(axis=0))
    elif features and sample.values is not None and sample.indices is not None:
        _root_mean_squares(sample.indices, sample.values, scale)
    if not labels or sample.labels is None or not len(sample):
        return Scaling(shift, scale)
    y = np.asarray(sample.labels, np.float64)
    spread = _usable(y.std(keepdims=True), np.abs(y).max(keepdims=True))
    return Scaling(shift, scale, float(y.mean()), float(spread[0]))


@njit(cache=True, nogil=True, error_model="numpy")
def _root_mean_squares(indices: Any, values: Any, scale: Any) -> None:
    """Put the root mean square of each column's non-zeros into `scale`, all ones before.

    Columns beyond the last that holds anything but ones and zeros are not looked at twice.
    """
    last = -1
    for k in range(indices.shape[0]):
        if values[k] != 1 and values[k] != 0:
            last = max(last, indices[k])
    sums, counts = np.zeros(last + 1), np.zeros(last + 1, np.int64)
    for k in range(indices.shape[0]):
        if indices[k] <= last and values[k] != 0:
            sums[indices[k]] += float(values[k]) * float(values[k])
            counts[indices[k]] += 1
    for column in range(last + 1):
        root = np.sqrt(sums[column] / max(counts[column], 1))
        if root > 0:
            scale[column] = root


def _usable(spread: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """`spread`, and 1 where it is zero but for rounding."""
    return np.where(spread > 1e-10 * np.maximum(size, 1e-300), spread, 1.0)
