"""What is expected of a workload on n configurations before it runs, from runs of other workloads on them.

The logarithm of a run's seconds is a level, a course over the configurations that workloads share, and what
is the workload's own: together a Gaussian process of which mean and covariance are learned from the others
(Yu, Tresp and Schwaighofer, "Learning Gaussian processes from multiple tasks", ICML 2005: a normal and
inverse Wishart prior whose scale is a kernel). The kernel is Matern 5/2 in columns that tell of the
configurations; its length scales have the greatest likelihood on the others' runs. How much weight the few
other workloads' own covariance has, and how much this one varies, is not decided: every setting is a
`Course`, and what is seen of the workload weighs them. So do courses that know of no other workload.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.linalg import solve
from scipy.optimize import minimize

Array = NDArray[np.float64]

LEVEL, LEVEL_SPREAD = math.log(300.0), 2.0
"""Mean and deviation of log seconds where nothing is known: half a minute to three quarters of an hour."""
NOISE = 0.05**2
"""Variance of the logarithm of a run's seconds between repeats, where nothing else is known."""
_SLOPE, _SLOPE_SPREAD = -0.75, 0.5
"""Of log seconds by log price: a machine of twice the price is nearly, but not quite, twice as fast."""
_OWN = (0.0, 0.4, 0.8)
"""Weights of the other workloads' own covariance beside that of the kernel."""
_SCALES = ((0.35, 0.25), (1.0, 0.4), (2.8, 0.25), (8.0, 0.1))
"""Times that a workload's variance may be the others', and how likely that is."""
_ALIKE, _ALIKE_SCALES = 0.4, (0.15, 0.5)
"""Probability that the workload goes like one of the others, and by how much of their variance not quite."""
_GENERIC_LENGTHS, _GENERIC_VARIANCES = (0.5, 1.0, 3.0), (0.05, 0.3, 1.5, 6.0)
_GENERIC_NOISES = (NOISE, 0.2**2)
_DISTRUST = 0.1
"""Probability that the other workloads tell nothing, before this one ran."""
_ALL_OF, _SOME_OF_MANY = 80, 28
"""Configurations up to which all are used in learning length scales; how many of more than that are."""


class Course(Struct, frozen=True):
    """One belief of log seconds on n configurations."""

    means: Array
    """(n,) less the level."""
    covariance: Array
    """(n, n) less that of the level."""
    scale: float
    """What the covariance is to be multiplied by."""
    noise: float
    """Variance of one run about it."""
    weight: float
    """Its probability, before anything ran."""


class WorkloadPrior(Struct, frozen=True):
    """Courses whose weights sum to one, and the level that all share."""

    courses: tuple[Course, ...]
    level: float
    level_variance: float


def workload_prior(columns: Array, prices: Array, others: Array) -> WorkloadPrior:
    """The prior on n configurations told of by columns (n, d), with prices (n,) above 0.

    `others` (W, n) are log seconds of other workloads, NaN where one did not run; W may be 0. Remembered for
    the last few arguments. O(n^3), of 80 at most, for each of some dozen steps, and O(W n^2).
    """
    given = (columns, prices, others)
    return _remembered(*(np.ascontiguousarray(each, np.float64).tobytes() for each in given), columns.shape)


@lru_cache(maxsize=64)
def _remembered(columns: bytes, prices: bytes, others: bytes, shape: tuple[int, int]) -> WorkloadPrior:
    told = np.frombuffer(columns).reshape(shape)
    usual = _SLOPE * np.log(np.frombuffer(prices))
    usual = usual - usual.mean()
    seen = np.frombuffer(others).reshape(-1, shape[0])
    seen = seen[np.isfinite(seen).sum(axis=1) > 1]
    generic = _generic(columns, shape, usual.tobytes())
    if not len(seen):
        return WorkloadPrior(generic, LEVEL, LEVEL_SPREAD**2)
    levels, learned = _learned(told, usual, seen)
    courses = [_weighed(each, _DISTRUST) for each in generic]
    courses += [_weighed(each, 1.0 - _DISTRUST) for each in learned]
    count = len(levels)
    variance = (((levels - levels.mean()) ** 2).sum() + LEVEL_SPREAD**2) / count
    level = (levels.sum() + LEVEL) / (count + 1)
    return WorkloadPrior(tuple(courses), float(level), float(max(variance, 1.0)))


def _weighed(course: Course, by: float) -> Course:
    return Course(course.means, course.covariance, course.scale, course.noise, course.weight * by)


@lru_cache(maxsize=16)
def _generic(told: bytes, shape: tuple[int, int], prices: bytes) -> tuple[Course, ...]:
    """Courses that know nothing but the columns and what is usual of prices."""
    columns, usual = np.frombuffer(told).reshape(shape), np.frombuffer(prices)
    d = columns.shape[1]
    slope = np.outer(usual, usual) * (_SLOPE_SPREAD / _SLOPE) ** 2
    found = []
    for length in _GENERIC_LENGTHS:
        kernel = matern(columns, np.full(d, length * math.sqrt(max(d, 1))))
        if d > 1:
            # Half of what varies does so by one column, whatever the others are.
            kernel *= 0.5
            for column in columns.T:
                kernel += _alone(column, length) * (0.5 / d)
        for variance in _GENERIC_VARIANCES:
            found += [(kernel * variance + slope, noise) for noise in _GENERIC_NOISES]
    return tuple(Course(usual, each, 1.0, noise, 1 / len(found)) for each, noise in found)


def _learned(columns: Array, usual: Array, seen: Array) -> tuple[Array, list[Course]]:
    """The others' levels (W,), and what they teach."""
    count = len(seen)
    known = np.isfinite(seen)
    held = np.where(known, seen, 0.0)
    many = known.sum(axis=0)
    shared = usual
    # Levels and the shared course, each given the other; one workload's worth of what is usual is added.
    for _ in range(20):
        levels = (np.where(known, held - shared, 0.0)).sum(axis=1) / known.sum(axis=1)
        shared = (np.where(known, held - levels[:, None], 0.0).sum(axis=0) + usual) / (many + 1)
    own = np.where(known, held - levels[:, None] - shared, 0.0)
    # What the shared course differs from the usual by tells of the scatter too: one row of it.
    rest = (shared - usual) * math.sqrt((count + 1) / count)
    rows, masks = np.vstack([own, rest]), np.vstack([known, many > 0])
    lengths, signal, noise = _likeliest(columns, rows, masks)
    kernel = matern(columns, lengths) * signal
    filled = np.array([_filled(row, mask, kernel, noise) for row, mask in zip(rows, masks, strict=True)])
    scatter = filled.T @ filled / count
    wider = (count + 2) / (count + 1)
    found = []
    for own_weight in _OWN:
        mixed = ((1 - own_weight) * kernel + own_weight * scatter) * wider
        each = (1 - _ALIKE) / len(_OWN)
        found += [Course(shared, mixed, scale, noise, share * each) for scale, share in _SCALES]
    for course in filled[:count] + shared:
        each = _ALIKE / count / len(_ALIKE_SCALES)
        found += [Course(course, kernel, scale, noise, each) for scale in _ALIKE_SCALES]
    return levels, found


def _filled(row: Array, mask: NDArray[np.bool_], kernel: Array, noise: float) -> Array:
    """A workload's own course, where it did not run as the kernel expects it."""
    if mask.all():
        return row
    at = np.flatnonzero(mask)
    inner = kernel[np.ix_(at, at)] + np.eye(len(at)) * (noise + 1e-9)
    found = kernel[:, at] @ solve(inner, row[at], assume_a="pos", overwrite_a=True, check_finite=False)
    return np.where(mask, row, found)


def _alone(column: Array, length: float) -> Array:
    """Matern 5/2 by one column (n,), of which the values often repeat."""
    values, where = np.unique(column, return_inverse=True)
    return np.asarray(matern(values[:, None], np.array([length]))[where][:, where])


def matern(columns: Array, lengths: Array) -> Array:
    """Matern 5/2 between the rows of columns (n, d), with length scales (d,), as (n, n); ones without d."""
    scaled = columns / lengths
    squares = (scaled**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * scaled @ scaled.T, 0.0)
    np.fill_diagonal(distances, 0.0)
    r = np.sqrt(5.0 * distances)
    found = np.exp(-r)
    found *= 1 + r * (1 + r / 3)
    return np.asarray(found)


def _likeliest(columns: Array, rows: Array, masks: NDArray[np.bool_]) -> tuple[Array, float, float]:
    """Length scales (d,), signal and noise variance of greatest posterior density on rows (W, n)."""
    n, d = columns.shape
    chosen = np.arange(n)
    if n > _ALL_OF:
        order = np.lexsort(columns.T) if d else chosen
        chosen = order[np.linspace(0, n - 1, _SOME_OF_MANY).astype(np.int64)]
    columns, rows, masks = columns[chosen], rows[:, chosen], masks[:, chosen]
    groups: dict[bytes, list[int]] = {}
    for number, mask in enumerate(masks):
        if mask.sum() > 1:
            groups.setdefault(mask.tobytes(), []).append(number)
    parts = []
    for numbers in groups.values():
        at = np.flatnonzero(masks[numbers[0]])
        own = rows[numbers][:, at]
        parts.append((columns[at], len(numbers), own.T @ own))
    spread = max(float(np.var(rows[masks])), 1e-4)
    usual = 0.5 * math.log(max(d, 1)) + 0.35

    def against(theta: Array) -> tuple[float, Array]:
        lengths, signal, noise = np.exp(theta[:d]), math.exp(theta[d]), math.exp(theta[d + 1])
        off = np.concatenate([theta[:d] - usual, [theta[d] - math.log(spread)], [theta[d + 1] + 5.0]])
        widths = np.concatenate([np.full(d, 1.0), [1.5, 1.5]])
        value, gradient = float(0.5 * ((off / widths) ** 2).sum()), off / widths**2
        for told, count, scatter in parts:
            more, slopes = _misfit(told, count, scatter, lengths, signal, noise)
            value += more
            gradient = gradient + slopes
        return value, gradient

    start = np.concatenate([np.full(d, usual), [math.log(spread)], [-5.0]])
    bounds = [(-2.5, 4.5)] * d + [(-9.0, 4.0), (-8.0, 0.0)]
    found = minimize(
        against,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 40 if n <= _ALL_OF else 12, "ftol": 1e-5},
    )
    theta = found.x
    return np.exp(theta[:d]), math.exp(theta[d]), math.exp(theta[d + 1])


def _misfit(
    columns: Array, count: int, scatter: Array, lengths: Array, signal: float, noise: float
) -> tuple[float, Array]:
    """Minus the log likelihood of `count` rows of that scatter, and its slopes by the logarithms."""
    n, d = columns.shape
    scaled = columns / lengths
    apart = [(scaled[:, [k]] - scaled[:, k]) ** 2 for k in range(d)]
    r = np.sqrt(5.0 * sum(apart, np.zeros((n, n))))
    decay = np.exp(-r)
    kernel = signal * (1 + r + r * r / 3) * decay
    # A level of its own for each row, next to free.
    matrix = kernel + 4.0 + np.eye(n) * noise
    lower = np.linalg.cholesky(matrix + np.eye(n) * 1e-8)
    inverse = np.linalg.inv(lower)
    precision = inverse.T @ inverse
    half = precision @ scatter
    value = count * float(np.log(np.diag(lower)).sum()) + 0.5 * float(np.trace(half))
    middle = 0.5 * (count * precision - half @ precision)
    bend = middle * (signal * 5.0 / 3.0) * (1 + r) * decay
    slopes = [float((bend * each).sum()) for each in apart]
    return value, np.array([*slopes, float((middle * kernel).sum()), noise * float(np.trace(middle))])
