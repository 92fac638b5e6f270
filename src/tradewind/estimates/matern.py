"""The arithmetic of a Gaussian process with the Matern 5/2 kernel, in compiled loops.

One thread, no BLAS: for the few hundred points of a search that is as fast, and the same on every machine
with the same instructions. Sums run over rows in order, so that they are vectors without being reordered.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ROOT5 = math.sqrt(5.0)


@njit(cache=True, nogil=True)
def warp(points: Array, a: Array, b: Array) -> Array:
    """Points (n, d) of the unit cube through Kumaraswamy's distribution, 1 - (1 - x^a)^b, by columns."""
    found = points.copy()
    for k in range(points.shape[1]):
        if a[k] != 1.0 or b[k] != 1.0:
            for i in range(points.shape[0]):
                found[i, k] = 1.0 - (1.0 - points[i, k] ** a[k]) ** b[k]
    return found


@njit(cache=True, nogil=True)
def unwarp(points: Array, a: Array, b: Array) -> Array:
    """What `warp` made them of."""
    found = points.copy()
    for k in range(points.shape[1]):
        if a[k] != 1.0 or b[k] != 1.0:
            for i in range(points.shape[0]):
                found[i, k] = (1.0 - (1.0 - points[i, k]) ** (1.0 / b[k])) ** (1.0 / a[k])
    return found


@njit(cache=True, nogil=True)
def covariance(left: Array, right: Array, signal: float) -> Array:
    """The kernel between scaled points (n, d) and (m, d), as (n, m)."""
    found = np.empty((left.shape[0], right.shape[0]))
    columns = np.ascontiguousarray(right.T)
    for i in range(left.shape[0]):
        row = found[i]
        row[:] = 0.0
        for k in range(left.shape[1]):
            at, column = left[i, k], columns[k]
            for j in range(row.size):
                row[j] += (column[j] - at) ** 2
        for j in range(row.size):
            r = _ROOT5 * math.sqrt(row[j])
            row[j] = signal * (1.0 + r + r * r / 3.0) * math.exp(-r)
    return found


@njit(cache=True, nogil=True)
def inverse_factor(matrix: Array) -> tuple[bool, Array, float]:
    """Whether a symmetric matrix (n, n) is positive definite; L^-1 of its factor L; the sum of log L_ii."""
    n = matrix.shape[0]
    upper = matrix.copy()
    inverse = np.zeros((n, n))
    logs = 0.0
    for k in range(n):
        pivot = upper[k, k]
        if not pivot > 0.0:
            return False, inverse, logs
        root = math.sqrt(pivot)
        logs += math.log(root)
        row = upper[k, k:]
        for j in range(row.size):
            row[j] /= root
        for j in range(1, row.size):
            by, head, other = row[j], row[j:], upper[k + j, k + j :]
            for i in range(head.size):
                other[i] -= by * head[i]
    for i in range(n):
        row = inverse[i, : i + 1]
        for k in range(i):
            by, other = upper[k, i], inverse[k, : k + 1]
            for j in range(other.size):
                row[j] -= by * other[j]
        row[i] = 1.0
        pivot = upper[i, i]
        for j in range(row.size):
            row[j] /= pivot
    return True, inverse, logs


@njit(cache=True, nogil=True)
def solved(inverse: Array, targets: Array) -> Array:
    """K^-1 y of targets (n,), given L^-1."""
    n = targets.size
    found = np.zeros(n)
    for i in range(n):
        row = inverse[i]
        half = 0.0
        for j in range(i + 1):
            half += row[j] * targets[j]
        for j in range(i + 1):
            found[j] += half * row[j]
    return found


@njit(cache=True, nogil=True)
def likelihood(
    theta: Array, points: Array, targets: Array, warped: NDArray[np.bool_]
) -> tuple[bool, float, Array]:
    """The logarithm of the marginal likelihood of targets (n,) at points (n, d), and its gradient.

    `theta` holds logarithms: of the d length scales, the signal's variance, the noise's variance, and of a
    and b of each column that is warped. False where the covariance is not positive definite.
    """
    n, d = points.shape
    gradient = np.zeros(theta.size)
    lengths = np.exp(theta[:d])
    signal, noise = math.exp(theta[d]), math.exp(theta[d + 1])
    scaled, to_a, to_b = np.empty((d, n)), np.empty((d, n)), np.empty((d, n))
    at = d + 2
    for k in range(d):
        if warped[k]:
            a, b = math.exp(theta[at]), math.exp(theta[at + 1])
            at += 2
            for i in range(n):
                x = min(max(points[i, k], 1e-9), 1.0 - 1e-9)
                power = x**a
                rest = 1.0 - power
                tail = rest**b
                scaled[k, i] = (1.0 - tail) / lengths[k]
                to_a[k, i] = a * b * tail / rest * power * math.log(x) / lengths[k]
                to_b[k, i] = -b * tail * math.log(rest) / lengths[k]
        else:
            for i in range(n):
                scaled[k, i] = points[i, k] / lengths[k]
    matrix, slopes = np.empty((n, n)), np.empty((n, n))
    square = np.empty(n)
    for i in range(n):
        gaps = square[i:]
        gaps[:] = 0.0
        for k in range(d):
            column = scaled[k, i:]
            here = column[0]
            for j in range(gaps.size):
                gaps[j] += (column[j] - here) ** 2
        for j in range(gaps.size):
            r = _ROOT5 * math.sqrt(gaps[j])
            decay = signal * math.exp(-r)
            matrix[i, i + j] = (1.0 + r + r * r / 3.0) * decay
            slopes[i, i + j] = -5.0 / 6.0 * (1.0 + r) * decay
        matrix[i, i] += noise
    fine, inverse, logs = inverse_factor(matrix)
    if not fine:
        return False, 0.0, gradient
    weights = solved(inverse, targets)
    value = -logs - 0.5 * n * math.log(2.0 * math.pi)
    for i in range(n):
        value -= 0.5 * targets[i] * weights[i]
    # What multiplies each entry's own change: half of w w' - K^-1, the upper half of it standing for both.
    pull = np.zeros((n, n))
    for k in range(n):
        for i in range(k + 1):
            head, other = inverse[k, i : k + 1], pull[i, i : k + 1]
            by = head[0]
            for j in range(head.size):
                other[j] -= by * head[j]
    for i in range(n):
        other, ahead = pull[i, i:], weights[i:]
        by = ahead[0]
        for j in range(other.size):
            other[j] += by * ahead[j]
        gradient[d + 1] += 0.5 * noise * other[0]
        gradient[d] += 0.5 * (matrix[i, i] - noise) * other[0]
        row, slope = matrix[i, i:], slopes[i, i:]
        for j in range(1, other.size):
            gradient[d] += row[j] * other[j]
            other[j] *= 2.0 * slope[j]
        other[0] = 0.0
    for i in range(n):
        for j in range(i):
            pull[i, j] = pull[j, i]
    moved = np.empty(n)
    at = d + 2
    for k in range(d):
        column = scaled[k]
        moved[:] = 0.0
        for i in range(n):
            other, here = pull[i], column[i]
            for j in range(n):
                moved[j] += other[j] * (column[j] - here)
        for i in range(n):
            gradient[k] -= moved[i] * column[i]
        if warped[k]:
            for i in range(n):
                gradient[at] += moved[i] * to_a[k, i]
                gradient[at + 1] += moved[i] * to_b[k, i]
            at += 2
    return True, value, gradient


@njit(cache=True, nogil=True)
def moments(
    queries: Array, points: Array, signal: float, inverse: Array, weights: Array
) -> tuple[Array, Array]:
    """Means (S, m) and variances (m,) at scaled queries (m, d), for weights (S, n) on points (n, d)."""
    n, d = points.shape
    m, many = queries.shape[0], weights.shape[0]
    means, variances = np.zeros((many, m)), np.empty(m)
    columns = np.ascontiguousarray(points.T)
    across = np.ascontiguousarray(inverse.T)
    cross, half = np.empty(n), np.empty(n)
    for q in range(m):
        cross[:] = 0.0
        for k in range(d):
            at, column = queries[q, k], columns[k]
            for j in range(n):
                cross[j] += (column[j] - at) ** 2
        for j in range(n):
            r = _ROOT5 * math.sqrt(cross[j])
            cross[j] = signal * (1.0 + r + r * r / 3.0) * math.exp(-r)
        half[:] = 0.0
        for j in range(n):
            by, row, tail = cross[j], across[j, j:], half[j:]
            for i in range(tail.size):
                tail[i] += by * row[i]
        left = signal
        for i in range(n):
            left -= half[i] * half[i]
        variances[q] = max(left, 1e-12 * signal)
        for s in range(many):
            total = 0.0
            for j in range(n):
                total += weights[s, j] * cross[j]
            means[s, q] = total
    return means, variances


@njit(cache=True, nogil=True)
def slopes_at(
    query: Array, points: Array, signal: float, inverse: Array, weights: Array
) -> tuple[Array, float, Array, Array]:
    """As `moments` at one query (d,), with the gradients (S, d) of the means and (d,) of the variance."""
    n, d = points.shape
    many = weights.shape[0]
    cross, slope, half, back = np.empty(n), np.empty(n), np.zeros(n), np.zeros(n)
    for j in range(n):
        square = 0.0
        for k in range(d):
            square += (points[j, k] - query[k]) ** 2
        r = _ROOT5 * math.sqrt(square)
        decay = signal * math.exp(-r)
        cross[j] = (1.0 + r + r * r / 3.0) * decay
        slope[j] = -5.0 / 3.0 * (1.0 + r) * decay
    left = signal
    for i in range(n):
        row = inverse[i]
        total = 0.0
        for j in range(i + 1):
            total += row[j] * cross[j]
        left -= total * total
        half[i] = total
        for j in range(i + 1):
            back[j] += total * row[j]
    means, mean_slopes, variance_slopes = np.zeros(many), np.zeros((many, d)), np.zeros(d)
    fine = left > 1e-12 * signal
    for j in range(n):
        for s in range(many):
            means[s] += weights[s, j] * cross[j]
        for k in range(d):
            part = slope[j] * (query[k] - points[j, k])
            if fine:
                variance_slopes[k] -= 2.0 * back[j] * part
            for s in range(many):
                mean_slopes[s, k] += weights[s, j] * part
    return means, max(left, 1e-12 * signal), mean_slopes, variance_slopes
