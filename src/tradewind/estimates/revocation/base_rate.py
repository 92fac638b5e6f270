"""How often leases were revoked, by pool and bid: Proteus's table, and the bar that a forecast must clear.

Harlap et al., Proteus (EuroSys 2017): the chance of eviction by the bid above the price, from history.
Weather forecasters call it climatology.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tradewind.estimates.revocation.experience import Experience
from tradewind.estimates.revocation.frequencies import Counts, Rates, counted
from tradewind.estimates.revocation.sights import Sights, Situations

CLASSES = 1
"""All moments are alike."""


class BaseRate:
    """The same for a pool and a bid whenever it is asked."""

    name = "base_rate"

    __slots__ = ("_rates",)

    def __init__(self, rates: Rates) -> None:
        self._rates = rates

    def probabilities(self, cases: Situations, sights: Sights) -> NDArray[np.float64]:
        """(N, D, H)"""
        return self._rates.by_pool[cases.pools]


def counts_of(experience: Experience) -> Counts:
    """What `BaseRate` counts, for any moment up to which it may know."""
    return Counts(experience, classes_of(experience), CLASSES)


def learn(experience: Experience, rows: NDArray[np.int64], *, seed: int = 0) -> BaseRate:
    """The rates over those rows of the grid; nothing in it is by chance."""
    return BaseRate(Rates(counted(experience, classes_of(experience), CLASSES, rows), experience.horizons))


def classes_of(experience: Experience) -> NDArray[np.uint8]:
    """(G, P, D) the one class."""
    return np.zeros(experience.outcomes.shape, np.uint8)
