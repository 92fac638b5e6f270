"""How often leases were revoked, by pool, bid and hour of the day: the second bar for a forecast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tradewind.estimates.revocation.experience import Experience
from tradewind.estimates.revocation.frequencies import Counts, Rates, counted
from tradewind.estimates.revocation.interface import monotone
from tradewind.estimates.revocation.sights import Sights, Situations

CLASSES = 24
"""Hours."""


class HourOfDay:
    """The frequency in the hour of the day (UTC), leaning to the pool's where few leases were seen in it."""

    name = "hour_of_day"

    __slots__ = ("_rates",)

    def __init__(self, rates: Rates) -> None:
        self._rates = rates

    def probabilities(self, cases: Situations, sights: Sights) -> NDArray[np.float64]:
        """(N, D, H)"""
        return monotone(self._rates.by_class[cases.pools, :, _hour(cases.now)])


def counts_of(experience: Experience) -> Counts:
    """What `HourOfDay` counts, for any moment up to which it may know."""
    return Counts(experience, classes_of(experience), CLASSES)


def learn(experience: Experience, rows: NDArray[np.int64], *, seed: int = 0) -> HourOfDay:
    """The rates over those rows of the grid; nothing in it is by chance."""
    return HourOfDay(Rates(counted(experience, classes_of(experience), CLASSES, rows), experience.horizons))


def classes_of(experience: Experience) -> NDArray[np.uint8]:
    """(G, P, D) the hour of every moment of the grid."""
    hours = _hour(experience.moments).astype(np.uint8)
    return np.broadcast_to(hours[:, None, None], experience.outcomes.shape)


def _hour(moments: NDArray[np.float64]) -> NDArray[np.int64]:
    return (moments % 86400.0 // 3600.0).astype(np.int64)
