"""Small markets that are made up, for the tests of forecasts."""

from __future__ import annotations

import numpy as np

from tradewind.market.histories import CapacityHistory, MarketHistory, PriceHistory
from tradewind.market.instances import InstanceType, Pool
from tradewind.market.offers import Offer, Price, Terms
from tradewind.market.resources import Resources

MONDAY = 1425254400.0
"""2015-03-02T00:00:00Z."""
A, B, C = Pool("a.large", "z-1a"), Pool("a.large", "z-1b"), Pool("c.large", "z-1a")


def prices(pool: Pool, days: float, seed: int, start: float = MONDAY) -> PriceHistory:
    """Calm days at 0.05 with restless ones between, on which the price jumps every few minutes."""
    chance = np.random.default_rng(seed)
    times, values = [start], [0.05]
    while times[-1] < start + days * 86400:
        restless = (times[-1] - start) // 86400 % 3 == seed % 3
        times.append(times[-1] + chance.exponential(900 if restless else 10800))
        jump = chance.exponential(0.08) if restless else chance.exponential(0.0006)
        values.append(0.05 + jump)
    return PriceHistory(pool, times[:-1], values[:-1], end=start + days * 86400)


def capacity(pool: Pool, days: float, seed: int, start: float = MONDAY, most: int = 1) -> CapacityHistory:
    """Counts that go up and down by one every few hours."""
    chance = np.random.default_rng(seed)
    times, counts = [start], [1]
    while times[-1] < start + days * 86400:
        times.append(times[-1] + 60 + chance.exponential(7200))
        step = 1 if counts[-1] == 0 or (counts[-1] < most and chance.random() < 0.6) else -1
        counts.append(counts[-1] + step)
    return CapacityHistory.from_counts(pool, times[:-1], np.array(counts[:-1]), end=start + days * 86400)


def priced(days: float = 24.0) -> MarketHistory:
    """Two pools with prices, and one with prices and four slots."""
    return MarketHistory(
        "priced",
        {A: prices(A, days, 0), B: prices(B, days, 1), C: prices(C, days, 2)},
        {C: capacity(C, days, 3, most=4)},
    )


def counted(days: float = 24.0) -> MarketHistory:
    """Two pools without prices."""
    return MarketHistory("counted", {}, {A: capacity(A, days, 5), B: capacity(B, days, 6)})


def spot(pool: Pool, price: float, available: int | None = None) -> Offer:
    """An offer of the pool."""
    return Offer(
        InstanceType(pool.instance_type, Resources(vcpus=2)), pool.zone, Price(price, Terms.SPOT), available
    )


def standing(history: MarketHistory, now: float) -> tuple[Offer, ...]:
    """What the history offers at a moment, as a market would; where it has no prices, at 0.1."""
    offers = []
    for pool in history.pools:
        recorded, room = history.prices.get(pool), history.capacities.get(pool)
        free = None if room is None else room.available(now)
        if free != 0 and (recorded is None or recorded.covers(now)):
            offers.append(spot(pool, 0.1 if recorded is None else recorded.at(now), free))
    return tuple(offers)
