"""Exact search for the nearest rows: products of blocks, and heaps that few scores reach.

A score is q . x - bias, with |x|^2 / 2 for a bias where distances count: the larger, the nearer. What is
found by single-precision scores is measured again in double precision, among some more candidates than were
asked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Rows = NDArray[np.float32]

SPARE = 6
"""Candidates beyond k that are measured again, so that rounding moves none of the k out."""
_QUERIES, _ROWS = 512, 2048
"""A block of scores stays in the second-level cache."""


@njit(cache=True, nogil=True)
def offer(scores: Any, targets: Any, first: Any, best: Any, places: Any) -> None:
    """Offer scores (g, m) of the rows `first`, `first` + 1, ... to the heaps of the queries `targets` (g,).

    `best` (q, k) and `places` (q, k) are heaps with the smallest score on top.
    """
    m, k = scores.shape[1], best.shape[1]
    for i in range(scores.shape[0]):
        q = targets[i]
        low = best[q, 0]
        for start in range(0, m, 32):
            end = min(start + 32, m)
            top = scores[i, start]
            # the largest of a run first, which is done in vectors: few runs have one that is wanted
            if end - start == 32:
                for j in range(start, start + 32):
                    top = max(top, scores[i, j])
            else:
                for j in range(start, end):
                    top = max(top, scores[i, j])
            if top <= low:
                continue
            for j in range(start, end):
                score = scores[i, j]
                if score > low:
                    at = 0
                    while True:
                        child = 2 * at + 1
                        if child >= k:
                            break
                        if child + 1 < k and best[q, child + 1] < best[q, child]:
                            child += 1
                        if best[q, child] >= score:
                            break
                        best[q, at] = best[q, child]
                        places[q, at] = places[q, child]
                        at = child
                    best[q, at] = score
                    places[q, at] = first + j
                    low = best[q, 0]


@njit(cache=True, nogil=True)
def _measured(queries: Any, rows: Any, places: Any, distance: Any, out: Any, at: Any) -> None:
    """The nearest of the candidates `places`, by (value, place): squared distances, or products negated."""
    k = out.shape[1]
    for i in range(queries.shape[0]):
        held = 0
        for c in range(places.shape[1]):
            place = places[i, c]
            if place < 0:
                continue
            value = 0.0
            for j in range(queries.shape[1]):
                if distance:
                    gap = np.float64(queries[i, j]) - np.float64(rows[place, j])
                    value += gap * gap
                else:
                    value -= np.float64(queries[i, j]) * np.float64(rows[place, j])
            if held == k and (value > out[i, k - 1] or (value == out[i, k - 1] and place > at[i, k - 1])):
                continue
            slot = held if held < k else k - 1
            while slot > 0 and (
                out[i, slot - 1] > value or (out[i, slot - 1] == value and at[i, slot - 1] > place)
            ):
                out[i, slot] = out[i, slot - 1]
                at[i, slot] = at[i, slot - 1]
                slot -= 1
            out[i, slot] = value
            at[i, slot] = place
            held = min(held + 1, k)


def heaps(queries: int, k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Empty heaps for `offer`."""
    return np.full((queries, k), -np.inf, np.float32), np.full((queries, k), -1, np.int64)


def bias_of(rows: Rows, distance: bool) -> NDArray[np.float32]:
    """What is taken off a row's product with a query, (n,)."""
    if not distance:
        return np.zeros(len(rows), np.float32)
    return np.asarray(np.einsum("ij,ij->i", rows, rows, dtype=np.float64) / 2, np.float32)


def beside(rows: Rows, bias: NDArray[np.float32]) -> Rows:
    """Rows with minus their bias as one more column, transposed: what queries are multiplied with."""
    whole = np.empty((rows.shape[1] + 1, len(rows)), np.float32)
    whole[:-1] = rows.T
    whole[-1] = -bias
    return whole


def widened(queries: Rows) -> Rows:
    """Queries with a one as one more column, (q, d + 1)."""
    return np.concatenate([queries, np.ones((len(queries), 1), np.float32)], axis=1)


def all_scanned(queries: Rows, columns: Rows, k: int) -> NDArray[np.int64]:
    """The places (q, k) of the rows with the largest scores, in no order; -1 where there are fewer.

    `columns` is what `beside` gave. O(q n d) time, O(q k) memory.
    """
    best, places = heaps(len(queries), k)
    wide = widened(queries)
    n = columns.shape[1]
    block = np.empty((_QUERIES, _ROWS), np.float32)
    for start in range(0, len(queries), _QUERIES):
        some = wide[start : start + _QUERIES]
        targets = np.arange(start, start + len(some))
        for first in range(0, n, _ROWS):
            part = columns[:, first : first + _ROWS]
            scores = block[: len(some), : part.shape[1]]
            if scores.flags.c_contiguous:
                np.matmul(some, part, out=scores)
            else:
                scores = some @ part
            offer(scores, targets, first, best, places)
    return places


def measured(
    queries: Rows, rows: Rows, places: NDArray[np.int64], distance: bool, k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The k nearest among candidates, nearest first, then the earlier row; inf and -1 where missing.

    Values are squared distances, or products negated, in double precision; `places` are distinct in a row.
    """
    out, at = np.full((len(queries), k), np.inf), np.full((len(queries), k), -1, np.int64)
    _measured(queries, rows, places, distance, out, at)
    return out, at
