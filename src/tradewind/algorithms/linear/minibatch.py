"""The gradient of a batch for all the models of a pack, touching only the features that the batch has."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradewind.algorithms.linear.losses import SOFTMAX, SQUARED_MARGIN, exp32, loss_of, margin_slopes, slope

_F = np.float32


_1, _6, _63 = np.uint64(1), np.uint64(6), np.uint64(63)
_PAIRS, _FOURS = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333)
_BYTES, _SUM = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x0101010101010101)


@njit(cache=True, nogil=True, inline="always")
def _ones(word: Any) -> Any:
    """How many bits are set: compilers know this form and have an instruction for it."""
    word = word - ((word >> _1) & _PAIRS)
    word = (word & _FOURS) + ((word >> np.uint64(2)) & _FOURS)
    return np.int64((((word + (word >> np.uint64(4))) & _BYTES) * _SUM) >> np.uint64(56))


@njit(cache=True, nogil=True)
def _distinct(indices: Any, bits: Any, filled: Any, before: Any, rows: Any, local: Any) -> Any:
    for i in range(indices.shape[0]):
        feature = np.uint64(indices[i])
        word = feature >> _6
        bits[word] |= _1 << (feature & _63)
        filled[word >> _6] |= _1 << (word & _63)
    count = 0
    for f in range(filled.shape[0]):
        words = filled[f]
        while words:
            first = words & (~words + _1)
            words ^= first
            w = 64 * f + _ones(first - _1)
            before[w] = count
            left = bits[w]
            while left:
                lowest = left & (~left + _1)
                left ^= lowest
                rows[count] = 64 * w + _ones(lowest - _1)
                count += 1
    for i in range(indices.shape[0]):
        feature = np.uint64(indices[i])
        word = feature >> _6
        local[i] = before[word] + _ones(bits[word] & ((_1 << (feature & _63)) - _1))
    for i in range(count):
        word = np.uint64(rows[i]) >> _6
        bits[word] = filled[word >> _6] = 0
    return count


class Distinct:
    """Finds the distinct features of batch after batch, by a bit a feature instead of a sort.

    The bits and the counts before each word of them, 12 bytes for 64 features, stay in a core's own cache
    where a sort's or a table's many passes would not. One thread uses it at a time.
    """

    def __init__(self, features: int) -> None:
        words = -(-features // 64)
        self._bits = np.zeros(words, np.uint64)
        self._filled = np.zeros(-(-words // 64), np.uint64)
        self._before = np.empty(words, np.int32)

    def __call__(self, indices: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The distinct `indices` (n,) in rising order, and each one's place among them (n,).

        They must lie from 0 to `features` - 1, which is not checked.
        """
        rows = np.empty(min(len(indices), 64 * len(self._bits)), np.int64)
        local = np.empty(len(indices), np.int32)
        count = _distinct(indices, self._bits, self._filled, self._before, rows, local)
        return rows[:count], local


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
def multiclass_gradient(
    indptr: Any, local: Any, values: Any, labels: Any, weights: Any, matrix: Any, bias: Any,
    codes: Any, parameters: Any, outputs: Any, slopes: Any, bias_slopes: Any, totals: Any,
) -> None:  # fmt: skip
    """As `gradient` for losses of one score a class: `outputs` columns a model, `labels` class numbers."""
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
            if codes[m] != SOFTMAX:
                lacking = margin_slopes(codes[m], parameters[m], scores, first, outputs, target)
                squared = codes[m] == SQUARED_MARGIN
                totals[m] += weight * (0.5 * float(lacking) ** 2 if squared else float(lacking))
                for c in range(first, first + outputs):
                    scores[c] *= weight
                    bias_slopes[c] += scores[c]
                continue
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
