"""The gradient of a batch for all the models of a pack, touching only the features that the batch has."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradewind.algorithms.linear.losses import exp32, loss_of, slope

_F = np.float32


@njit(cache=True, nogil=True)
def _mark(indices: Any, place: Any, found: Any) -> Any:
    count = 0
    for i in range(indices.shape[0]):
        if place[indices[i]] < 0:
            place[indices[i]] = 0
            found[count] = indices[i]
            count += 1
    return count


@njit(cache=True, nogil=True)
def _renumber(indices: Any, rows: Any, place: Any, local: Any) -> None:
    for i in range(rows.shape[0]):
        place[rows[i]] = i
    for i in range(indices.shape[0]):
        local[i] = place[indices[i]]
    for i in range(rows.shape[0]):
        place[rows[i]] = -1


def distinct(
    indices: NDArray[np.int32], place: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The distinct features of a batch in rising order, and each non-zero's place among them.

    `place` is scratch of one int32 a feature, all -1 before and after.
    """
    found = np.empty(min(len(indices), len(place)), np.int64)
    rows = found[: _mark(indices, place, found)]
    rows.sort()
    local = np.empty(len(indices), np.int32)
    _renumber(indices, rows, place, local)
    return rows, local


@njit(cache=True, nogil=True, error_model="numpy")
def gradient(
    indptr: Any, local: Any, values: Any, labels: Any, weights: Any, matrix: Any, bias: Any,
    codes: Any, parameters: Any, positive: Any, slopes: Any, bias_slopes: Any, totals: Any,
) -> None:  # fmt: skip
    """Add a batch's gradient to `slopes` (rows, m) and `bias_slopes` (m,), and its losses to `totals` (m,).

    `matrix` (rows, m) and `bias` (m,) are the weights; `labels` (n,) -1 or 1, or numbers; `weights` (n,);
    `positive` (m,) multiplies rows whose label is positive. float32 throughout but for `totals`.
    """
    models = matrix.shape[1]
    scores = np.empty(models, np.float32)
    for i in range(indptr.shape[0] - 1):
        for m in range(models):
            scores[m] = bias[m]
        for k in range(indptr[i], indptr[i + 1]):
            row, x = local[k], values[k]
            for m in range(models):
                scores[m] += matrix[row, m] * x
        y, weight = labels[i], weights[i]
        for m in range(models):
            own = weight * positive[m] if y > 0 else weight
            totals[m] += own * loss_of(codes[m], parameters[m], y, scores[m])
            scores[m] = own * slope(codes[m], parameters[m], y, scores[m])
            bias_slopes[m] += scores[m]
        for k in range(indptr[i], indptr[i + 1]):
            row, x = local[k], values[k]
            for m in range(models):
                slopes[row, m] += scores[m] * x


@njit(cache=True, nogil=True, error_model="numpy")
def softmax_gradient(
    indptr: Any, local: Any, values: Any, labels: Any, weights: Any, matrix: Any, bias: Any,
    outputs: Any, slopes: Any, bias_slopes: Any, totals: Any,
) -> None:  # fmt: skip
    """As `gradient` for softmax: `outputs` columns a model, `labels` class numbers."""
    columns = matrix.shape[1]
    scores = np.empty(columns, np.float32)
    for i in range(indptr.shape[0] - 1):
        for c in range(columns):
            scores[c] = bias[c]
        for k in range(indptr[i], indptr[i + 1]):
            row, x = local[k], values[k]
            for c in range(columns):
                scores[c] += matrix[row, c] * x
        target, weight = np.int64(labels[i]), weights[i]
        for m in range(columns // outputs):
            first = m * outputs
            top = scores[first]
            for c in range(first + 1, first + outputs):
                top = max(top, scores[c])
            total = _F(0.0)
            own = scores[first + target]
            for c in range(first, first + outputs):
                scores[c] = exp32(scores[c] - top)
                total += scores[c]
            totals[m] += weight * (np.log(float(total)) + float(top) - float(own))
            for c in range(first, first + outputs):
                hit = _F(1.0) if c == first + target else _F(0.0)
                scores[c] = weight * (scores[c] / total - hit)
                bias_slopes[c] += scores[c]
        for k in range(indptr[i], indptr[i + 1]):
            row, x = local[k], values[k]
            for c in range(columns):
                slopes[row, c] += scores[c] * x
