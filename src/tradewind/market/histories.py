"""What a market did: prices and capacity over months, in columns, read by binary search."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from tradewind.errors import Misuse, suggestion
from tradewind.market.instances import Pool
from tradewind.market.steps import steps_of


class PriceHistory:
    """The spot price of a pool over time, US dollars an instance-hour.

    `times` (n,) rise strictly, `prices` (n,) are positive; records that repeat the price before them are
    dropped. The record covers `start` to `end` (the last time, if not given); after it the last price holds.
    """

    __slots__ = ("_steps", "pool")

    def __init__(self, pool: Pool, times: ArrayLike, prices: ArrayLike, *, end: float | None = None) -> None:
        source = f"price history of {pool}"
        self.pool = pool
        self._steps = steps_of(times, np.asarray(prices, np.float64), end, source, "price")
        wrong = ~((self._steps.values > 0) & np.isfinite(self._steps.values))
        if wrong.any():
            raise Misuse(
                f"{float(self._steps.values[wrong][0])!r} is no price",
                source=source,
                field="price",
                fix="Give dollars an hour, above 0.",
            )

    @property
    def times(self) -> NDArray[np.float64]:
        """Moments of the changes, (n,), the first record included."""
        return self._steps.times

    @property
    def prices(self) -> NDArray[np.float64]:
        """The price from each change on, (n,)."""
        return self._steps.values

    @property
    def start(self) -> float:
        """The moment of the first record."""
        return float(self._steps.times[0])

    @property
    def end(self) -> float:
        """The moment of the last record."""
        return self._steps.end

    def covers(self, moment: float) -> bool:
        """Whether `moment` lies within the record."""
        return self.start <= moment <= self.end

    def at(self, moment: float) -> float:
        """The price at `moment`; after the end the last one. Raises Misuse before the start."""
        index = self._steps.index(moment)
        if index < 0:
            raise Misuse(
                f"no price at {moment!r}",
                source=f"price history of {self.pool}",
                fix=f"Its record begins at {self.start!r}.",
            )
        return float(self._steps.values[index])

    def window(self, start: float, end: float) -> PriceHistory:
        """The same history from `start` to `end`, cut to what is recorded. Raises Misuse if nothing is."""
        low, high = max(start, self.start), min(end, self.end)
        if low > high:
            raise Misuse(
                f"nothing recorded from {start!r} to {end!r}",
                source=f"price history of {self.pool}",
                fix=f"Its record runs from {self.start!r} to {self.end!r}.",
            )
        first, last = self._steps.index(low), self._steps.index(high)
        times = self.times[first : last + 1].copy()
        times[0] = low
        return PriceHistory(self.pool, times, self.prices[first : last + 1].copy(), end=high)

    def next_change(self, moment: float) -> float | None:
        """The first change after `moment`; None if there is none."""
        return self._steps.next_change(moment)

    def first_above(self, level: float, after: float, before: float = math.inf) -> float | None:
        """The first change in (after, before] to a price above `level`; None if there is none."""
        return self._steps.first(level, after, before, above=True)

    def first_below(self, level: float, after: float, before: float = math.inf) -> float | None:
        """The first change in (after, before] to a price below `level`; None if there is none."""
        return self._steps.first(level, after, before, above=False)

    def shifted(self, by: float) -> PriceHistory:
        """The same prices `by` seconds later."""
        return PriceHistory(self.pool, self.times + by, self.prices, end=self.end + by)

    def moved(self, pool: Pool) -> PriceHistory:
        """The same prices in another pool."""
        return PriceHistory(pool, self.times, self.prices, end=self.end)


class Slot(Struct, frozen=True):
    """Room for one instance while it lasts: a lease in it is revoked when it ends."""

    id: str
    start: float
    end: float
    """Infinite for one that outlasts the record."""


class CapacityHistory:
    """How many instances a pool could hold over time, as slots (n,) that each live from a start to an end.

    A lease occupies one slot. Slots that outlast the record end never; outside of the record nothing more
    can be had.
    """

    __slots__ = ("_steps", "end", "ends", "ids", "pool", "start", "starts")

    def __init__(
        self,
        pool: Pool,
        ids: Sequence[str],
        starts: ArrayLike,
        ends: ArrayLike,
        *,
        start: float | None = None,
        end: float | None = None,
    ) -> None:
        source = f"capacity history of {pool}"
        began, over = np.asarray(starts, np.float64), np.asarray(ends, np.float64)
        if began.shape != over.shape or began.shape != (len(ids),):
            raise Misuse("as many ids, starts and ends are needed", source=source, fix="Give one each.")
        wrong = ~(np.isfinite(began) & (over > began))
        if wrong.any():
            raise Misuse(
                f"slot {ids[int(wrong.argmax())]!r} ends before it starts",
                source=source,
                field="end",
                fix="Mend it.",
            )
        order = np.lexsort((np.arange(len(ids)), began))
        self.pool = pool
        self.ids = tuple(ids[int(i)] for i in order)
        self.starts, self.ends = began[order], over[order]
        if len(set(zip(self.ids, self.starts.tolist(), strict=True))) < len(ids):
            raise Misuse(
                "a slot occurs twice", source=source, field="id", fix="Name each start of a slot once."
            )
        finite = self.ends[np.isfinite(self.ends)]
        moments = np.concatenate([self.starts, finite])
        if start is None or end is None:
            if not len(moments):
                raise Misuse("no slot and no span", source=source, fix="Give the record's start and end.")
            start = float(moments.min()) if start is None else start
            end = float(moments.max()) if end is None else end
        self.start, self.end = float(start), float(end)
        if not (math.isfinite(self.start) and self.start <= self.end):
            raise Misuse(
                f"{start!r} to {end!r} is no span", source=source, fix="Give a start and a later end."
            )
        deltas = np.concatenate([np.ones(len(self.starts), np.int64), -np.ones(len(finite), np.int64)])
        times = np.append(moments, self.start)
        deltas = np.append(deltas, 0)
        unique, inverse = np.unique(times, return_inverse=True)
        counts = np.zeros(len(unique), np.int64)
        np.add.at(counts, inverse, deltas)
        self.starts.flags.writeable = self.ends.flags.writeable = False
        self._steps = steps_of(unique, counts.cumsum(), max(self.end, float(unique[-1])), source, "slots")

    @classmethod
    def from_counts(
        cls, pool: Pool, times: ArrayLike, counts: ArrayLike, *, end: float | None = None
    ) -> CapacityHistory:
        """The capacity that sampled counts show: slot k lives while the count is above k.

        `times` (n,) rise strictly, `counts` (n,) are whole and not negative; a count holds until the next.
        The record ends at `end` (the last time, if not given).
        """
        source = f"capacity history of {pool}"
        if np.asarray(counts).dtype.kind not in "iu" or np.any(np.asarray(counts) < 0):
            raise Misuse("a count is no whole number from 0", source=source, field="data", fix="Correct it.")
        steps = steps_of(times, np.asarray(counts, np.int64), end, source, "data")
        ids: list[str] = []
        starts: list[float] = []
        ends: list[float] = []
        for k in range(int(steps.values.max())):
            alive = np.concatenate([[False], steps.values > k, [False]])
            rises = np.flatnonzero(alive[1:] & ~alive[:-1])
            falls = np.flatnonzero(alive[:-1] & ~alive[1:])
            starts += steps.times[rises].tolist()
            ends += np.append(steps.times, math.inf)[falls].tolist()
            ids += [str(k)] * len(rises)
        return cls(pool, ids, starts, ends, start=float(steps.times[0]), end=steps.end)

    @classmethod
    def from_lifetimes(
        cls,
        pool: Pool,
        lifetimes: Iterable[tuple[str, float, float]],
        *,
        start: float | None = None,
        end: float | None = None,
    ) -> CapacityHistory:
        """The capacity that recorded lives of instances show: one slot for each (name, start, end)."""
        lives = list(lifetimes)
        names, starts, ends = (list(column) for column in zip(*lives, strict=True)) if lives else ([], [], [])
        return cls(pool, names, starts, ends, start=start, end=end)

    def covers(self, moment: float) -> bool:
        """Whether `moment` lies within the record."""
        return self.start <= moment <= self.end

    def available(self, moment: float) -> int:
        """How many slots live at `moment`; 0 outside of the record."""
        if not self.covers(moment):
            return 0
        return int(self._steps.values[self._steps.index(moment)])

    def slots(self, moment: float) -> tuple[Slot, ...]:
        """The slots that live at `moment`, the oldest first; none outside of the record."""
        if not self.covers(moment):
            return ()
        begun = int(self.starts.searchsorted(moment, "right"))
        return tuple(self._slot(int(i)) for i in np.flatnonzero(self.ends[:begun] > moment))

    def all_slots(self) -> tuple[Slot, ...]:
        """Every slot of the record, by start."""
        return tuple(self._slot(i) for i in range(len(self.ids)))

    def next_change(self, moment: float) -> float | None:
        """The first moment after `moment` at which the number of slots changes; None if there is none."""
        return self._steps.next_change(moment)

    def first_available_above(self, level: int, after: float, before: float = math.inf) -> float | None:
        """The first change in (after, before] to more than `level` slots; None if there is none."""
        return self._steps.first(level, after, min(before, self.end), above=True)

    @property
    def changes(self) -> NDArray[np.float64]:
        """The moments at which the number of slots changes, and the record's start."""
        return self._steps.times

    def shifted(self, by: float) -> CapacityHistory:
        """The same capacity `by` seconds later."""
        return self._copy(self.pool, by)

    def moved(self, pool: Pool) -> CapacityHistory:
        """The same capacity in another pool."""
        return self._copy(pool, 0.0)

    def _copy(self, pool: Pool, by: float) -> CapacityHistory:
        return CapacityHistory(
            pool, self.ids, self.starts + by, self.ends + by, start=self.start + by, end=self.end + by
        )

    def _slot(self, index: int) -> Slot:
        return Slot(self.ids[index], float(self.starts[index]), float(self.ends[index]))


class MarketHistory:
    """What was recorded of a market: prices, capacity, and how long before its end a lease is warned.

    Pools with prices alone have room without limit; pools with capacity alone are not for sale until
    `with_prices` gives them some. `notice` is in seconds.
    """

    __slots__ = ("capacities", "name", "notice", "prices")

    def __init__(
        self,
        name: str,
        prices: Mapping[Pool, PriceHistory],
        capacities: Mapping[Pool, CapacityHistory] | None = None,
        *,
        notice: float = 120.0,
    ) -> None:
        if not (math.isfinite(notice) and notice >= 0):
            raise Misuse(
                f"{notice!r} is no notice", source=name, field="notice", fix="Give seconds, 120 on AWS."
            )
        self.name, self.notice = name, notice
        self.prices = dict(sorted(prices.items()))
        self.capacities = dict(sorted((capacities or {}).items()))
        if not self.pools:
            raise Misuse("no pool is recorded", source=name, fix="Give prices or capacity of at least one.")

    @property
    def pools(self) -> tuple[Pool, ...]:
        """Every pool with prices or capacity, by type and zone."""
        return tuple(sorted(self.prices.keys() | self.capacities.keys()))

    @property
    def _records(self) -> tuple[PriceHistory | CapacityHistory, ...]:
        return (*self.prices.values(), *self.capacities.values())

    @property
    def start(self) -> float:
        """The first recorded moment of any pool."""
        return min(history.start for history in self._records)

    @property
    def end(self) -> float:
        """The last recorded moment of any pool."""
        return max(history.end for history in self._records)

    def price(self, pool: Pool) -> PriceHistory:
        """The prices of a pool. Raises Misuse if it has none."""
        if pool not in self.prices:
            raise Misuse(
                f"no prices of {pool}", source=self.name, fix=suggestion(str(pool), map(str, self.prices))
            )
        return self.prices[pool]

    def shifted(self, by: float) -> MarketHistory:
        """The same market `by` seconds later."""
        return MarketHistory(
            self.name,
            {pool: history.shifted(by) for pool, history in self.prices.items()},
            {pool: history.shifted(by) for pool, history in self.capacities.items()},
            notice=self.notice,
        )

    def window(self, start: float, end: float) -> MarketHistory:
        """The same market with prices from `start` to `end` alone; pools without any then are left out."""
        return MarketHistory(
            self.name,
            {
                pool: history.window(start, end)
                for pool, history in self.prices.items()
                if history.start <= end and history.end >= start
            },
            {
                pool: history
                for pool, history in self.capacities.items()
                if history.start <= end and history.end >= start
            },
            notice=self.notice,
        )

    def select(self, types: Iterable[str] = (), zones: Iterable[str] = ()) -> MarketHistory:
        """The pools of those types and zones (a region stands for its zones); empty for any.

        Raises Misuse for a type or zone that is not recorded, with a suggestion.
        """
        kinds, places = tuple(types), tuple(zones)
        for kind in kinds:
            known = {pool.instance_type for pool in self.pools}
            if kind not in known:
                raise Misuse(
                    f"{kind!r} is not recorded", source=self.name, field="type", fix=suggestion(kind, known)
                )
        for place in places:
            known = {pool.zone for pool in self.pools}
            if not any(_within(zone, place) for zone in known):
                raise Misuse(
                    f"{place!r} is not recorded", source=self.name, field="zone", fix=suggestion(place, known)
                )

        def wanted(pool: Pool) -> bool:
            return (not kinds or pool.instance_type in kinds) and (
                not places or any(_within(pool.zone, place) for place in places)
            )

        chosen = [pool for pool in self.pools if wanted(pool)]
        if not chosen:
            raise Misuse(
                "no pool has such a type in such a zone",
                source=self.name,
                fix=f"Recorded: {', '.join(map(str, self.pools))}.",
            )
        return MarketHistory(
            self.name,
            {pool: self.prices[pool] for pool in chosen if pool in self.prices},
            {pool: self.capacities[pool] for pool in chosen if pool in self.capacities},
            notice=self.notice,
        )

    def with_capacity(self, capacities: Iterable[CapacityHistory], name: str | None = None) -> MarketHistory:
        """These prices with the capacity of another source, each in its own pool.

        Raises Misuse for a pool without prices.
        """
        given = {history.pool: history for history in capacities}
        for pool in given:
            self.price(pool)
        return MarketHistory(
            self.name if name is None else name, self.prices, {**self.capacities, **given}, notice=self.notice
        )

    def with_prices(self, prices: Iterable[PriceHistory], name: str | None = None) -> MarketHistory:
        """This capacity with the prices of another source, each in its own pool; new ones replace old."""
        given = {history.pool: history for history in prices}
        return MarketHistory(
            self.name if name is None else name, {**self.prices, **given}, self.capacities, notice=self.notice
        )


def _within(zone: str, place: str) -> bool:
    return zone == place or (zone.startswith(place) and zone[len(place) :].isalpha() and place[-1:].isdigit())
