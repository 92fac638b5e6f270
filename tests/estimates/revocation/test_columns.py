from __future__ import annotations

import math

import numpy as np
from made_up_histories import MONDAY, A, B

from tradewind.estimates.revocation.columns import GRID, Columns
from tradewind.market.histories import CapacityHistory, MarketHistory, PriceHistory


def test_every_pool_keeps_its_own_records(priced):
    columns = Columns(priced)
    for row, pool in enumerate(columns.pools):
        low, high = columns.price_bounds[row], columns.price_bounds[row + 1]
        assert columns.row(pool) == row
        assert np.array_equal(columns.price_times[low:high], priced.prices[pool].times)
        assert np.array_equal(columns.prices[low:high], priced.prices[pool].prices)
        for moment in (MONDAY + 1, MONDAY + 5e5):
            assert columns.price_at(row, moment) == priced.prices[pool].at(moment)
    row = columns.row(columns.pools[-1])
    capacity = priced.capacities[columns.pools[-1]]
    for moment in np.linspace(capacity.start, capacity.end, 50):
        assert columns.count_at(row, moment) == capacity.available(moment)
    assert math.isnan(columns.count_at(0, MONDAY + 10))
    assert math.isnan(columns.price_at(0, MONDAY - 1))


def test_the_grid_is_whole_multiples_that_cover_the_record(priced):
    columns = Columns(priced)
    moments = columns.moments()
    assert (moments % GRID == 0).all() and (np.diff(moments) == GRID).all()
    assert moments[0] - columns.starts.min() < GRID and columns.ends.max() - moments[-1] < GRID


def test_a_rise_is_over_the_lowest_price_of_the_hour_before():
    times = MONDAY + np.array([0.0, 1000.0, 2000.0, 4000.0, 9000.0])
    history = MarketHistory("here", {A: PriceHistory(A, times, [0.2, 0.1, 0.4, 0.3, 0.5])})
    # At 4000 s the price of 400 s, 0.2, is still of the hour; 0.1 is the lowest. At 9000 s only 0.3 is.
    assert np.allclose(Columns(history).rises, [0.0, 0.0, 0.3, 0.2, 0.2])


def test_spells_are_those_of_the_oldest_slot():
    slots = [("old", 0.0, 100.0), ("in it", 10.0, 90.0), ("younger", 50.0, 200.0), ("later", 300.0, math.inf)]
    capacity = CapacityHistory.from_lifetimes(B, [(n, MONDAY + s, MONDAY + e) for n, s, e in slots])
    columns = Columns(MarketHistory("here", {}, {B: capacity}))
    assert (columns.spell_begins - MONDAY).tolist() == [0.0, 100.0, 300.0]
    assert (columns.spell_ends - MONDAY).tolist() == [100.0, 200.0, math.inf]
    assert (columns.spell_slots - MONDAY).tolist() == [0.0, 50.0, 300.0]


def test_a_pool_that_never_had_a_slot_has_no_spell():
    empty = CapacityHistory.from_counts(A, [MONDAY, MONDAY + 600], np.array([0, 0]), end=MONDAY + 7200)
    columns = Columns(MarketHistory("here", {}, {A: empty}))
    assert len(columns.spell_begins) == 0
    assert columns.count_at(0, MONDAY + 700) == 0
