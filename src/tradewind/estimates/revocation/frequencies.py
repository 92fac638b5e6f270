"""How often leases were revoked, counted by pool, bid and a class of the moment.

The counts are kept as sums up to every week, so that those up to any moment take one week's rows to complete.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradewind.estimates.revocation.experience import UNKNOWN, Experience
from tradewind.estimates.revocation.interface import monotone

_BLOCK = 1008
"""Rows between the sums that are kept: a week."""
PRIOR_RATE = 0.1 / 3600
"""Revocations a second where nothing at all is known: one in ten hours."""
_OF_PRIOR, _OF_HISTORY, _OF_POOL = 36.0, 72.0, 144.0
"""Rows that the rate without data, of the whole history, and of the pool weigh: six, twelve and 24 hours."""


class Counts:
    """Sums over the grid's rows of how many leases there were, and how many ended within each horizon.

    `classes` (G, P, D), each below `many`, says which class a moment is of.
    """

    __slots__ = ("_classes", "_outcomes", "_sums", "many")

    def __init__(self, experience: Experience, classes: NDArray[np.uint8], many: int) -> None:
        self._outcomes, self._classes, self.many = experience.outcomes, classes, many
        rows, pools, deltas = self._outcomes.shape
        blocks = rows // _BLOCK
        self._sums = np.zeros((blocks + 1, pools, deltas, many, len(experience.horizons) + 1), np.int32)
        for block in range(blocks):
            self._sums[block + 1] = self._sums[block]
            _count(self._outcomes, classes, block * _BLOCK, (block + 1) * _BLOCK, self._sums[block + 1])

    def before(self, rows: int) -> NDArray[np.int32]:
        """(P, D, C, 1 + H) over the first `rows` rows: the leases, then those ended within each horizon."""
        rows = min(max(rows, 0), len(self._outcomes))
        block = rows // _BLOCK
        sums: NDArray[np.int32] = self._sums[block].copy()
        _count(self._outcomes, self._classes, block * _BLOCK, rows, sums)
        return sums


def counted(
    experience: Experience, classes: NDArray[np.uint8], many: int, rows: NDArray[np.int64]
) -> NDArray[np.int32]:
    """(P, D, C, 1 + H) as `Counts.before`, over any rows of the grid."""
    shape = (*experience.outcomes.shape[1:], many, len(experience.horizons) + 1)
    sums = np.zeros(shape, np.int32)
    _count(experience.outcomes[rows], classes[rows], 0, len(rows), sums)
    return sums


class Rates:
    """Frequencies made of counts: those of a class lean to the pool's, the pool's to the history's."""

    __slots__ = ("by_class", "by_pool")

    def __init__(self, counts: NDArray[np.int32], horizons: NDArray[np.float64]) -> None:
        cells = counts.astype(np.float64)
        pools = cells.sum(axis=2)
        prior = np.broadcast_to(-np.expm1(-PRIOR_RATE * horizons), (pools.shape[1], len(horizons)))
        history = _leaning(pools.sum(axis=0), prior, _OF_PRIOR)
        self.by_pool = monotone(_leaning(pools, history[None], _OF_HISTORY))
        """(P, D, H)"""
        self.by_class = _leaning(cells, self.by_pool[:, :, None], _OF_POOL)
        """(P, D, C, H)"""


def _leaning(counts: NDArray[np.float64], towards: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    return (counts[..., 1:] + weight * towards) / (counts[..., :1] + weight)


@njit(cache=True, nogil=True)
def _count(
    outcomes: NDArray[np.uint8], classes: NDArray[np.uint8], first: int, last: int, sums: NDArray[np.int32]
) -> None:
    horizons = sums.shape[3] - 1
    for row in range(first, last):
        for pool in range(outcomes.shape[1]):
            for delta in range(outcomes.shape[2]):
                outcome = outcomes[row, pool, delta]
                if outcome == UNKNOWN:
                    continue
                cell = classes[row, pool, delta]
                sums[pool, delta, cell, 0] += 1
                for horizon in range(outcome, horizons):
                    sums[pool, delta, cell, horizon + 1] += 1
