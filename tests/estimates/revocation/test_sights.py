from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_histories import MONDAY, A, B, C, spot

from tradewind.data.catalogs import aws_catalog
from tradewind.estimates.outlook import NEVER
from tradewind.estimates.revocation.columns import SIGHT, Columns
from tradewind.estimates.revocation.sights import FEATURES, look_ahead, look_back, situations
from tradewind.market.histories import CapacityHistory, MarketHistory, PriceHistory
from tradewind.market.instances import Instance, Pool
from tradewind.market.leases import Lease, LeaseId
from tradewind.market.offers import Bid, Terms
from tradewind.market.recorded import RecordedMarket

DELTAS = np.array([0.001, 0.01, 0.1])
REAL = Pool("m3.medium", "us-east-1a")


def column(sights, name):
    return sights.features[:, FEATURES.index(name)]


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_life_ends_when_the_market_ends_the_lease(data):
    """The ground truth is what `market.recorded` does to a lease, whatever the prices and the slots."""
    gaps = data.draw(st.lists(st.floats(1, 9000), min_size=1, max_size=30))
    times = MONDAY + np.concatenate([[0.0], np.cumsum(gaps)])
    values = data.draw(
        st.lists(st.sampled_from((0.01, 0.011, 0.02, 0.05, 0.3)), min_size=len(times), max_size=len(times))
    )
    end = float(times[-1]) + data.draw(st.floats(0, 9000))
    capacities = {}
    if data.draw(st.booleans()):
        counts = data.draw(st.lists(st.integers(0, 3), min_size=len(times), max_size=len(times)))
        capacities = {REAL: CapacityHistory.from_counts(REAL, times, np.array(counts), end=end)}
    history = MarketHistory("here", {REAL: PriceHistory(REAL, times, values, end=end)}, capacities)
    market = RecordedMarket(history, aws_catalog(), boot=0.0)
    moments = np.array(data.draw(st.lists(st.floats(MONDAY, end), min_size=1, max_size=5)))
    columns = Columns(history)
    cases = situations(columns, moments)
    lives = look_ahead(columns, cases, DELTAS)
    for n, moment in enumerate(moments.tolist()):
        for d, delta in enumerate(DELTAS.tolist()):
            limit = history.prices[REAL].at(moment) + delta
            grants = market.grant(Bid(REAL, Terms.SPOT, limit=limit), moment)
            assert lives.leasable[n] == bool(grants)
            if not grants:
                assert lives.seconds[n, d] == 0
                continue
            instance = Instance("i", grants[0].type, REAL.zone)
            lease = Lease(LeaseId("l"), instance, Terms.SPOT, moment, limit)
            news = market.revocation(lease, grants[0])
            due = math.inf if news is None else news.due - moment
            assert lives.seconds[n, d] == (due if due <= SIGHT else NEVER)
        assert lives.recorded[n] == end - moment


def test_no_lease_begins_outside_of_the_record(priced):
    columns = Columns(priced)
    cases = situations(columns, np.array([priced.start - 1, priced.end + 1]))
    lives = look_ahead(columns, cases, DELTAS)
    assert not lives.leasable.any() and not lives.seconds.any()


def test_looking_back_sees_what_stood_above_and_what_rose():
    times = MONDAY + np.array([0.0, 3600.0, 5400.0, 50_000.0, 50_300.0])
    prices = PriceHistory(A, times, [0.1, 0.15, 0.105, 0.3, 0.1], end=MONDAY + 2e5)
    columns = Columns(MarketHistory("here", {A: prices}))
    at = MONDAY + np.array([6000.0, 50_400.0, 190_000.0])
    sights = look_back(columns, situations(columns, at), DELTAS)
    # Bids of 0.106, 0.115 and 0.205; then of 0.101, 0.11, 0.2; then a day of calm.
    assert sights.above.tolist() == [[600, 600, SIGHT], [100, 100, 100], [SIGHT, SIGHT, SIGHT]]
    assert sights.risen.tolist() == [[600, 2400, SIGHT], [400, 400, 400], [SIGHT, SIGHT, SIGHT]]
    assert np.allclose(column(sights, "the day's highest over price")[:2], np.log([0.15 / 0.105, 3.0]))
    assert np.allclose(column(sights, "price over the day's lowest")[:2], np.log([1.05, 1.0]))
    assert np.allclose(np.expm1(column(sights, "changes in the hour")), [2, 2, 0])
    assert np.isnan(column(sights, "slots")).all()


def test_what_was_known_before_is_seen_from_then():
    times = MONDAY + np.array([0.0, 1000.0, 5000.0])
    history = MarketHistory("here", {A: PriceHistory(A, times, [0.1, 0.2, 0.1], end=MONDAY + 1e5)})
    columns = Columns(history)
    cases = situations(columns, MONDAY + np.array([9000.0])).known_before(np.array([7500.0]))
    sights = look_back(columns, cases, DELTAS)
    assert sights.above[0, 0] == 0, "the price last known stands above the one that now does"
    assert sights.risen[0, 0] == 500
    assert column(sights, "age of what is known")[0] == pytest.approx(math.log1p(7500))


def test_slots_show_their_age_and_share():
    slots = [("a", 0.0, 40_000.0), ("b", 10_000.0, 30_000.0), ("c", 60_000.0, math.inf)]
    capacity = CapacityHistory.from_lifetimes(
        B, [(n, MONDAY + s, MONDAY + e) for n, s, e in slots], end=MONDAY + 200_000
    )
    columns = Columns(MarketHistory("here", {}, {B: capacity}))
    cases = situations(columns, MONDAY + np.array([20_000.0, 50_000.0, 86_400.0]))
    sights = look_back(columns, cases, DELTAS)
    assert np.allclose(np.expm1(column(sights, "slots")), [2, 0, 1])
    assert np.allclose(np.expm1(column(sights, "age of the oldest slot")), [20_000, 0, 26_400])
    assert np.allclose(column(sights, "share of the day with a slot"), [1, 0.8, 66_400 / 86_400])
    assert np.allclose(column(sights, "share of six hours with a slot"), [1, 11_600 / 21_600, 1])
    assert np.allclose(np.expm1(column(sights, "ends of a slot in the day")), [0, 1, 1])
    assert np.isnan(column(sights, "changes in the hour")).all()


@pytest.mark.parametrize("which", ["priced", "counted"])
def test_looking_back_knows_nothing_later(which, request, made_up):
    """Another future, from the last moment known on, shows the same."""
    history = request.getfixturevalue(which)
    longer = getattr(made_up, which)(12.0)
    known = MONDAY + 12 * 86400.0 - 1
    changed = MarketHistory(
        "other",
        {
            pool: PriceHistory(pool, [*each.window(each.start, known).times, known + 10], [*each.window(
                each.start, known).prices, 7.0], end=known + 100)
            for pool, each in history.prices.items()
        },
        {
            pool: CapacityHistory(
                pool,
                [name for name, start in zip(each.ids, each.starts, strict=True) if start <= known],
                each.starts[each.starts <= known],
                np.where(each.ends > known, known + 5, each.ends)[each.starts <= known],
                start=each.start,
                end=known + 100,
            )
            for pool, each in history.capacities.items()
        },
    )  # fmt: skip
    for other in (changed, longer):
        columns, others = Columns(history), Columns(other)
        cases = situations(columns, np.linspace(MONDAY + 1000, known, 40))
        one, two = look_back(columns, cases, DELTAS), look_back(others, cases, DELTAS)
        assert np.array_equal(one.above, two.above) and np.array_equal(one.risen, two.risen)
        assert np.array_equal(one.features, two.features, equal_nan=True)


def test_situations_go_moment_by_moment(priced):
    columns = Columns(priced)
    moments = MONDAY + np.array([1000.0, 90_000.0])
    cases = situations(columns, moments)
    assert cases.pools.tolist() == [0, 1, 2, 0, 1, 2]
    assert cases.now.tolist() == np.repeat(moments, 3).tolist()
    assert cases.prices[4] == priced.prices[B].at(moments[1])
    assert cases.counts[5] == priced.capacities[C].available(moments[1])
    assert spot(A, 1.0).pool == A
