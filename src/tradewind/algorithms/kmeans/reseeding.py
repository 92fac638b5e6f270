"""Centres that count next to nothing begin anew towards rows that are far from every centre.

As MiniBatchKMeans of scikit-learn does it (`reassignment_ratio`), but for two things. Nothing that was
counted is lost: what the centre had goes to its nearest neighbour, so that counts and sums stay those of the
rows read. And the new place is not the row itself, which in many dimensions is nobody's nearest (all rows lie
farther from each other than from a mean), but a part of the way to it, where the centre shares the cluster it
splits. A centre that never began does so at the row: so every one of few distinct rows comes to have its own.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.algorithms.kmeans.assignment import Doubles, Floats, Labels, Rows, squared_distances

PATIENCE = 10
"""Rows a centre, on the average, after which one that has few of them has had its chance."""
STEP = 0.25
"""How far on the way from a cluster's centre to the row a centre begins anew."""
_SAME = 1e-13
"""Of a row's squared length: closer to a centre than this is the same place."""


class Tally(Struct, frozen=True, eq=False):
    """The centres as a worker sees them before a batch."""

    places: Floats
    """Where they are, (K, d); of no meaning where not `born`."""
    born: NDArray[np.bool_]
    since: Doubles
    """How many rows had been read when each began, (K,)."""
    counts: Doubles
    """What each has counted, (K,)."""
    seen: float
    """Rows read."""


def idle(tally: Tally, ratio: float, worker: int, workers: int) -> NDArray[np.int64]:
    """The worker's own centres that are to begin anew: those not born, and those with too little."""
    count = len(tally.counts)
    few = tally.counts * count < ratio * tally.counts.sum()
    waited = tally.seen - tally.since >= PATIENCE * count
    mine = np.arange(count) % workers == worker
    return np.flatnonzero(mine & (~tally.born | (few & waited)))


def far_rows(
    rows: Rows, weights: Doubles, tally: Tally, labels: Labels, count: int, chance: np.random.Generator
) -> NDArray[np.int64]:
    """The numbers of at most `count` rows, far from the centres and each other, drawn as k-means++ does."""
    least = squared_distances(rows, tally.places, labels)
    if isinstance(rows, np.ndarray):
        lengths = np.einsum("ij,ij->i", rows, rows)
    else:
        lengths = np.asarray(rows.multiply(rows).sum(axis=1)).reshape(-1)
    least[least <= _SAME * lengths] = 0
    chosen = []
    zeros = np.zeros(len(least), np.int32)
    for _ in range(count):
        pull = np.cumsum(least * weights)
        if not pull[-1] > 0:
            break
        at = min(int(np.searchsorted(pull, chance.random() * pull[-1], side="right")), len(pull) - 1)
        chosen.append(at)
        least = np.minimum(least, squared_distances(rows, dense_rows(rows, [at]), zeros))
        least[at] = 0
    return np.array(chosen, np.int64)


def dense_rows(rows: Rows, which: list[int] | NDArray[np.int64]) -> Floats:
    """Some of the rows, dense."""
    return np.ascontiguousarray(rows[which] if isinstance(rows, np.ndarray) else rows[which].toarray())


def heirs(tally: Tally, gone: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each centre that is `gone`, the nearest one that stays; -1 where none does."""
    stays = tally.born.copy()
    stays[gone] = False
    at = np.flatnonzero(stays)
    if not len(at):
        return np.full(len(gone), -1)
    places = tally.places[at].astype(np.float64)
    return np.array(
        [at[np.square(places - tally.places[each]).sum(axis=1).argmin()] for each in gone], np.int64
    )
