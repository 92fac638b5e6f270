"""Which centre is nearest, the same on every machine: BLAS proposes, float64 decides.

A block of rows is multiplied with all centres in float32, and of the scores x.c - |c|^2 / 2 the greatest
wins. BLAS rounds as its kernel and its threads please, by at most d roundings of |x| |c|; whichever centres
lie within that bound of the greatest score are compared again in float64, in a fixed order. The labels, and
all sums that are made by them, are therefore the same bits whatever BLAS is installed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Labels = NDArray[np.int32]
Rows = Floats | csr_matrix
"""Rows of float32: an array (n, d), C-contiguous, or CSR."""

LARGEST = 1e37
"""Squared lengths and distances above which float32 has no numbers left to tell them apart by."""
LANES = 16
_ROUNDING = 2.0**-24
_SCORES = 2**17
"""Scores at hand at once: half a megabyte, which a core's second cache holds."""


@njit(cache=True, nogil=True, error_model="numpy")
def _lengths(rows: Any, out: Any) -> None:
    """|x| of each row, in lanes."""
    d = rows.shape[1]
    whole = d // LANES * LANES
    lane = np.empty(LANES, np.float32)
    for i in range(rows.shape[0]):
        for j in range(LANES):
            lane[j] = 0
        for j in range(0, whole, LANES):
            for each in range(LANES):
                lane[each] += rows[i, j + each] * rows[i, j + each]
        total = np.float32(0)
        for j in range(whole, d):
            total += rows[i, j] * rows[i, j]
        for j in range(LANES):
            total += lane[j]
        out[i] = np.sqrt(total)


@njit(cache=True, nogil=True, error_model="numpy")
def _two_best(scores: Any, halves: Any, best: Any, second: Any, at: Any) -> None:
    """Of each column of scores less `halves`: the greatest, where it is (the first), and the next.

    A row of scores belongs to a centre, so that neighbours are worked on in one instruction.
    """
    count = best.shape[0]
    for i in range(count):
        best[i] = -np.inf
        second[i] = -np.inf
        at[i] = 0
    for c in range(scores.shape[0]):
        half = halves[c]
        for i in range(count):
            v = scores[c, i] - half
            b = best[i]
            over = v > b
            lower = b if over else v
            s = second[i]
            best[i] = v if over else b
            second[i] = lower if lower > s else s
            at[i] = np.int32(c) if over else at[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _settle(
    rows: Any, places: Any, scores: Any, halves: Any, slack: Any, best: Any, second: Any, at: Any
) -> None:
    """Compare again, in float64, what BLAS cannot tell apart; equally near, the first wins."""
    for i in range(rows.shape[0]):
        if best[i] - second[i] > slack[i]:
            continue
        nearest = np.inf
        for c in range(places.shape[0]):
            if scores[c, i] - halves[c] >= best[i] - slack[i]:
                total = 0.0
                for j in range(rows.shape[1]):
                    gap = np.float64(rows[i, j]) - np.float64(places[c, j])
                    total += gap * gap
                if total < nearest:
                    nearest = total
                    at[i] = c


@njit(cache=True, nogil=True, error_model="numpy")
def _settle_sparse(
    indptr: Any, indices: Any, values: Any, places: Any, squares: Any, scores: Any, halves: Any,
    slack: Any, best: Any, second: Any, at: Any,
) -> None:  # fmt: skip
    for i in range(indptr.shape[0] - 1):
        if best[i] - second[i] > slack[i]:
            continue
        nearest = np.inf
        for c in range(places.shape[0]):
            if scores[c, i] - halves[c] >= best[i] - slack[i]:
                total = squares[c]
                for n in range(indptr[i], indptr[i + 1]):
                    total -= 2.0 * np.float64(values[n]) * np.float64(places[c, indices[n]])
                if total < nearest:
                    nearest = total
                    at[i] = c


def nearest(rows: Rows, places: Floats) -> Labels:
    """The nearest of `places` (K, d) to each row, (n,); the first of several. O(n d K) time."""
    count, features = rows.shape
    labels = np.empty(count, np.int32)
    exact = np.asarray(places, np.float64)
    squares = np.einsum("ij,ij->i", exact, exact)
    halves = (squares / 2).astype(np.float32)
    longest = float(np.sqrt(squares.max(initial=0.0)))
    step = max(64, _SCORES // max(len(places), 1))
    room = np.empty(len(places) * min(step, count), np.float32)
    best, second, lengths = (np.empty(min(step, count), np.float32) for _ in range(3))
    dense = isinstance(rows, np.ndarray)
    bound = 2 * (features + 8) * _ROUNDING
    for start in range(0, count, step):
        part: Any = rows[start : start + step]
        n = part.shape[0]
        at = labels[start : start + n]
        if dense:
            scores = np.dot(places, part.T, out=room[: len(places) * n].reshape(-1, n))
            _lengths(part, lengths[:n])
        else:
            scores = np.ascontiguousarray((part @ places.T).T)
            lengths[:n] = np.sqrt(np.asarray(part.multiply(part).sum(axis=1)).reshape(-1))
        _two_best(scores, halves, best[:n], second[:n], at)
        slack = (bound * longest * (1.01 * lengths[:n].astype(np.float64) + longest)).astype(np.float32)
        if dense:
            _settle(part, places, scores, halves, slack, best, second, at)
        else:
            indptr, indices, values = part.indptr, part.indices, part.data
            _settle_sparse(indptr, indices, values, places, squares, scores, halves, slack, best, second, at)
    return labels


@njit(cache=True, nogil=True, error_model="numpy")
def _sums(rows: Any, labels: Any, weights: Any, sums: Any, squares: Any) -> None:
    d = rows.shape[1]
    for i in range(rows.shape[0]):
        c, w = labels[i], weights[i]
        sums[c, d] += w
        for j in range(d):
            x = np.float64(rows[i, j])
            sums[c, j] += w * x
            squares[j] += w * x * x


@njit(cache=True, nogil=True, error_model="numpy")
def _sums_sparse(
    indptr: Any, indices: Any, values: Any, labels: Any, weights: Any, sums: Any, squares: Any
) -> None:
    d = squares.shape[0]
    for i in range(indptr.shape[0] - 1):
        c, w = labels[i], weights[i]
        sums[c, d] += w
        for n in range(indptr[i], indptr[i + 1]):
            x = np.float64(values[n])
            sums[c, indices[n]] += w * x
            squares[indices[n]] += w * x * x


def sums_by_label(rows: Rows, labels: Labels, weights: Doubles, count: int) -> tuple[Doubles, Doubles]:
    """Each centre's weighted sum of rows, and last its weight: (count, d + 1); the columns' squares, (d,)."""
    features = rows.shape[1]
    sums, squares = np.zeros((count, features + 1)), np.zeros(features)
    if isinstance(rows, np.ndarray):
        _sums(rows, labels, weights, sums, squares)
    else:
        _sums_sparse(rows.indptr, rows.indices, rows.data, labels, weights, sums, squares)
    return sums, squares


@njit(cache=True, nogil=True, error_model="numpy")
def loss_of(sums: Any, squares: Any, places: Any) -> Any:
    """The weighted squared distances that `sums_by_label` knows of, to `places`, summed up."""
    d = squares.shape[0]
    total = 0.0
    for j in range(d):
        total += squares[j]
    for c in range(sums.shape[0]):
        inner = 0.0
        for j in range(d):
            p = np.float64(places[c, j])
            inner += p * (sums[c, d] * p - 2.0 * sums[c, j])
        total += inner
    return max(total, 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _apart(rows: Any, places: Any, labels: Any, out: Any) -> None:
    for i in range(rows.shape[0]):
        total = 0.0
        for j in range(rows.shape[1]):
            gap = np.float64(rows[i, j]) - np.float64(places[labels[i], j])
            total += gap * gap
        out[i] = total


@njit(cache=True, nogil=True, error_model="numpy")
def _apart_sparse(
    indptr: Any, indices: Any, values: Any, places: Any, squares: Any, labels: Any, out: Any
) -> None:
    for i in range(indptr.shape[0] - 1):
        total = squares[labels[i]]
        for n in range(indptr[i], indptr[i + 1]):
            p, x = np.float64(places[labels[i], indices[n]]), np.float64(values[n])
            total += x * (x - 2.0 * p)
        out[i] = max(total, 0.0)


def squared_distances(rows: Rows, places: Floats, labels: Labels) -> Doubles:
    """How far each row is from the centre that its label names, squared: (n,)."""
    out = np.empty(rows.shape[0])
    if isinstance(rows, np.ndarray):
        _apart(rows, places, labels, out)
    else:
        exact = np.asarray(places, np.float64)
        squares = np.einsum("ij,ij->i", exact, exact)
        _apart_sparse(rows.indptr, rows.indices, rows.data, places, squares, labels, out)
    return out


def two_nearest(rows: Floats, places: Floats) -> tuple[Labels, Doubles, Doubles]:
    """The nearest of two or more `places`, its squared distance, and that of the next: (n,) each."""
    labels = nearest(rows, places)
    first = squared_distances(rows, places, labels)
    others = np.empty_like(labels)
    for start in range(0, len(rows), step := max(64, _SCORES // len(places))):
        part = rows[start : start + step]
        scores = part @ places.T - np.einsum("ij,ij->i", places, places) / 2
        scores[np.arange(len(part)), labels[start : start + step]] = -np.inf
        others[start : start + step] = scores.argmax(axis=1)
    return labels, first, np.maximum(squared_distances(rows, places, others), first)
