from __future__ import annotations

import bisect
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.market.histories import CapacityHistory, MarketHistory, PriceHistory, Slot
from tradewind.market.instances import Pool

POOL = Pool("p2.xlarge", "us-east-1a")
OTHER = Pool("p3.2xlarge", "us-west-2b")


def steps(values, spacing=10.0, start=1000.0):
    return [start + spacing * k for k in range(len(values))], values


PRICES = st.lists(st.sampled_from([0.1, 0.2, 0.25, 0.3, 1.0]), min_size=1, max_size=60)
MOMENT = st.floats(950, 1700).map(lambda x: round(x, 1))


def plain_at(times, values, moment):
    return values[bisect.bisect_right(times, moment) - 1]


@settings(max_examples=60, deadline=None)
@given(PRICES, MOMENT)
def test_price_at_is_the_last_record_before(values, moment):
    times, values = steps(values)
    history = PriceHistory(POOL, times, values)
    if moment < 1000:
        with pytest.raises(Misuse, match="no price at"):
            history.at(moment)
    else:
        assert history.at(moment) == plain_at(times, values, moment)


@settings(max_examples=80, deadline=None)
@given(PRICES, MOMENT, MOMENT, st.sampled_from([0.05, 0.1, 0.2, 0.26, 0.9, 1.0, 2.0]))
def test_searches_agree_with_a_plain_loop(values, after, before, level):
    times, values = steps(values)
    history = PriceHistory(POOL, times, values)
    changes = [
        (t, v) for k, (t, v) in enumerate(zip(times, values, strict=True)) if not k or values[k - 1] != v
    ]
    above = [t for t, v in changes if after < t <= before and v > level]
    below = [t for t, v in changes if after < t <= before and v < level]
    assert history.first_above(level, after, before) == (above[0] if above else None)
    assert history.first_below(level, after, before) == (below[0] if below else None)
    later = [t for t, _ in changes if t > after]
    assert history.next_change(after) == (later[0] if later else None)


@pytest.mark.parametrize("size", [1, 255, 256, 257, 511, 513, 5000])
def test_long_searches_agree_with_a_plain_loop(size):
    chance = np.random.default_rng(size)
    values = chance.normal(1.0, 0.1, size).clip(0.01)
    times = np.arange(size) * 7.0
    history = PriceHistory(POOL, times, values)
    for _ in range(60):
        after, before = chance.uniform(-10, 7 * size + 10, 2)
        level = float(chance.choice([0.7, 0.8, 1.0, 1.2, 1.3, 1.4]))
        inside = (times > after) & (times <= before)
        above = times[inside & (values > level)]
        below = times[inside & (values < level)]
        assert history.first_above(level, after, before) == (above[0] if len(above) else None)
        assert history.first_below(level, after, before) == (below[0] if len(below) else None)


def test_a_price_equal_to_the_level_is_neither_above_nor_below():
    history = PriceHistory(POOL, [0, 10, 20], [1.0, 2.0, 1.0])
    assert history.first_above(2.0, 0) is None
    assert history.first_below(1.0, 0) is None
    assert history.first_above(1.5, 0) == 10
    assert history.first_above(1.5, 10) is None


def test_repeated_prices_are_no_change_but_count_for_the_span():
    history = PriceHistory(POOL, [0, 10, 20, 30], [1.0, 1.0, 2.0, 2.0])
    assert history.times.tolist() == [0, 20]
    assert history.next_change(0) == 20
    assert (history.start, history.end) == (0, 30)
    assert history.covers(30) and not history.covers(30.5)
    assert history.at(1e9) == 2.0


@settings(max_examples=40, deadline=None)
@given(PRICES, MOMENT, st.floats(0, 300), MOMENT)
def test_a_window_has_the_same_prices(values, low, length, moment):
    times, values = steps(values)
    history = PriceHistory(POOL, times, values)
    high = low + length
    if high < history.start or low > history.end:
        with pytest.raises(Misuse, match="nothing recorded"):
            history.window(low, high)
        return
    window = history.window(low, high)
    assert (window.start, window.end) == (max(low, history.start), min(high, history.end))
    if window.covers(moment):
        assert window.at(moment) == history.at(moment)


def test_shifting_moves_every_moment():
    history = PriceHistory(POOL, [0, 10], [1.0, 2.0], end=15).shifted(100)
    assert (history.times.tolist(), history.end) == ([100, 110], 115)
    assert history.moved(OTHER).pool == OTHER


@pytest.mark.parametrize(
    ("times", "prices", "field"),
    [
        ([0, 0], [1.0, 2.0], "time"),
        ([10, 0], [1.0, 2.0], "time"),
        ([0, math.nan], [1.0, 2.0], "time"),
        ([0, 1], [1.0, -2.0], "price"),
        ([0, 1], [1.0, 0.0], "price"),
        ([0, 1], [1.0, math.nan], "price"),
        ([0, 1], [1.0, math.inf], "price"),
        ([], [], "price"),
        ([0, 1], [1.0], "price"),
    ],
)
def test_wrong_prices_are_refused(times, prices, field):
    with pytest.raises(Misuse) as caught:
        PriceHistory(POOL, times, prices)
    assert caught.value.field == field
    assert str(POOL) in caught.value.source


def test_arrays_cannot_be_altered():
    history = PriceHistory(POOL, [0, 10], [1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        history.prices[0] = 5.0


COUNTS = st.lists(st.integers(0, 4), min_size=1, max_size=40)


@settings(max_examples=80, deadline=None)
@given(COUNTS, MOMENT)
def test_slots_from_counts_are_as_many_as_counted(counts, moment):
    times, counts = steps(counts)
    capacity = CapacityHistory.from_counts(POOL, times, counts, end=times[-1] + 10)
    expected = plain_at(times, counts, moment) if times[0] <= moment <= times[-1] + 10 else 0
    assert capacity.available(moment) == len(capacity.slots(moment)) == expected
    for slot in capacity.all_slots():
        number = int(slot.id)
        inside = [t for t, c in zip(times, counts, strict=True) if slot.start <= t < slot.end]
        assert all(plain_at(times, counts, t) > number for t in inside)
        if math.isfinite(slot.end):
            assert plain_at(times, counts, slot.end) <= number


@settings(max_examples=60, deadline=None)
@given(COUNTS, MOMENT, st.integers(-1, 4))
def test_first_available_above_agrees_with_a_plain_loop(counts, after, level):
    times, counts = steps(counts)
    capacity = CapacityHistory.from_counts(POOL, times, counts)
    changes = [t for k, t in enumerate(times) if (not k or counts[k - 1] != counts[k])]
    expected = [t for t in changes if t > after and plain_at(times, counts, t) > level]
    assert capacity.first_available_above(level, after) == (expected[0] if expected else None)


def test_lifetimes_are_slots_the_oldest_first():
    capacity = CapacityHistory.from_lifetimes(
        POOL, [("b", 5, 20), ("a", 0, 10), ("c", 5, math.inf), ("a", 12, 14)], end=30
    )
    assert capacity.slots(6) == (Slot("a", 0, 10), Slot("b", 5, 20), Slot("c", 5, math.inf))
    assert [slot.id for slot in capacity.slots(13)] == ["b", "c", "a"]
    assert capacity.available(10) == 2
    assert capacity.available(30) == 1
    assert capacity.available(31) == 0
    assert capacity.slots(-1) == ()
    assert capacity.next_change(5) == 10
    moved = capacity.shifted(100).moved(OTHER)
    assert moved.pool == OTHER
    assert [slot.start for slot in moved.slots(106)] == [100, 105, 105]


@pytest.mark.parametrize(
    "lives", [[("a", 5, 5)], [("a", 5, 4)], [("a", math.nan, 4)], [("a", 1, 4), ("a", 1, 5)]]
)
def test_wrong_lifetimes_are_refused(lives):
    with pytest.raises(Misuse, match=r"p2\.xlarge@us-east-1a"):
        CapacityHistory.from_lifetimes(POOL, lives)


def test_capacity_needs_a_slot_or_a_span():
    with pytest.raises(Misuse, match="no slot and no span"):
        CapacityHistory.from_lifetimes(POOL, [])
    none = CapacityHistory.from_lifetimes(POOL, [], start=0, end=10)
    assert none.available(5) == 0
    with pytest.raises(Misuse, match="whole number"):
        CapacityHistory.from_counts(POOL, [0, 1], [1, -1])
    with pytest.raises(Misuse, match="whole number"):
        CapacityHistory.from_counts(POOL, [0, 1], [1.5, 1])


def market():
    return MarketHistory(
        "test",
        {
            OTHER: PriceHistory(OTHER, [50, 60], [2.0, 3.0]),
            POOL: PriceHistory(POOL, [0, 100], [1.0, 2.0]),
        },
        {POOL: CapacityHistory.from_counts(POOL, [10, 20], [1, 0], end=40)},
    )


def test_a_market_is_selected_by_type_zone_and_region():
    assert market().pools == (POOL, OTHER)
    assert (market().start, market().end) == (0, 100)
    assert market().select(["p2.xlarge"]).pools == (POOL,)
    assert market().select(zones=["us-west-2"]).pools == (OTHER,)
    assert market().select(zones=["us-west-2b"]).pools == (OTHER,)
    assert market().select(["p2.xlarge"]).capacities.keys() == {POOL}
    assert market().shifted(1000).capacities[POOL].available(1015) == 1


@pytest.mark.parametrize(
    ("types", "zones", "message"),
    [
        (["p2.xlarg"], [], "Did you mean 'p2.xlarge'"),
        ([], ["us-east-1b"], "Did you mean 'us-east-1a'"),
        ([], ["us"], "not recorded"),
        (["p2.xlarge"], ["us-west-2"], "no pool has such a type"),
    ],
)
def test_an_unknown_type_or_zone_is_refused_with_a_suggestion(types, zones, message):
    with pytest.raises(Misuse, match=message):
        market().select(types, zones)


def test_prices_of_one_source_join_the_capacity_of_another():
    lives = CapacityHistory.from_lifetimes(OTHER, [("a", 0, 55)], end=70)
    joined = market().with_capacity([lives])
    assert joined.capacities[OTHER].available(54) == 1
    assert joined.capacities[POOL].available(15) == 1
    with pytest.raises(Misuse, match="no prices of"):
        market().with_capacity([lives.moved(Pool("p2.xlarge", "us-east-1b"))])
    priced = MarketHistory("lives", {}, {OTHER: lives}).with_prices([market().price(OTHER)])
    assert priced.price(OTHER).at(55) == 2.0
    with pytest.raises(Misuse, match="no pool is recorded"):
        MarketHistory("none", {})
    with pytest.raises(Misuse, match="no notice"):
        MarketHistory("late", market().prices, notice=-1.0)


def test_a_window_of_a_market_leaves_out_what_was_not_recorded_then():
    window = market().window(70, 90)
    assert window.pools == (POOL,)
    assert (window.start, window.end) == (70, 90)
    assert not window.capacities
