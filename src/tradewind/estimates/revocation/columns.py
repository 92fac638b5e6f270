"""A market's history laid out in flat columns, so that kernels see from many moments at once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tradewind.market.histories import CapacityHistory, MarketHistory
from tradewind.market.instances import Pool

GRID = 600.0
"""Seconds between the moments at which a history is asked; they are whole multiples of it."""
SIGHT = 86400.0
"""Seconds that kernels look back and ahead at most."""
_HOUR = 3600.0


class Columns:
    """The records of P pools, one after another, each pool's from `bounds[p]` to `bounds[p + 1]`.

    Three kinds: changes of price; spells, the stretches over which the oldest slot that a pool has is one and
    the same (a lease that begins within one, by a holder of nothing, ends with it); counts of slots. What is
    stated of a moment here is known at that moment, but for the ends of spells.
    """

    __slots__ = (
        "_row", "count_bounds", "count_times", "counts", "ends", "has_capacity", "has_prices", "pools",
        "price_bounds", "price_times", "prices", "rises", "spell_begins", "spell_bounds", "spell_ends",
        "spell_slots", "starts",
    )  # fmt: skip

    def __init__(self, history: MarketHistory) -> None:
        self.pools: tuple[Pool, ...] = history.pools
        self._row = {pool: row for row, pool in enumerate(self.pools)}
        priced = [history.prices.get(pool) for pool in self.pools]
        limited = [history.capacities.get(pool) for pool in self.pools]
        self.has_prices = np.array([each is not None for each in priced])
        self.has_capacity = np.array([each is not None for each in limited])
        spans = [
            [(each.start, each.end) for each in (prices, capacity) if each is not None]
            for prices, capacity in zip(priced, limited, strict=True)
        ]
        self.starts = np.array([max(start for start, _ in pool) for pool in spans])
        """(P,) the first moment of which all is recorded."""
        self.ends = np.array([min(end for _, end in pool) for pool in spans])
        """(P,) the last one."""
        self.price_bounds, self.price_times = _joined([each.times if each else _NONE for each in priced])
        _, self.prices = _joined([each.prices if each else _NONE for each in priced])
        _, self.rises = _joined([_rises(each.times, each.prices) if each else _NONE for each in priced])
        """Dollars above the lowest price of the hour before each change."""
        spells = [_spells(each) if each else (_NONE, _NONE, _NONE) for each in limited]
        self.spell_bounds, self.spell_begins = _joined([each[0] for each in spells])
        _, self.spell_ends = _joined([each[1] for each in spells])
        _, self.spell_slots = _joined([each[2] for each in spells])
        """When the slot of each spell began, which may be before the spell."""
        self.count_bounds, self.count_times = _joined([each.changes if each else _NONE for each in limited])
        _, self.counts = _joined(
            [
                np.array([float(each.available(float(moment))) for moment in each.changes]) if each else _NONE
                for each in limited
            ]
        )

    def row(self, pool: Pool) -> int | None:
        """Which pool of the columns that is; None if it is not recorded."""
        return self._row.get(pool)

    def moments(self) -> NDArray[np.float64]:
        """(G,) the grid from the first start to the last end."""
        first, last = math.ceil(self.starts.min() / GRID), math.floor(self.ends.max() / GRID)
        return np.arange(first, max(last, first) + 1) * GRID

    def price_at(self, row: int, moment: float) -> float:
        """The last price of a pool known at `moment`; NaN where none is."""
        low, high = int(self.price_bounds[row]), int(self.price_bounds[row + 1])
        at = int(self.price_times[low:high].searchsorted(moment, "right"))
        return float(self.prices[low + at - 1]) if at else math.nan

    def count_at(self, row: int, moment: float) -> float:
        """How many slots of a pool live at `moment`; NaN where no capacity is recorded."""
        low, high = int(self.count_bounds[row]), int(self.count_bounds[row + 1])
        if low == high:
            return math.nan
        at = int(self.count_times[low:high].searchsorted(moment, "right"))
        return float(self.counts[low + at - 1]) if at else 0.0


_NONE: NDArray[np.float64] = np.empty(0)


def _joined(parts: list[NDArray[np.float64]]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    bounds = np.zeros(len(parts) + 1, np.int64)
    bounds[1:] = np.cumsum([len(part) for part in parts])
    return bounds, np.concatenate(parts) if parts else _NONE


def _rises(times: NDArray[np.float64], prices: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each change leads above the lowest price of the hour before it."""
    first = np.maximum(times.searchsorted(times - _HOUR, "right") - 1, 0)
    rises = np.empty(len(prices))
    for index, low in enumerate(first.tolist()):
        rises[index] = prices[index] - prices[low : index + 1].min()
    return rises


def _spells(
    capacity: CapacityHistory,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Begins, ends and starts of the slots that are the oldest, in order; they never overlap."""
    ends = capacity.ends
    before = np.maximum.accumulate(np.concatenate([[-math.inf], ends[:-1]])) if len(ends) else _NONE
    oldest = ends > before
    return np.maximum(capacity.starts, before)[oldest], ends[oldest], capacity.starts[oldest]
