"""Where centres begin: at random rows, by k-means++, or by k-means||.

- k-means++: Arthur and Vassilvitskii, SODA 2007, section 2.2; with `tries` above one the greedy form, which
  takes the best of several draws at each step.
- k-means||: Bahmani, Moseley, Vattani, Kumar and Vassilvitskii, VLDB 2012, algorithm 2.

Rows have weights. Fewer centres than asked for come back where there are fewer distinct rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradewind.algorithms.kmeans.assignment import Doubles, Floats, nearest, squared_distances, sums_by_label

METHODS = ("random", "k-means++", "k-means||")

ROUNDS = 5
"""Rounds of k-means||: the paper finds nothing gained by more."""
OVERSAMPLING = 2.0
"""Rows that a round of k-means|| draws, in units of the centres wanted; one of the paper's settings."""

_STRIP = 1024


@njit(cache=True, nogil=True, error_model="numpy")
def _closer(turned: Any, row: Any, least: Any, out: Any) -> None:
    """`least` or the squared distance to `row`, whichever is less, into `out`.

    The points lie in the columns of `turned`, so that neighbours are worked on in one instruction.
    """
    d, n = turned.shape
    gaps = np.empty(_STRIP, np.float32)
    for start in range(0, n, _STRIP):
        size = min(_STRIP, n - start)
        for i in range(size):
            gaps[i] = 0
        for j in range(d):
            x = turned[j, row]
            for i in range(size):
                gap = turned[j, start + i] - x
                gaps[i] += gap * gap
        for i in range(size):
            out[start + i] = min(gaps[i], least[start + i])


@njit(cache=True, nogil=True, error_model="numpy")
def _upto(least: Any, weights: Any, out: Any) -> Any:
    """Running sums of `least` times `weights`; returns the last."""
    total = 0.0
    for i in range(least.shape[0]):
        total += least[i] * weights[i]
        out[i] = total
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _chosen(turned: Any, weights: Any, draws: Any, found: Any) -> Any:
    """k-means++ by the given draws (count, tries), into `found`; returns how many rows it could choose."""
    n = turned.shape[1]
    least = np.full(n, np.inf, np.float32)
    other, kept = np.empty_like(least), np.empty_like(least)
    upto = np.empty(n)
    total = _upto(np.ones(n, np.float32), weights, upto)
    for chosen in range(found.shape[0]):
        if chosen:
            total = _upto(least, weights, upto)
        if total <= 0:
            return chosen
        best = np.inf
        for each in range(draws.shape[1] if chosen else 1):
            # a draw falls on the first row whose running sum is above it, so never on one that weighs nothing
            row = np.searchsorted(upto, draws[chosen, each] * total, side="right")
            while row >= n or least[row] * weights[row] <= 0:
                row -= 1
            _closer(turned, row, least, other)
            left = 0.0
            if draws.shape[1] > 1:
                for i in range(n):
                    left += other[i] * weights[i]
            if left < best:
                best = left
                found[chosen] = row
                other, kept = kept, other
        least, kept = kept, least
    return found.shape[0]


def plus_plus(
    rows: Floats, weights: Doubles, count: int, chance: np.random.Generator, tries: int = 1
) -> NDArray[np.int64]:
    """The numbers of at most `count` rows, apart from each other: O(n d count tries) time."""
    found = np.empty(count, np.int64)
    draws = chance.random((count, tries))
    return found[: _chosen(np.ascontiguousarray(rows.T), weights, draws, found)]


def parallel(rows: Floats, weights: Doubles, count: int, chance: np.random.Generator) -> NDArray[np.int64]:
    """The numbers of at most `count` rows by k-means||: each round draws many at once."""
    upto = np.cumsum(weights)
    first = np.searchsorted(upto, chance.random() * upto[-1], side="right")
    chosen = np.array([min(int(first), int(np.flatnonzero(weights)[-1]))])
    least = squared_distances(rows, rows[chosen], np.zeros(len(rows), np.int32))
    for _ in range(ROUNDS):
        pull = least * weights
        total = float(pull.sum())
        if total <= 0:
            break
        fresh = np.flatnonzero(chance.random(len(rows)) * total < OVERSAMPLING * count * pull)
        if not len(fresh):
            continue
        places = rows[fresh]
        least = np.minimum(least, squared_distances(rows, places, nearest(rows, places)))
        chosen = np.concatenate([chosen, fresh])
    chosen = np.unique(chosen)
    places = rows[chosen]
    shares = sums_by_label(rows, nearest(rows, places), weights, len(chosen))[0][:, -1]
    if len(chosen) <= count:
        # too few were drawn, as there are few rows: choose among all of them
        return plus_plus(rows, weights, count, chance)
    return chosen[plus_plus(places, shares, count, chance)]


def seeds(
    method: str, rows: Floats, weights: Doubles, count: int, chance: np.random.Generator, tries: int = 1
) -> Floats:
    """At most `count` distinct rows to begin from, by one of `METHODS`."""
    if method == "random":
        order = chance.permutation(np.flatnonzero(weights > 0))
        _, first = np.unique(rows[order], axis=0, return_index=True)
        at = order[np.sort(first)[:count]]
    elif method == "k-means||":
        at = parallel(rows, weights, count, chance)
    else:
        at = plus_plus(rows, weights, count, chance, tries)
    return np.ascontiguousarray(rows[at])
