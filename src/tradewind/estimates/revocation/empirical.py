"""How often leases were revoked when the market stood as now: by pool, bid, and how lately it stirred.

Proteus (EuroSys 2017) counts by pool and bid. Spot prices cluster: what lately rose above a bid does so
again. So the count is also by two clocks of the bid, each within an hour, six hours, a day, or longer: since
the price last stood above it, and since the price last rose by more than its delta within an hour. Where
capacity is recorded, the classes are how long the oldest slot has lived and how much room there is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tradewind.estimates.revocation.experience import Experience, lateness, room
from tradewind.estimates.revocation.frequencies import Counts, Rates, counted
from tradewind.estimates.revocation.interface import monotone
from tradewind.estimates.revocation.sights import Sights, Situations

_FADES = 43200.0
"""Seconds after which what was last seen of a pool counts for 1/e of what it did."""

CLASSES = 16
"""Four by four."""


class Empirical:
    """The frequency in the class that the situation shows, leaning to the pool's where it was rare.

    The class was seen when the record was last known: as that ages, the answer goes over to the pool's.
    """

    name = "empirical"

    __slots__ = ("_limited", "_rates")

    def __init__(self, rates: Rates, limited: NDArray[np.bool_]) -> None:
        self._rates, self._limited = rates, limited

    def probabilities(self, cases: Situations, sights: Sights) -> NDArray[np.float64]:
        """(N, D, H)"""
        cells = seen_classes(self._limited, cases, sights)
        deltas = np.arange(cells.shape[1])
        seen = self._rates.by_class[cases.pools[:, None], deltas, cells]
        fresh = np.exp(-(cases.now - cases.known) / _FADES)[:, None, None]
        return monotone(fresh * seen + (1 - fresh) * self._rates.by_pool[cases.pools])


def seen_classes(limited: NDArray[np.bool_], cases: Situations, sights: Sights) -> NDArray[np.int64]:
    """(N, D) the class that each case shows; `limited` (P,) says which pools' capacity is recorded."""
    ages = lateness(np.expm1(np.nan_to_num(sights.features[:, 13])))
    rooms = room(cases.counts, sights.features[:, 15])
    return np.where(
        limited[cases.pools][:, None],
        _capacity_class(ages, rooms)[:, None],
        _price_class(lateness(sights.above), lateness(sights.risen)),
    ).astype(np.int64)


def counts_of(experience: Experience) -> Counts:
    """What `Empirical` counts, for any moment up to which it may know."""
    return Counts(experience, classes_of(experience), CLASSES)


def learn(experience: Experience, rows: NDArray[np.int64], *, seed: int = 0) -> Empirical:
    """The rates over those rows of the grid; nothing in it is by chance."""
    return Empirical(
        Rates(counted(experience, classes_of(experience), CLASSES, rows), experience.horizons),
        experience.columns.has_capacity,
    )


def classes_of(experience: Experience) -> NDArray[np.uint8]:
    """(G, P, D) the class of every moment of the grid."""
    return np.where(
        experience.columns.has_capacity[:, None],
        _capacity_class(experience.ages, experience.shares)[:, :, None],
        _price_class(experience.above, experience.risen),
    )


def _price_class(above: NDArray[np.uint8], risen: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return above * np.uint8(4) + risen


def _capacity_class(age: NDArray[np.uint8], room: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return age * np.uint8(4) + room
