"""How a learning curve goes on: SpotTune's rational curve, and the trend of its latest part.

SpotTune (Li et al., ICDCS 2020, arXiv 2012.03576), formula 2.3, says that within a stage of training the loss
after k steps is `1 / (a0 k^2 + a1 k + a2) + a3` with coefficients that are not negative. For each a3 of a few
below the least loss, the others follow from non-negative least squares of `1 / (loss - a3)`, weighted so that
the error is that of the loss to first order; the a3 with the least error in the loss stands. Left to itself
the curve foretells absurd ends, so a forecast is clipped to a band below and a little above the best loss.

What a forecast is worth is asked of the curves at hand: each is cut earlier, foretold over the same ratio of
steps, and the errors, in units of how much each curve lately moved, give the interval (a split conformal
interval, Vovk et al., "Algorithmic Learning in a Random World", 2005, whose guarantee needs errors that are
alike early and late: learning curves are so only roughly).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import ArrayLike, NDArray

from tradewind.errors import Misuse

_BELOW = np.array([0.001, 0.01, 0.03, 0.1, 0.2, 0.4, 0.8, 1.5])
"""How far below the least loss a3 is tried, in ranges of the stage's losses."""
_LEAST = 5
"""Points of a stage below which it is not fitted."""
_CUTS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

Curve = tuple[ArrayLike, ArrayLike]
"""The steps, rising, and the loss at each."""


class Fit(Struct, frozen=True):
    """A rational curve for the last stage of a learning curve; None of it before there are five points."""

    start: int
    """The place of the first loss of the last stage."""
    coefficients: tuple[float, float, float]
    """a0, a1, a2, for steps as they were given."""
    floor: float
    """a3."""
    error: float
    """The root of the mean squared error, in units of the loss."""

    def at(self, step: float) -> float:
        """The loss at a step, not clipped."""
        a0, a1, a2 = self.coefficients
        below = (a0 * step + a1) * step + a2
        return self.floor + (1.0 / below if below > 0 else math.inf)


class Forecast(Struct, frozen=True):
    """A foretold loss, between bounds that should hold it as often as the level says."""

    low: float
    expected: float
    high: float


def stages(losses: ArrayLike, *, drop: float = 0.15, ends: int = 3) -> list[int]:
    """The places where a stage begins, 0 first: where one step took off more than `drop` of a loss.

    Not within `ends` points of either end of the curve, and not within `ends` points of each other.
    """
    y = np.asarray(losses, np.float64)
    found = [0]
    for at in range(ends, len(y) - ends):
        scale = abs(y[at - 1])
        if scale > 0 and (y[at - 1] - y[at]) / scale > drop and at - found[-1] >= ends:
            found.append(at)
    return found


def fit(steps: ArrayLike, losses: ArrayLike, *, boundaries: Sequence[int] | None = None) -> Fit | None:
    """The rational curve of the last stage; None where it has fewer than five finite losses or is flat.

    `boundaries` are the steps at which the learning rate changes, where that is known; otherwise stages are
    found by their drops. Misuse where steps and losses differ in number.
    """
    k, y = _finite(steps, losses)
    if boundaries is None:
        start = stages(y)[-1]
    else:
        start = max((int(np.searchsorted(k, each)) for each in boundaries if each <= k[-1]), default=0)
    if len(y) - start < _LEAST or not np.ptp(y[start:]) > 0:
        return None
    unit = float(k[-1]) or 1.0
    a0, a1, a2, floor, error = _fitted(k[start:] / unit, y[start:], _BELOW)
    if not math.isfinite(error):
        return None
    return Fit(start, (a0 / unit / unit, a1 / unit, a2), floor, error)


def foretold(
    steps: ArrayLike, losses: ArrayLike, at: float, *, boundaries: Sequence[int] | None = None
) -> float:
    """The loss expected at step `at` by the clipped rational curve; the last loss where there is no fit.

    The band is from half of what was gained so far below the least loss to 5 % of that loss above it. nan
    where the last loss is not finite.
    """
    y = np.asarray(losses, np.float64)
    if len(y) == 0 or not math.isfinite(y[-1]):
        return math.nan
    found = fit(steps, losses, boundaries=boundaries)
    if found is None:
        return float(y[-1])
    finite = y[np.isfinite(y)]
    least = float(finite.min())
    low, high = least - 0.5 * (float(finite[0]) - least), least + 0.05 * abs(least)
    return min(max(found.at(at), low), high)


def trend(steps: ArrayLike, losses: ArrayLike, at: float, *, window: float) -> float:
    """The loss at step `at` if it goes on along the line, over the root of the steps, of its latest part.

    The line is that of least squares through the last `window` (a share) of the steps, three points at
    least; with fewer than three, the least loss. Losses that are not finite are left out.
    """
    k, y = _finite(steps, losses)
    if len(y) < 3:
        return float(y.min()) if len(y) else math.nan
    first = min(int(np.searchsorted(k, (1.0 - window) * k[-1], side="right")), len(k) - 3)
    x, z = np.sqrt(k[first:]), y[first:]
    middle = x.mean()
    x = x - middle
    if not x @ x > 0:
        return float(y.min())
    with np.errstate(over="ignore", invalid="ignore"):
        return float(z.mean() + (x @ (z - z.mean())) / (x @ x) * (math.sqrt(at) - middle))


def forecasts(curves: Sequence[Curve], at: float, *, level: float = 0.8) -> list[Forecast]:
    """What the clipped rational curve expects of each curve at step `at`, with an interval.

    The interval is made of how wrong it was about these same curves earlier, all taken together. Where a
    curve is too short for the same ratio of steps, it is foretold to its end and the error stretched by the
    root of the ratio of the logarithms. Measured at 20, 40 and 60 % of the steps in groups of 16, intervals
    of 80 % hold 67 to 89 % of the ends of six TaskSet tasks and 50 to 74 % of those of six tasks of LCBench's
    surrogate. Bounds are nan where nothing can be said. Misuse for a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise Misuse(f"{level!r} is no level", field="level", fix="Give 0.8 for 80 %.")
    known = [_finite(*each) for each in curves]
    expected = [foretold(steps, losses, at) for steps, losses in curves]
    errors: list[float] = []
    for k, y in known:
        if len(y) >= 2 and at > k[-1]:
            errors += _past_errors(k, y, at / float(k[-1]))
    found: list[Forecast] = []
    low, high = (math.nan, math.nan)
    if errors:
        # The finite-sample quantile: one more error, unknown, might lie beyond all others.
        share = min(1.0, (1 + level) / 2 * (1 + 1 / len(errors)))
        low, high = (float(each) for each in np.quantile(errors, [1 - share, share]))
    for (k, y), middle in zip(known, expected, strict=True):
        if len(y) and at <= k[-1]:
            found.append(Forecast(middle, middle, middle))
            continue
        scale = _movement(k, y)
        bounds = middle + min(low, 0.0) * scale, middle + max(high, 0.0) * scale
        found.append(Forecast(bounds[0], middle, bounds[1]))
    return found


def _past_errors(k: NDArray[np.float64], y: NDArray[np.float64], ratio: float) -> list[float]:
    """Errors of forecasts from earlier cuts of a curve, in units of its movement before the cut."""
    errors: list[float] = []
    for cut in _CUTS:
        place = round(cut * len(k))
        if place < 2:
            continue
        # Where the curve is too short for the ratio, its whole is foretold and the error stretched.
        until = min(float(k[place - 1]) * ratio, float(k[-1]))
        there = until / float(k[place - 1])
        if there <= 1.0:
            continue
        stretch = math.sqrt(math.log(ratio) / math.log(there)) if there < ratio else 1.0
        scale = _movement(k[:place], y[:place])
        if not scale > 0:
            continue
        actual = float(np.interp(until, k, y))
        errors.append(stretch * (actual - foretold(k[:place], y[:place], until)) / scale)
    return errors


def _movement(k: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """How much a curve moved in the second half of its steps: a mean move times the root of their number."""
    if len(y) < 2:
        return math.nan
    late = y[np.searchsorted(k, 0.5 * k[-1]) :]
    return float(np.abs(np.diff(late)).mean() * math.sqrt(len(late))) if len(late) > 1 else math.nan


def _finite(steps: ArrayLike, losses: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    k, y = np.asarray(steps, np.float64), np.asarray(losses, np.float64)
    if k.shape != y.shape or k.ndim != 1:
        raise Misuse(f"{k.size} steps for {y.size} losses", field="losses", fix="Give one for each step.")
    good = np.isfinite(y)
    return k[good], y[good]


@njit(cache=True, nogil=True)
def _fitted(
    k: NDArray[np.float64], y: NDArray[np.float64], below: NDArray[np.float64]
) -> tuple[float, float, float, float, float]:  # pragma: no cover - compiled
    """The coefficients, a3 and the error of the best of all a3; steps are scaled to 1."""
    least, span = y.min(), y.max() - y.min()
    best = (0.0, 0.0, 0.0, least, np.inf)
    for share in below:
        floor = least - span * share
        # Gram matrix of [k^2, k, 1] and the right-hand side, rows weighted by the squared distance to a3;
        # distances are in units of the span, so that no scale of losses overflows.
        s = np.zeros(5)
        h = np.zeros(3)
        for i in range(len(k)):
            distance = (y[i] - floor) / span
            weight = distance**4
            power = 1.0
            for j in range(5):
                s[j] += weight * power
                if j < 3:
                    h[j] += weight * power / distance
                power *= k[i]
        a2, a1, a0 = _nonnegative(s, h)
        error = 0.0
        for i in range(len(k)):
            under = (a0 * k[i] + a1) * k[i] + a2
            if not under > 0:
                error = np.inf
                break
            error += (floor + span / under - y[i]) ** 2
        error = np.sqrt(error / len(k))
        if error < best[4]:
            best = (a0 / span, a1 / span, a2 / span, floor, error)
    return best


@njit(cache=True, nogil=True)
def _nonnegative(
    s: NDArray[np.float64], h: NDArray[np.float64]
) -> tuple[float, float, float]:  # pragma: no cover - compiled
    """The x >= 0 (3,) with the least x'Gx - 2h'x for G[i, j] = s[i + j]: the best of all supports."""
    best, found = 0.0, np.zeros(3)
    for support in range(1, 8):
        size = 0
        places = np.zeros(3, np.int64)
        for j in range(3):
            if support >> j & 1:
                places[size] = j
                size += 1
        m = np.zeros((size, size))
        r = np.zeros(size)
        for i in range(size):
            r[i] = h[places[i]]
            for j in range(size):
                m[i, j] = s[places[i] + places[j]]
        x = np.zeros(size)
        good = True
        # Cholesky's factor; a pivot that vanishes says that a smaller support does as well.
        for i in range(size):
            for j in range(i + 1):
                total = m[i, j]
                for e in range(j):
                    total -= m[i, e] * m[j, e]
                if i == j:
                    if total <= 1e-13 * s[2 * places[i]]:
                        good = False
                        break
                    m[i, i] = np.sqrt(total)
                else:
                    m[i, j] = total / m[j, j]
            if not good:
                break
        if not good:
            continue
        for i in range(size):
            total = r[i]
            for e in range(i):
                total -= m[i, e] * x[e]
            x[i] = total / m[i, i]
        for i in range(size - 1, -1, -1):
            total = x[i]
            for e in range(i + 1, size):
                total -= m[e, i] * x[e]
            x[i] = total / m[i, i]
        if x.min() < 0:
            continue
        value = 0.0
        for i in range(size):
            value -= x[i] * r[i]
        if value < best:
            best = value
            found = np.zeros(3)
            for i in range(size):
                found[places[i]] = x[i]
    return found[0], found[1], found[2]
