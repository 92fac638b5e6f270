"""A factorization machine that learns row by row in one process, by adaptive steps.

Each weight, each factor and the bias step by `rate * d / sqrt(1 + g)` with g the sum of its squared slopes
(Duchi, Hazan and Singer, JMLR 2011; field-aware machines learn so, Juan et al., RecSys 2016, algorithm 1).
A feature is one stretch of memory: factors and weight, then their accumulators, in whole vectors of floats.
A feature that a row holds twice counts twice, and steps twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradewind.algorithms.factorization.factors import first_factor
from tradewind.algorithms.linear import vectors
from tradewind.algorithms.linear.losses import exp32
from tradewind.algorithms.linear.online import aligned_zeros
from tradewind.algorithms.linear.scaling import Scaling

_AHEAD = 64
"""Non-zeros whose features are fetched into the cache before they are needed."""

_CACHED = 1 << 18
"""Floats of a table that stay in the cache by themselves: a megabyte."""

_F = np.float32
_HUGE = _F(3.0e38)

pack_fetch: Any = vectors.pack_fetch  # Any: numba hands an intrinsic its first argument itself


@njit(cache=True, nogil=True, error_model="numpy")
def _learn(
    indptr: Any, indices: Any, values: Any, labels: Any, weights: Any, table: Any, bias: Any, inverse: Any,
    bound: Any, k: Any, spread: Any, seed: Any, logistic: Any, rate: Any, factors_rate: Any, l2: Any,
    factors_l2: Any, keep: Any, tally: Any,
) -> int:  # fmt: skip
    """Learn from the rows in order; the first row whose score is not finite, or -1.

    `table` (d, 2, at least k + 1) holds k factors and the weight of each feature, then their accumulators,
    which count from one; a feature whose weight's is zero was never met. Losses are added to `tally` (1,).
    """
    one, half = _F(1.0), _F(0.5)
    longest = 1
    for i in range(indptr.shape[0] - 1):
        longest = max(longest, indptr[i + 1] - indptr[i])
    rows, scaled = np.empty(longest, np.intp), np.empty(longest, np.float32)
    sums, own = np.empty(k, np.float32), np.empty(k, np.float32)
    weighted, far = weights.shape[0] > 0, table.size > _CACHED
    last = indices.shape[0] - 1
    w0, g0 = bias[0], bias[1]
    bad = -1
    for i in range(indptr.shape[0] - 1):
        count = 0
        z = w0
        for f in range(k):
            sums[f] = _F(0.0)
            own[f] = _F(0.0)
        for n in range(indptr[i], indptr[i + 1]):
            if far:
                pack_fetch(table, np.intp(indices[min(n + _AHEAD, last)]))
            x, row = values[n], np.intp(indices[n])
            if row < bound:
                x *= inverse[row]
            if x == 0:
                continue
            rows[count], scaled[count] = row, x
            count += 1
            held, squares = table[row, 0], table[row, 1]
            if squares[k] == 0:
                for f in range(k):
                    held[f] = spread * first_factor(row, f, seed)
                for f in range(k + 1):
                    squares[f] = one
            z += held[k] * x
            for f in range(k):
                part = held[f] * x
                sums[f] += part
                own[f] += part * part
        pairs = _F(0.0)
        for f in range(k):
            pairs += sums[f] * sums[f] - own[f]
        z += half * pairs
        if not (abs(z) < _HUGE):
            bad = i
            break
        y = labels[i]
        weight = weights[i] if weighted else one
        if logistic:
            # numba's float() of a float32 stays one
            m = np.float64(y * z)
            if keep:
                tally[0] += weight * (np.log1p(np.exp(-m)) if m > 0 else np.log1p(np.exp(m)) - m)
            d = -y / (one + exp32(y * z))
        else:
            d = z - y
            if keep:
                tally[0] += weight * 0.5 * np.float64(d) * np.float64(d)
        d *= weight
        decay, factors_decay = weight * l2, weight * factors_l2
        g0 += d * d
        w0 -= rate * d / np.sqrt(one + g0)
        for n in range(count):
            x = scaled[n]
            held, squares = table[rows[n], 0], table[rows[n], 1]
            h = d * x + decay * held[k]
            squares[k] += h * h
            held[k] -= rate * h / np.sqrt(squares[k])
            dx = d * x
            for f in range(k):
                v = held[f]
                h = dx * (sums[f] - v * x) + factors_decay * v
                g = squares[f] + h * h
                squares[f] = g
                held[f] = v - factors_rate * h / np.sqrt(g)
    bias[0], bias[1] = w0, g0
    return bad


@njit(cache=True, nogil=True)
def _met(table: Any, k: Any, out: Any) -> None:
    """Factors and weights (d, k + 1) of a table, zero for features that were never met."""
    for i in range(table.shape[0]):
        if table[i, 1, k] != 0:
            for f in range(k + 1):
                out[i, f] = table[i, 0, f]


class OnlineMachine:
    """The factors and weights of one machine while it learns in this process; a `RowLearner`."""

    def __init__(
        self,
        scaling: Scaling,
        factors: int,
        *,
        logistic: bool,
        rate: float,
        factors_rate: float,
        l2: float,
        factors_l2: float,
        spread: float,
        seed: int,
    ) -> None:
        """First factors lie within plus or minus `spread`, by `seed`."""
        self.scaling, self.factors, self.logistic = scaling, factors, logistic
        self._steps = (_F(rate), _F(factors_rate), _F(l2), _F(factors_l2))
        self._spread, self._seed = _F(spread), np.uint64(seed)
        width = -(-(factors + 1) // vectors.LANES) * vectors.LANES
        self._table = aligned_zeros(len(scaling.scale), 2, width)
        self._bias = np.zeros(2, np.float32)
        scaled = np.flatnonzero(scaling.scale != 1.0)
        self._bound = int(scaled[-1]) + 1 if len(scaled) else 0
        self._inverse = np.append(1.0 / scaling.scale[: self._bound], 1.0).astype(np.float32)

    def __len__(self) -> int:
        """One."""
        return 1

    @property
    def table(self) -> NDArray[np.float32]:
        """Factors, then the weight, of scaled features (d, k + 1); zero for those that were never met."""
        found = np.zeros((len(self._table), self.factors + 1), np.float32)
        _met(self._table, self.factors, found)
        return found

    @property
    def bias(self) -> float:
        """The bias for scaled features and labels."""
        return float(self._bias[0])

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

        Returns the first row whose score was not finite, -1 for none, and where `keep` asks the sum of the
        losses, each row's before it was learned from, (1,).
        """
        tally = np.zeros(1)
        rate, factors_rate, l2, factors_l2 = self._steps
        bad = _learn(
            np.ascontiguousarray(indptr, np.int64), np.ascontiguousarray(indices, np.int32),
            np.ascontiguousarray(values, np.float32), np.ascontiguousarray(labels, np.float32),
            np.empty(0, np.float32) if weights is None else np.ascontiguousarray(weights, np.float32),
            self._table, self._bias, self._inverse, 0 if scaled else self._bound, self.factors,
            self._spread, self._seed, self.logistic, rate, factors_rate,
            l2, factors_l2, keep, tally,
        )  # fmt: skip
        return int(bad), tally

    def copy(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What `restore` brings back."""
        return self._table.copy(), self._bias.copy()

    def restore(self, kept: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
        """Go back to what `copy` gave."""
        self._table[...], self._bias[...] = kept
