"""What is believed of a workload on n configurations once it ran on some of them.

Every course of the prior is conditioned on the runs by itself and weighed by how likely it made them, so
that what other workloads taught loses its weight where this one is unlike them. A run that was ended early
tells that it would have taken longer: it enters by the mean and variance of the normal distribution that is
truncated there (assumed density filtering), and by the probability of that.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp, ndtr

from tradewind.estimates.workload_prior import Course, WorkloadPrior

Array = NDArray[np.float64]
_LEAST = 1e-8


class WorkloadPosterior(Struct, frozen=True):
    """J courses of log seconds on n configurations."""

    weights: Array
    """(J,) probabilities."""
    means: Array
    """(J, n)"""
    variances: Array
    """(J, n) of the course, without a run's noise."""
    noises: Array
    """(J,)"""
    prior: WorkloadPrior
    halves: tuple[Array, ...]
    """Of each course (k, n): the covariance is the prior's less their product."""

    @property
    def mean(self) -> Array:
        """(n,) of log seconds."""
        return np.asarray(self.weights @ self.means)

    @property
    def variance(self) -> Array:
        """(n,) of log seconds: of the courses, and between them."""
        return np.asarray(self.weights @ (self.variances + (self.means - self.mean) ** 2))

    @property
    def noise(self) -> float:
        """Variance of a run about its course."""
        return float(self.weights @ self.noises)

    def within(self, limits: Array) -> Array:
        """(n,) the probability that a run ends within so many log seconds (n,)."""
        spread = np.sqrt(self.variances + self.noises[:, None])
        return np.asarray(self.weights @ ndtr((limits - self.means) / spread))

    def covariances(self, rows: NDArray[np.int64]) -> Array:
        """(m, n) of log seconds on m of the configurations with all, courses taken together."""
        found = np.zeros((len(rows), self.means.shape[1]))
        apart = self.means - self.mean
        for weight, course, half, own in zip(
            self.weights, self.prior.courses, self.halves, apart, strict=True
        ):
            if weight > 1e-4:
                inner = course.covariance[rows] * course.scale + self.prior.level_variance
                found += weight * (inner - half[:, rows].T @ half + np.outer(own[rows], own))
        return found


def conditioned(
    prior: WorkloadPrior,
    ended: NDArray[np.int64],
    logs: Array,
    cut: NDArray[np.int64],
    limits: Array,
) -> WorkloadPosterior:
    """The posterior after whole runs of log seconds (k,) on configurations `ended` (k,).

    Others on `cut` (c,) were still running after log seconds `limits` (c,). O(J n (k + c)^2).
    """
    parts = [_one(prior, course, ended, logs, cut, limits) for course in prior.courses]
    evidence = np.array([math.log(c.weight) + part[0] for c, part in zip(prior.courses, parts, strict=True)])
    return WorkloadPosterior(
        np.exp(evidence - logsumexp(evidence)),
        np.array([part[1] for part in parts]),
        np.array([part[2] for part in parts]),
        np.array([course.noise for course in prior.courses]),
        prior,
        tuple(part[3] for part in parts),
    )


def _one(
    prior: WorkloadPrior,
    course: Course,
    ended: NDArray[np.int64],
    logs: Array,
    cut: NDArray[np.int64],
    limits: Array,
) -> tuple[float, Array, Array, Array]:
    """Log evidence, means, variances and halves of one course."""
    means = course.means + prior.level
    variances = np.diag(course.covariance) * course.scale + prior.level_variance
    halves = np.zeros((0, len(means)))
    evidence = 0.0
    if len(ended):
        across = course.covariance[ended] * course.scale + prior.level_variance
        lower = np.linalg.cholesky(across[:, ended] + np.eye(len(ended)) * (course.noise + _LEAST))
        inverse = np.linalg.inv(lower)
        off = inverse @ (logs - means[ended])
        halves = inverse @ across
        evidence -= 0.5 * float(off @ off) + float(np.log(np.diag(lower)).sum())
        means = means + off @ halves
        variances = np.maximum(variances - (halves**2).sum(axis=0), _LEAST)
    for at, limit in zip(cut, limits, strict=True):
        row = course.covariance[at] * course.scale + prior.level_variance - halves[:, at] @ halves
        spread = math.sqrt(variances[at] + course.noise)
        z = float((means[at] - limit) / spread)
        log_tail = float(log_ndtr(z))
        ratio = math.exp(-0.5 * z * z - 0.5 * math.log(2 * math.pi) - log_tail)
        evidence += log_tail
        means = means + row * (ratio / spread)
        # The truncated normal's variance is this much less.
        less = ratio * (z + ratio) / spread**2
        halves = np.vstack([halves, row * math.sqrt(max(less, 0.0))])
        variances = np.maximum(variances - row**2 * less, _LEAST)
    return evidence, means, variances, halves
