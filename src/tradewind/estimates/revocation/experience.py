"""What a history teaches: at every moment of the grid, for each pool and bid, how soon a lease was revoked.

Built once for a history; forecasts for any moment then use the part of it that was known by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import Misuse
from tradewind.estimates.revocation.columns import GRID, SIGHT, Columns
from tradewind.estimates.revocation.sights import Situations, look_ahead, look_back, situations
from tradewind.market.histories import MarketHistory

DELTAS = (0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 1.0, 4.0)
"""US dollars an hour above the price. The last two reach the on-demand prices of large instances, which are
what a bid without a limit stands for."""
HORIZONS = (600.0, 1800.0, 3600.0, 7200.0, 14400.0)
"""Seconds."""
UNKNOWN = 255
"""The outcome where no lease could begin, or where the record ends before the longest horizon."""
_PART = 256
"""Moments looked at in one go, which bounds the memory that building takes."""


class Experience:
    """Outcomes of the leases that could have begun, on the grid of a history.

    `outcomes` (G, P, D) holds how many of the horizons a lease outlived (H if all), or UNKNOWN; `above` and
    `risen` (G, P, D) hold the clocks of `Sights` as one of four classes: within an hour, six hours, a day, or
    not.
    """

    __slots__ = (
        "above", "ages", "columns", "deltas", "horizons", "moments", "name", "outcomes", "risen",
        "shares", "standing",
    )  # fmt: skip

    def __init__(
        self,
        history: MarketHistory,
        *,
        deltas: Sequence[float] = DELTAS,
        horizons: Sequence[float] = HORIZONS,
    ) -> None:
        self.name = history.name
        self.deltas = _ascending("deltas", deltas)
        self.horizons = _ascending("horizons", horizons)
        if self.horizons[-1] > SIGHT:
            raise Misuse(
                f"{self.horizons[-1]!r} s is too far",
                field="horizons",
                fix=f"Look ahead {SIGHT:.0f} s at most.",
            )
        self.columns = Columns(history)
        self.moments = self.columns.moments()
        shape = (len(self.moments), len(self.columns.pools), len(self.deltas))
        self.outcomes = np.empty(shape, np.uint8)
        self.above = np.empty(shape, np.uint8)
        self.risen = np.empty(shape, np.uint8)
        self.standing = np.empty(shape[:2], np.float32)
        """(G, P) prices; 0 where no lease could begin, 1 where one could but no price is recorded."""
        self.ages = np.empty(shape[:2], np.uint8)
        """(G, P) classes of how long the oldest slot has lived."""
        self.shares = np.empty(shape[:2], np.uint8)
        """(G, P) classes of how much room there is."""
        for first in range(0, shape[0], _PART):
            self._fill(slice(first, min(first + _PART, shape[0])))

    def _fill(self, part: slice) -> None:
        cases = situations(self.columns, self.moments[part])
        shape = (-1, *self.outcomes.shape[1:])
        lives = look_ahead(self.columns, cases, self.deltas)
        outcomes = self.horizons.searchsorted(lives.seconds, "left").astype(np.uint8)
        outcomes[~lives.leasable | (lives.recorded < self.horizons[-1])] = UNKNOWN
        self.outcomes[part] = outcomes.reshape(shape)
        sights = look_back(self.columns, cases, self.deltas)
        self.above[part] = lateness(sights.above).reshape(shape)
        self.risen[part] = lateness(sights.risen).reshape(shape)
        self.ages[part] = lateness(np.expm1(np.nan_to_num(sights.features[:, 13]))).reshape(shape[:2])
        self.shares[part] = room(cases.counts, sights.features[:, 15]).reshape(shape[:2])
        prices = np.where(np.isnan(cases.prices), 1.0, cases.prices)
        self.standing[part] = np.where(lives.leasable, prices, 0.0).reshape(shape[:2])

    @property
    def start(self) -> float:
        """The first moment of the grid."""
        return float(self.moments[0])

    def rows_before(self, moment: float) -> int:
        """How many moments of the grid lie at or before `moment`."""
        return int(self.moments.searchsorted(moment, "right"))

    def known_rows(self, until: float) -> int:
        """How many moments' outcomes were all known by `until`."""
        return self.rows_before(until - float(self.horizons[-1]))

    def cases(self, rows: NDArray[np.int64], pools: NDArray[np.int64]) -> Situations:
        """The situations at those rows of the grid (N,) in those pools (N,), all known up to them."""
        moments = self.moments[rows]
        prices, counts = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
        for pool in np.unique(pools).tolist():
            chosen = pools == pool
            there = situations(self.columns, moments[chosen], [pool])
            prices[chosen], counts[chosen] = there.prices, there.counts
        return Situations(pools.astype(np.int64), moments, moments, prices, counts)


@lru_cache(maxsize=8)
def experience_of(
    history: MarketHistory, deltas: tuple[float, ...] = DELTAS, horizons: tuple[float, ...] = HORIZONS
) -> Experience:
    """The experience of a history, built when it is first asked for."""
    return Experience(history, deltas=deltas, horizons=horizons)


def lateness(seconds: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Classes of a clock: 0 within the hour, 1 within six, 2 within the day, 3 later or never."""
    return np.digitize(seconds, (3600.0, 21600.0, SIGHT - GRID / 2)).astype(np.uint8)


def room(counts: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Classes of the room in a pool: one, there less than half of the day or more; 2 to 4; more."""
    one = np.where(np.nan_to_num(shares, nan=1.0) < 0.5, 0, 1)
    slots = np.nan_to_num(counts)
    return np.where(slots >= 5, 3, np.where(slots >= 2, 2, one)).astype(np.uint8)


def _ascending(field: str, values: Sequence[float]) -> NDArray[np.float64]:
    column = np.asarray(values, np.float64)
    if column.ndim != 1 or not len(column) or not (np.diff(column) > 0).all() or not column[0] > 0:
        raise Misuse(
            f"{values!r} do not rise from above 0", field=field, fix="Give positive numbers in order."
        )
    return column
