"""Rows that models learn from: chosen moments, each with one bid and one horizon drawn by chance.

The random bid is SpotTune's and Tributary's: one model for every bid, where one a bid would see few rows.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.estimates.revocation import base_rate, empirical
from tradewind.estimates.revocation.calibration import logit
from tradewind.estimates.revocation.experience import UNKNOWN, Experience
from tradewind.estimates.revocation.sights import Sights, Situations, look_back

_FOLDS = 5
_FRESH = 0.5
"""The share of rows that are learned with all known up to their own moment; the others up to a day before."""
DAY = 86400.0


class Rows(Struct, frozen=True):
    """M rows: situations, what they show, and for each the bid and horizon asked about."""

    cases: Situations
    sights: Sights
    deltas: NDArray[np.int64]
    """(M,) which delta."""
    horizons: NDArray[np.int64]
    """(M,) which horizon."""
    usual: NDArray[np.float64]
    """(M, 2) log odds by `base_rate` and `empirical`, counted without the fifth of the past the row is in."""
    came: NDArray[np.float64]
    """(M,) whether the lease was revoked within the horizon."""

    def chosen(self, rows: NDArray[np.bool_]) -> Rows:
        """Those of `rows`."""
        seen = self.sights
        return Rows(
            self.cases.chosen(rows),
            Sights(seen.above[rows], seen.risen[rows], seen.features[rows]),
            self.deltas[rows],
            self.horizons[rows],
            self.usual[rows],
            self.came[rows],
        )


class Usual:
    """The frequencies that learned models start from."""

    __slots__ = ("_base", "_empirical")

    def __init__(self, experience: Experience, rows: NDArray[np.int64]) -> None:
        self._base = base_rate.learn(experience, rows)
        self._empirical = empirical.learn(experience, rows)

    def odds(self, cases: Situations, sights: Sights) -> NDArray[np.float64]:
        """(N, D, H, 2) log odds by `base_rate` and by `empirical`."""
        return np.stack(
            [logit(model.probabilities(cases, sights)) for model in (self._base, self._empirical)], axis=-1
        )

    def chances(self, cases: Situations, sights: Sights) -> NDArray[np.float64]:
        """(N, D, H) by `empirical`: the answer where too little is known to learn more."""
        return self._empirical.probabilities(cases, sights)


def drawn(experience: Experience, rows: NDArray[np.int64], many: int, seed: int) -> Rows | None:
    """`many` rows at most, drawn from those of the grid; None where fewer than 200 are, or all are alike.

    In pools without prices every bid is one and the same: the first stands for all.
    """
    chance = np.random.Generator(np.random.PCG64(seed))
    known = experience.outcomes[rows, :, 0] != UNKNOWN
    at, pools = np.nonzero(known)
    if len(at) < 200:
        return None
    if len(at) > many:
        picked = np.sort(chance.choice(len(at), many, replace=False))
        at, pools = at[picked], pools[picked]
    deltas = chance.integers(len(experience.deltas), size=len(at))
    deltas[~experience.columns.has_prices[pools]] = 0
    horizons = chance.integers(len(experience.horizons), size=len(at))
    ages = np.where(chance.random(len(at)) < _FRESH, 0.0, DAY * chance.random(len(at)) ** 2)
    cases = experience.cases(rows[at], pools).known_before(ages)
    sights = look_back(experience.columns, cases, experience.deltas)
    came = (experience.outcomes[rows[at], pools, deltas] <= horizons).astype(np.float64)
    if came.min() == came.max():
        return None
    usual = np.empty((len(at), 2))
    folds = at * _FOLDS // len(rows)
    parts = np.arange(len(rows)) * _FOLDS // len(rows)
    for fold in range(_FOLDS):
        mine = np.flatnonzero(folds == fold)
        if len(mine):
            odds = Usual(experience, rows[parts != fold]).odds(
                cases.chosen(mine), Sights(sights.above[mine], sights.risen[mine], sights.features[mine])
            )
            usual[mine] = odds[np.arange(len(mine)), deltas[mine], horizons[mine]]
    return Rows(cases, sights, deltas, horizons, usual, came)


def trust(rows: Rows, half_way: float) -> float:
    """How far a model learned from those rows is followed, from the frequencies' odds (0) to its own (1).

    Half way after that many days, however many rows were drawn of them: rows near in time say much the same.
    """
    days = len(np.unique(rows.cases.now // DAY))
    return days / (days + half_way)


def worth(rows: Rows) -> float:
    """The share of rows that is worth an observation of its own: two a pool and day; the others echo."""
    many = len(np.unique(rows.cases.pools * 100_000 + (rows.cases.now // DAY).astype(np.int64)))
    return min(1.0, 2.0 * many / len(rows.came))


def tail(rows: Rows, share: float) -> NDArray[np.bool_]:
    """(M,) which rows lie in the last `share` of the time of all of them."""
    first, last = float(rows.cases.now.min()), float(rows.cases.now.max())
    return rows.cases.now > last - share * (last - first)
