"""Regression by a Gaussian process: what is expected at a point, and how sure that is.

Matern 5/2 with a length scale for each column (Snoek, Larochelle and Adams, "Practical Bayesian optimization
of machine learning algorithms", NIPS 2012) and columns bent by Kumaraswamy's distribution where that fits
better (Snoek, Swersky, Zemel and Adams, "Input warping for Bayesian optimization of non-stationary
functions", ICML 2014). Hyper-parameters are those of greatest posterior density.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from tradewind.errors import Misuse
from tradewind.estimates import matern
from tradewind.estimates.matern import Array

LEAST_NOISE = 1e-6
"""Of the variance of the targets: what keeps duplicates from making the covariance singular."""
_LENGTH_SPREAD = 1.73
_WARP_SPREAD = 0.15
"""Standard deviations of the logarithms of length scales and of a and b, before anything is seen."""
_WARPED_FROM = 20
"""Observations below which columns are not bent: each has two numbers of its own to be learned."""
_JITTERS = (0.0, 1e-8, 1e-6, 1e-4, 1e-2)


class GaussianProcess(Struct, frozen=True):
    """A process that has seen n points of d columns; S sets of targets at once, one unless conditioned so."""

    lengths: Array
    """(d,) length scales, after the bending."""
    signal: float
    """Variance of the function, of standardised targets."""
    noise: float
    """Variance of the noise, likewise."""
    a: Array
    """(d,)"""
    b: Array
    """(d,) of 1 - (1 - x^a)^b; both 1 where a column stays as it is."""
    points: Array
    """(n, d) as they were given."""
    targets: Array
    """(S, n) standardised."""
    shift: float
    scale: float
    """Targets are `shift` + `scale` times the standardised ones."""
    scaled: Array
    """(n, d) points, bent and divided by the length scales."""
    inverse: Array
    """(n, n) the inverse of the covariance's lower factor."""
    weights: Array
    """(S, n) the inverse covariance times the targets."""

    @classmethod
    def fitted(
        cls,
        points: ArrayLike,
        targets: ArrayLike,
        *,
        warped: ArrayLike | None = None,
        most: int = 256,
        source: str = "observations",
    ) -> GaussianProcess:
        """The process most likely to have given targets (n,) at points (n, d) of the unit cube.

        `warped` (d,) says which columns may be bent; none if it is None. Hyper-parameters are learned from
        `most` points at most, the least targets and evenly chosen others; all are then conditioned upon.
        O(min(n, most)^3) for each of some dozen steps, and O(n^3) once. Misuse for shapes that do not agree,
        for what is not finite and for points outside the cube.
        """
        X, y = _checked(points, targets, source)
        n, d = X.shape
        bent = np.zeros(d, np.bool_) if warped is None else np.asarray(warped, np.bool_)
        if bent.shape != (d,):
            raise Misuse(f"has shape {bent.shape}", source=source, field="warped", fix=f"Give ({d},).")
        shift, scale = _standard(y)
        standardised = (y - shift) / scale
        theta = _learned(*_part(X, standardised, most), bent & (n >= _WARPED_FROM))
        a, b = np.ones(d), np.ones(d)
        if theta.size > d + 2:
            a[bent], b[bent] = np.exp(theta[d + 2 :: 2]), np.exp(theta[d + 3 :: 2])
        return _seen(
            np.exp(theta[:d]), math.exp(theta[d]), math.exp(theta[d + 1]), a, b,
            X, standardised[None], shift, scale,
        )  # fmt: skip

    def predict(self, points: ArrayLike) -> tuple[Array, Array]:
        """Means (m,), or (S, m) for S sets of targets, and variances (m,) of the function, without noise."""
        means, variances = self.moments(self.scaled_points(points))
        return means[0] if len(means) == 1 else means, variances

    def joint(self, points: ArrayLike) -> tuple[Array, Array]:
        """Means (m,) by the first set of targets, and the covariance (m, m) of the function."""
        queries = self.scaled_points(points)
        half = self.inverse @ matern.covariance(self.scaled, queries, self.signal)
        across = matern.covariance(queries, queries, self.signal) - half.T @ half
        return self.moments(queries)[0][0], self._squared(across)

    def conditioned(self, points: ArrayLike, targets: ArrayLike) -> GaussianProcess:
        """The process when it has also seen targets (k,), or (S, k) for S futures, at points (k, d).

        Hyper-parameters and standardisation stay. O(k n^2): rows are added to the factor.
        """
        more = np.atleast_2d(np.asarray(points, np.float64))
        added = (np.atleast_2d(np.asarray(targets, np.float64)) - self.shift) / self.scale
        if added.shape[1] != len(more) or not len(more):
            raise Misuse(f"{added.shape[1]} targets for {len(more)} points", source="observations")
        queries = self.scaled_points(more)
        n, k = len(self.scaled), len(more)
        half = self.inverse @ matern.covariance(self.scaled, queries, self.signal)
        corner = matern.covariance(queries, queries, self.signal) - half.T @ half
        corner[np.diag_indices(k)] += self.noise
        below = _inverse_factor(corner, self.signal)
        inverse = np.zeros((n + k, n + k))
        inverse[:n, :n], inverse[n:, n:] = self.inverse, below
        inverse[n:, :n] = -below @ (half.T @ self.inverse)
        many = max(len(added), len(self.targets))
        known = np.broadcast_to(self.targets, (many, n))
        both = np.concatenate([known, np.broadcast_to(added, (many, k))], axis=1)
        return GaussianProcess(
            self.lengths, self.signal, self.noise, self.a, self.b, np.concatenate([self.points, more]), both,
            self.shift, self.scale, np.concatenate([self.scaled, queries]), inverse, _weights(inverse, both),
        )  # fmt: skip

    def scaled_points(self, points: ArrayLike) -> Array:
        """Points (m, d) of the unit cube as the kernel sees them: bent and divided by the length scales."""
        given = np.ascontiguousarray(np.atleast_2d(np.asarray(points, np.float64)))
        if given.shape[1] != len(self.lengths):
            raise Misuse(
                f"{given.shape[1]} columns", source="points", fix=f"Give {len(self.lengths)} as learned."
            )
        return np.asarray(matern.warp(np.clip(given, 0.0, 1.0), self.a, self.b) / self.lengths)

    def unscaled_points(self, scaled: Array) -> Array:
        """The points (m, d) of the unit cube that `scaled_points` takes there."""
        return np.asarray(matern.unwarp(np.clip(scaled * self.lengths, 0.0, 1.0), self.a, self.b))

    def stretches(self, point: Array) -> Array:
        """By how much the first columns (k,) of a point move when those of the scaled point do by one."""
        k = len(point)
        x, a, b = np.clip(point, 1e-9, 1.0 - 1e-9), self.a[:k], self.b[:k]
        return np.asarray(self.lengths[:k] / (a * b * x ** (a - 1.0) * (1.0 - x**a) ** (b - 1.0)))

    def moments(self, scaled: Array) -> tuple[Array, Array]:
        """Means (S, m) and variances (m,) of the function at points (m, d) that are scaled already."""
        means, variances = matern.moments(scaled, self.scaled, self.signal, self.inverse, self.weights)
        return means * self.scale + self.shift, self._squared(variances)

    def slopes(self, scaled: Array) -> tuple[Array, float, Array, Array]:
        """At one scaled point (d,): means (S,), variance, and their gradients (S, d) and (d,) there."""
        means, variance, to_means, to_variance = matern.slopes_at(
            scaled, self.scaled, self.signal, self.inverse, self.weights
        )
        square = float(self._squared(np.array(variance)))
        return means * self.scale + self.shift, square, to_means * self.scale, self._squared(to_variance)

    def _squared(self, variances: Array) -> Array:
        """In the targets' own unit; infinite or 0 where doubles have no such square."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return np.asarray(variances * self.scale * self.scale)


def _checked(points: ArrayLike, targets: ArrayLike, source: str) -> tuple[Array, Array]:
    X = np.ascontiguousarray(np.asarray(points, np.float64))
    y = np.asarray(targets, np.float64)
    if X.ndim != 2 or y.shape != (len(X),) or not X.size:
        raise Misuse(
            f"points of shape {X.shape} and targets of shape {y.shape}", source=source,
            fix="Give (n, d) and (n,), with something in them.",
        )  # fmt: skip
    if not np.isfinite(y).all() or not np.isfinite(X).all():
        raise Misuse(
            "a value is not finite", source=source, field="targets" if np.isfinite(X).all() else "points"
        )
    if X.min() < 0.0 or X.max() > 1.0:
        raise Misuse("a point lies outside the unit cube", source=source, fix="Scale each column to 0..1.")
    return X, y


def _standard(y: Array) -> tuple[float, float]:
    """Mean and deviation, or the mean and its size where all are one; whatever the magnitude."""
    most = float(np.abs(y).max())
    if most == 0.0:
        return 0.0, 1.0
    # Divided first: squares of the greatest and the least doubles do not exist.
    tame = y / most
    shift, spread = float(tame.mean()), float(tame.std())
    return shift * most, (spread if spread > 1e-12 else 1.0) * most


def _part(X: Array, y: Array, most: int) -> tuple[Array, Array]:
    if len(y) <= most:
        return X, y
    order = np.argsort(y, kind="stable")
    rest = order[most // 2 :]
    chosen = rest[np.linspace(0, len(rest) - 1, most - most // 2).astype(np.int64)]
    kept = np.sort(np.concatenate([order[: most // 2], chosen]))
    return np.ascontiguousarray(X[kept]), y[kept]


def _learned(X: Array, y: Array, warped: NDArray[np.bool_]) -> Array:
    """The logarithms that `matern.likelihood` wants, at the greatest density that two starts lead to."""
    d = X.shape[1]
    usual = 0.5 * math.log(d) - 0.7
    bends = 2 * int(warped.sum())

    def against(theta: Array) -> tuple[float, Array]:
        fine, value, gradient = matern.likelihood(theta, X, y, warped)
        if not fine:
            return 1e25, np.zeros_like(theta)
        lengths, bent = (theta[:d] - usual) / _LENGTH_SPREAD, theta[d + 2 :] / _WARP_SPREAD
        value -= 0.5 * float(lengths @ lengths) + 0.5 * float(bent @ bent)
        gradient[:d] -= lengths / _LENGTH_SPREAD
        gradient[d + 2 :] -= bent / _WARP_SPREAD
        # Gamma densities: of the signal with shape 2 and rate 1, of the noise with shape 1.1 and rate 30.
        signal, noise = math.exp(theta[d]), math.exp(theta[d + 1])
        value += theta[d] - signal + 0.1 * theta[d + 1] - 30.0 * noise
        gradient[d] += 1.0 - signal
        gradient[d + 1] += 0.1 - 30.0 * noise
        return -value, -gradient

    bounds = [(-5.0, 6.0)] * d + [(-7.0, 5.0), (math.log(LEAST_NOISE), 2.0)] + [(-1.5, 1.5)] * bends
    best: tuple[float, Array] | None = None
    for length in (usual, usual - 1.0):
        start = np.concatenate([np.full(d, length), [0.0, math.log(1e-3)], np.zeros(bends)])
        found = minimize(
            against, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60, "ftol": 1e-6}
        )
        if best is None or found.fun < best[0]:
            best = float(found.fun), found.x
    assert best is not None
    return best[1]


def _seen(
    lengths: Array, signal: float, noise: float, a: Array, b: Array,
    X: Array, targets: Array, shift: float, scale: float,
) -> GaussianProcess:  # fmt: skip
    scaled = matern.warp(X, a, b) / lengths
    matrix = matern.covariance(scaled, scaled, signal)
    matrix[np.diag_indices(len(X))] += noise
    inverse = _inverse_factor(matrix, signal)
    weights = _weights(inverse, targets)
    return GaussianProcess(lengths, signal, noise, a, b, X, targets, shift, scale, scaled, inverse, weights)


def _inverse_factor(matrix: Array, signal: float) -> Array:
    for jitter in _JITTERS:
        trial = matrix.copy()
        trial[np.diag_indices(len(trial))] += jitter * signal
        fine, inverse, _ = matern.inverse_factor(trial)
        if fine:
            return np.asarray(inverse)
    raise AssertionError("a covariance with a hundredth of its variance added is positive definite")


def _weights(inverse: Array, targets: Array) -> Array:
    return np.stack([matern.solved(inverse, np.ascontiguousarray(each)) for each in targets])
