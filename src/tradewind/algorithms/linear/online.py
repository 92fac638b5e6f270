"""Learning row by row in one process: adaptive steps on scaled features, for one model or a whole pack.

Each feature's step shrinks with the gradients that it has seen (Duchi, Hazan and Singer, JMLR 2011), on
features scaled to one size as Vowpal Wabbit does it (Ross, Mineiro and Langford, UAI 2013, section 2), only
that the scale is measured on the first rows and not while learning. A step is the rate times the gradient
over `sqrt(1 + g)`: without the one the first steps of a rare feature are so long that the test loss suffers,
and with it a table of zeros is a fresh one, which costs nothing to make.

A feature that a row holds twice counts twice in its score; alone, one model steps with one of the two.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradewind.algorithms.linear import vectors
from tradewind.algorithms.linear.losses import SOFTMAX, exp32, losses, margin_slopes, slope
from tradewind.algorithms.linear.packing import Pack
from tradewind.algorithms.linear.scaling import Scaling

RATE = 0.15
"""The usual learning rate here."""

_CACHED = 1 << 18
"""Floats of a table that stay in the cache by themselves: a megabyte."""

_TOGETHER = 7
"""Factors of at most 1 + e**88 whose product a float64 holds."""

LANES = vectors.LANES
# Any: numba hands an intrinsic its first argument itself
row_score: Any = vectors.row_score
row_step: Any = vectors.row_step
pack_score: Any = vectors.pack_score
pack_step: Any = vectors.pack_step
pack_fetch: Any = vectors.pack_fetch

_F = np.float32
_HUGE = _F(3.0e38)


@njit(cache=True, nogil=True, error_model="numpy")
def _learn_one(
    indptr: Any, indices: Any, values: Any, labels: Any, weights: Any, table: Any, bias: Any, inverse: Any,
    bound: Any, code: Any, parameter: Any, positive: Any, rate: Any, l1: Any, l2: Any, intercept: Any,
    held: Any, scores: Any, tally: Any,
) -> int:  # fmt: skip
    """Learn from the rows in order with one model; the first row whose score is not finite, or -1.

    Puts each row's score into `scores`, if that is not empty, and adds up the logistic losses in `tally`, if
    that is not: as the logarithm of a product over `_TOGETHER` rows, `log(1 + e**yz) - yz` each.
    """
    held_w, held_g, held_x = held[0], held[1], held[2]
    tallied, product, linear, since = tally.shape[0] > 0, 1.0, 0.0, 0
    weighted, kept = weights.shape[0] > 0, scores.shape[0] > 0
    w0, g0 = bias[0], bias[1]
    bad = -1
    for i in range(indptr.shape[0] - 1):
        start, stop = indptr[i], indptr[i + 1]
        z = w0 + row_score(table, indices, values, inverse, bound, start, stop, held_w, held_g, held_x)
        if not (abs(z) < _HUGE):
            bad = i
            break
        y = labels[i]
        if kept:
            scores[i] = z
        if code == 0:
            e = _F(1.0) + exp32(y * z)
            d = -y / e
            if tallied:
                product *= float(e)
                linear += float(y * z)
                since += 1
                if since == _TOGETHER:
                    tally[0] += np.log(product) - linear
                    product, linear, since = 1.0, 0.0, 0
        else:
            d = slope(code, parameter, y, z)
        if y > 0:
            d = d * positive
        if weighted:
            d = d * weights[i]
        if intercept:
            g0 += d * d
            w0 -= rate * d / np.sqrt(_F(1.0) + g0)
        row_step(table, indices, start, stop, held_w, held_g, held_x, d, rate, l1, l2)
    if tallied:
        tally[0] += np.log(product) - linear
    bias[0], bias[1] = w0, g0
    return bad


@njit(cache=True, nogil=True)
def _longest(indptr: Any) -> int:
    """Non-zeros of the longest row."""
    longest = 0
    for i in range(indptr.shape[0] - 1):
        longest = max(longest, indptr[i + 1] - indptr[i])
    return longest


@njit(cache=True, nogil=True, error_model="numpy")
def _score_pack(
    table: Any, bias: Any, indices: Any, values: Any, inverse: Any, bound: Any, start: Any, stop: Any,
    following: Any, rows: Any, scaled: Any, scores: Any,
) -> None:  # fmt: skip
    """The scores of all columns for one row; its table rows and scaled values are left in two buffers.

    Where `following` is not 0, table rows are fetched for the non-zeros that many further on.
    """
    for k in range(start, stop):
        if following and k + following < indices.shape[0]:
            pack_fetch(table, np.intp(indices[k + following]))
        row = np.intp(indices[k])
        rows[k - start] = row
        scaled[k - start] = values[k] * inverse[row] if row < bound else values[k]
    pack_score(table, rows, scaled, np.intp(stop - start), scores)
    for m in range(scores.shape[0]):
        scores[m] += bias[0, m]


@njit(cache=True, nogil=True, error_model="numpy")
def _step_pack(
    table: Any, bias: Any, count: Any, rows: Any, scaled: Any, slopes: Any, rates: Any, l1: Any, l2: Any,
    decays: Any, intercept: Any,
) -> None:  # fmt: skip
    """A step of all columns against their slopes."""
    if intercept:
        for m in range(slopes.shape[0]):
            d = slopes[m]
            bias[1, m] += d * d
            bias[0, m] -= rates[m] * d / np.sqrt(_F(1.0) + bias[1, m])
    pack_step(table, rows, scaled, np.intp(count), slopes, rates, l1, l2, decays)


@njit(cache=True, nogil=True, error_model="numpy")
def _learn_pack(
    indptr: Any, indices: Any, values: Any, labels: Any, weights: Any, table: Any, bias: Any, inverse: Any,
    bound: Any, codes: Any, parameters: Any, positive: Any, rates: Any, l1: Any, l2: Any, logistic: Any,
    decays: Any, intercept: Any, kept: Any, tally: Any,
) -> int:  # fmt: skip
    """`_learn_one` for every column of a pack."""
    columns = table.shape[2]
    products, linear, since = np.ones(tally.shape[0]), np.zeros(tally.shape[0]), 0
    longest = max(1, _longest(indptr))
    rows, scaled, scores = np.empty(longest, np.intp), np.empty(longest, np.float32), np.empty(columns, _F)
    ahead = np.intp(table.size > _CACHED)
    slopes = np.empty(columns, np.float32)
    for i in range(indptr.shape[0] - 1):
        start, stop = indptr[i], indptr[i + 1]
        _score_pack(
            table, bias, indices, values, inverse, bound, start, stop, ahead * (stop - start),
            rows, scaled, scores,
        )  # fmt: skip
        y = labels[i]
        weight = weights[i] if weights.shape[0] else _F(1.0)
        finite = True
        for m in range(columns):
            finite &= abs(scores[m]) < _HUGE
        if not finite:
            return i
        if logistic:
            for m in range(columns):
                slopes[m] = _F(1.0) + exp32(y * scores[m])
            for m in range(tally.shape[0]):
                products[m] *= float(slopes[m])
                linear[m] += float(y * scores[m])
            since += 1
            if since == _TOGETHER:
                for m in range(tally.shape[0]):
                    tally[m] += np.log(products[m]) - linear[m]
                products[:], linear[:], since = 1.0, 0.0, 0
            for m in range(columns):
                slopes[m] = -y / slopes[m]
        else:
            for m in range(columns):
                slopes[m] = slope(codes[m], parameters[m], y, scores[m])
        if y > 0:
            for m in range(columns):
                slopes[m] *= positive[m]
        if weights.shape[0]:
            for m in range(columns):
                slopes[m] *= weight
        for m in range(kept.shape[1]):
            kept[i, m] = scores[m]
        _step_pack(
            table, bias, stop - start, rows, scaled, slopes, rates, l1, l2, decays, intercept,
        )  # fmt: skip
    for m in range(tally.shape[0]):
        tally[m] += np.log(products[m]) - linear[m]
    return -1


@njit(cache=True, nogil=True, error_model="numpy")
def _learn_multiclass(
    indptr: Any, indices: Any, values: Any, labels: Any, weights: Any, table: Any, bias: Any, inverse: Any,
    bound: Any, codes: Any, parameters: Any, outputs: Any, models: Any, rates: Any, l1: Any, l2: Any,
    decays: Any, intercept: Any, kept: Any,
) -> int:  # fmt: skip
    """`_learn_one` for models with `outputs` scores each, one a class; labels are class numbers."""
    columns = table.shape[2]
    longest = max(1, _longest(indptr))
    rows, scaled, scores = np.empty(longest, np.intp), np.empty(longest, np.float32), np.empty(columns, _F)
    ahead = np.intp(table.size > _CACHED)
    slopes = np.zeros(columns, np.float32)
    for i in range(indptr.shape[0] - 1):
        start, stop = indptr[i], indptr[i + 1]
        _score_pack(
            table, bias, indices, values, inverse, bound, start, stop, ahead * (stop - start),
            rows, scaled, scores,
        )  # fmt: skip
        weight = weights[i] if weights.shape[0] else _F(1.0)
        target = np.int64(labels[i])
        for m in range(models):
            first = m * outputs
            top, total = scores[first], _F(0.0)
            for c in range(first, first + outputs):
                top = max(top, scores[c])
                if not (abs(scores[c]) < _HUGE):
                    return i
            if codes[m] != SOFTMAX:
                for c in range(first, first + outputs):
                    slopes[c] = scores[c]
                margin_slopes(codes[m], parameters[m], slopes, first, outputs, target)
                for c in range(first, first + outputs):
                    slopes[c] *= weight
                continue
            for c in range(first, first + outputs):
                slopes[c] = exp32(scores[c] - top)
                total += slopes[c]
            for c in range(first, first + outputs):
                hit = _F(1.0) if c == first + target else _F(0.0)
                slopes[c] = weight * (slopes[c] / total - hit)
        for m in range(kept.shape[1]):
            kept[i, m] = scores[m]
        _step_pack(
            table, bias, stop - start, rows, scaled, slopes, rates, l1, l2, decays, intercept,
        )  # fmt: skip
    return -1


class OnlineLearner:
    """The weights of a pack while it learns in this process.

    Dense rows come scaled already; sparse ones are scaled as they are read.
    """

    def __init__(self, pack: Pack, scaling: Scaling, *, bias: bool = True) -> None:
        self.pack, self.scaling, self.intercept = pack, scaling, bias
        features = len(scaling.scale)
        columns = pack.columns
        self.single = columns == 1
        width = 1 if self.single else -(-columns // LANES) * LANES
        self._table = aligned_zeros(features + 1, 2, width)
        self._bias = np.zeros((2, width), np.float32)
        scaled = np.flatnonzero(scaling.scale != 1.0)
        self._bound = int(scaled[-1]) + 1 if len(scaled) else 0
        self._inverse = np.append(1.0 / scaling.scale[: self._bound], 1.0).astype(np.float32)

    def __len__(self) -> int:
        """How many models learn."""
        return len(self.pack)

    @property
    def weights(self) -> NDArray[np.float32]:
        """Of scaled features: (d, columns)."""
        return self._table[:-1, 0, : self.pack.columns]

    @property
    def bias(self) -> NDArray[np.float32]:
        """(columns,)."""
        return self._bias[0, : self.pack.columns]

    def learn(
        self,
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        values: NDArray[np.float32],
        labels: NDArray[np.float32],
        weights: NDArray[np.float32] | None = None,
        *,
        scaled: bool = False,
        keep: bool = False,
    ) -> tuple[int, NDArray[np.float64]]:
        """Learn from sparse rows in their order; `scaled` says that their values are.

        Returns the first row whose score was not finite, -1 for none, and where `keep` asks each model's sum
        of losses, each row's before it was learned from, (models,).
        """
        pack = self.pack
        # the kernels take neither strides nor other types
        indices = np.ascontiguousarray(indices, np.int32)
        values = np.ascontiguousarray(values, np.float32)
        bound = 0 if scaled else self._bound
        own = np.empty(0, np.float32) if weights is None else weights
        rows = len(indptr) - 1
        tallied = keep and weights is None and not pack.codes.any() and bool((pack.positive == 1).all())
        tally = np.zeros(len(pack) if tallied else 0)
        kept = np.empty((rows, pack.columns) if keep and not tallied else (0, 0), np.float32)
        shared = (indptr, indices, values, labels, own, *self._arrays(), self._inverse, bound)
        if self.single:
            held = np.empty((3, -(-max(_longest(indptr), 1) // LANES) * LANES), np.float32)
            bad = _learn_one(
                *shared, int(pack.codes[0]), pack.parameters[0], pack.positive[0],
                pack.rates[0], pack.l1[0], pack.l2[0], self.intercept, held, kept.ravel(), tally,
            )  # fmt: skip
        else:
            width = self._table.shape[2]
            rates, l1, l2 = (_padded(pack.per_column(each), width) for each in (pack.rates, pack.l1, pack.l2))
            decays = bool(l1.any() or l2.any())
            if pack.multiclass:
                bad = _learn_multiclass(
                    *shared, pack.codes, pack.parameters, pack.outputs, len(pack), rates, l1, l2, decays,
                    self.intercept, kept,
                )  # fmt: skip
            else:
                codes, parameters, positive = (
                    _padded(each, width) for each in (pack.codes, pack.parameters, pack.positive)
                )
                bad = _learn_pack(
                    *shared, codes, parameters, positive, rates, l1, l2, not codes.any(), decays,
                    self.intercept, kept, tally,
                )  # fmt: skip
        if not keep or bad >= 0:
            return int(bad), np.zeros(len(pack))
        return -1, tally if tallied else pack_losses(pack, kept, labels, weights)

    def _arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Table and bias as the kernels take them."""
        return (self._table[:, :, 0], self._bias[:, 0]) if self.single else (self._table, self._bias)


def pack_losses(
    pack: Pack, scores: NDArray[Any], targets: NDArray[Any], weights: NDArray[Any] | None
) -> NDArray[np.float64]:
    """The sum of each model's losses for scores (n, columns), (models,)."""
    found = np.empty(len(pack))
    for number, each in enumerate(pack.models):
        first = number * pack.outputs
        own = scores[:, first : first + pack.outputs] if pack.multiclass else scores[:, first]
        rows = losses(each.loss, each.parameter, targets, own)
        if not pack.multiclass and pack.positive[number] != 1:
            rows = np.where(targets > 0, rows * float(pack.positive[number]), rows)
        found[number] = rows.sum() if weights is None else float(rows @ weights)
    return found


def aligned_zeros(*shape: int) -> NDArray[np.float32]:
    """float32 zeros that begin with a cache line, so that no eight of them lie in two."""
    count = math.prod(shape)
    found = np.zeros(count + 16, np.float32)
    first = -found.ctypes.data % 64 // 4
    return found[first : first + count].reshape(shape)


def _padded(values: NDArray[Any], width: int) -> NDArray[Any]:
    """`values` with zeros after them: columns that pad a pack do not learn."""
    return np.concatenate([values, np.zeros(width - len(values), values.dtype)])
