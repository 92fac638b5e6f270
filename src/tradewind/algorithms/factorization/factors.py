"""First factors, scores and gradients of a factorization machine, over rows of non-zeros.

The score of a row x is `bias + sum_i w_i x_i + 1/2 sum_f ((sum_i v_if x_i)**2 - sum_i (v_if x_i)**2)`
(Rendle, ICDM 2010, equations 1 and 5): O(k) a non-zero. Its slope by v_if is `x_i (S_f - v_if x_i)` with
S_f = sum_i v_if x_i (equation 4). The table of a feature is one row: its k factors, then its weight.

First factors are chance that belongs to feature and factor: wherever a feature is met first, they are the
same, so that a table of zeros says which features were ever met and none need be drawn beforehand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradewind.algorithms.linear.losses import exp32, loss_of

_F = np.float32
_ROW, _COLUMN = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def first_factor(feature: Any, factor: Any, seed: Any) -> Any:
    """Uniform on [-1, 1) in steps of 2**-23, by the finalizer of splitmix64 (Steele et al., OOPSLA 2014)."""
    x = np.uint64(feature) * _ROW + (np.uint64(factor) + np.uint64(1)) * _COLUMN + np.uint64(seed) * _MIX1
    x = (x ^ (x >> np.uint64(30))) * _MIX1
    x = (x ^ (x >> np.uint64(27))) * _MIX2
    x = x ^ (x >> np.uint64(31))
    return _F(np.int32(x >> np.uint64(40))) * _F(2.0**-23) - _F(1.0)


@njit(cache=True, nogil=True, error_model="numpy")
def add_first(table: Any, features: Any, spread: Any, seed: Any, touched: Any) -> None:
    """Add to `table` (n, k + 1) the first factors of its `features` (n,), within plus or minus `spread`.

    Where `touched`, only to rows that are not all zero.
    """
    k = table.shape[1] - 1
    for i in range(table.shape[0]):
        if touched:
            there = False
            for f in range(k + 1):
                there |= table[i, f] != 0
            if not there:
                continue
        for f in range(k):
            table[i, f] += spread * first_factor(features[i], f, seed)


@njit(cache=True, nogil=True, error_model="numpy")
def gradient(
    indptr: Any, local: Any, values: Any, labels: Any, weights: Any, matrix: Any, bias: Any, logistic: Any,
    l2: Any, factors_l2: Any, slopes: Any, bias_slope: Any,
) -> float:  # fmt: skip
    """Add a batch's gradient to `slopes` (m, k + 1) and `bias_slope` (1,); the sum of its losses.

    `matrix` (m, k + 1) holds factors and weights of the batch's features, `local` (non-zeros,) their places
    in it, `labels` (n,) are -1 and 1 or numbers. Each row adds `l2` and `factors_l2` times those that it
    holds, so that what is decayed does not depend on the batch. float32 but for the losses.
    """
    k = matrix.shape[1] - 1
    code = 0 if logistic else 2
    total = 0.0
    sums = np.empty(k, np.float32)
    own = np.empty(k, np.float32)
    for i in range(indptr.shape[0] - 1):
        start, stop = indptr[i], indptr[i + 1]
        z = bias[0]
        for f in range(k):
            sums[f] = _F(0.0)
            own[f] = _F(0.0)
        for n in range(start, stop):
            row, x = local[n], values[n]
            z += matrix[row, k] * x
            for f in range(k):
                part = matrix[row, f] * x
                sums[f] += part
                own[f] += part * part
        pairs = _F(0.0)
        for f in range(k):
            pairs += sums[f] * sums[f] - own[f]
        z += _F(0.5) * pairs
        y, weight = labels[i], weights[i]
        total += weight * loss_of(code, _F(0.0), y, z)
        d = -y / (_F(1.0) + exp32(y * z)) if logistic else z - y
        d *= weight
        bias_slope[0] += d
        decay, factors_decay = weight * l2, weight * factors_l2
        for n in range(start, stop):
            row, x = local[n], values[n]
            if x == 0:
                continue
            slopes[row, k] += d * x + decay * matrix[row, k]
            dx = d * x
            for f in range(k):
                slopes[row, f] += dx * (sums[f] - matrix[row, f] * x) + factors_decay * matrix[row, f]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _scores(
    indptr: Any, indices: Any, values: Any, weights: Any, factors: Any, bias: Any, scores: Any
) -> None:
    k = factors.shape[1]
    sums, own = np.empty(k), np.empty(k)
    for i in range(indptr.shape[0] - 1):
        z = bias
        sums[:] = 0.0
        own[:] = 0.0
        for n in range(indptr[i], indptr[i + 1]):
            row, x = indices[n], np.float64(values[n])
            z += weights[row] * x
            for f in range(k):
                part = np.float64(factors[row, f]) * x
                sums[f] += part
                own[f] += part * part
        pairs = 0.0
        for f in range(k):
            pairs += sums[f] * sums[f] - own[f]
        scores[i] = z + 0.5 * pairs


def scores_of(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    values: NDArray[np.float32],
    weights: NDArray[np.float64],
    factors: NDArray[np.float32],
    bias: float,
) -> NDArray[np.float64]:
    """The scores of sparse rows (n,), summed in float64; `weights` (d,), `factors` (d, k)."""
    scores = np.empty(len(indptr) - 1)
    _scores(
        indptr, np.ascontiguousarray(indices), np.ascontiguousarray(values), weights, factors,
        float(bias), scores,
    )  # fmt: skip
    return scores
