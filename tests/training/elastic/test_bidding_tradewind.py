"""Our own policy: what it does in plain situations, and on recorded markets from start to end."""

import msgspec
import numpy as np
import pytest
from bidding_views import NOW, leases, spot, steady
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting_views import HOURLY, REFUNDED, A, outlook, view

from tradewind.data.catalogs import aws_catalog
from tradewind.data.recorded_histories import history
from tradewind.errors import Misuse
from tradewind.estimates.outlook import NEVER
from tradewind.estimates.revocation.forecasters import forecaster
from tradewind.market.billing.hourly_with_refund import HourlyWithRefund
from tradewind.market.decisions import Release, Take
from tradewind.market.demands import Demand
from tradewind.market.histories import CapacityHistory, MarketHistory, PriceHistory
from tradewind.market.instances import Pool
from tradewind.market.offers import Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.session.trials import trial
from tradewind.training.elastic.bidding.tradewind import Tradewind
from tradewind.training.elastic.clairvoyant import cheapest_possible
from tradewind.training.elastic.modelled_work import ModelledWork
from tradewind.training.view import Goal, Progress


def decided(seen):
    policy = Tradewind()
    decision, _ = policy.decide(seen, policy.recall())
    takes = [action.bid for action in decision.actions if isinstance(action, Take)]
    drops = [action.lease for action in decision.actions if isinstance(action, Release)]
    return decision, takes, drops


def test_a_view_without_an_outlook_is_refused():
    seen = msgspec.structs.replace(view([spot("c3.xlarge", "a", 0.04)]), outlook=None)
    with pytest.raises(Misuse, match="outlook"):
        decided(seen)


@pytest.mark.parametrize("arguments", [{"reserve": 1.0}, {"reserve": -0.1}, {"patience": 0.5}, {"gain": 1.0}])
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(Misuse):
        Tradewind(**arguments)


def test_cheap_spot_fills_the_job():
    _, takes, _ = decided(view([spot("c3.xlarge", "a", 0.04), steady("c3.xlarge", "a", 0.21)]))
    assert [(bid.pool.zone, bid.terms, bid.count) for bid in takes] == [("a", Terms.SPOT, 2)]


def test_without_spot_it_waits_while_there_is_slack_and_then_goes_on_demand():
    coming = outlook([[NEVER] * 2 + [0.04] * 10, [NEVER] * 6 + [0.04] * 6])
    offers = [steady("c3.xlarge", "a", 0.21)]
    decision, takes, _ = decided(view(offers, left=24.0, shown=coming))
    assert takes == []
    assert "It waits." in decision.reason
    _, takes, _ = decided(view(offers, left=8.11, shown=coming))
    assert [(bid.terms, bid.count) for bid in takes] == [(Terms.ON_DEMAND, 2)]


def test_a_refund_makes_it_bid_low_and_no_refund_high():
    offers = [spot("c3.xlarge", "a", 0.04), steady("c3.xlarge", "a", 0.21)]
    _, takes, _ = decided(view(offers, tariffs=REFUNDED))
    assert {bid.limit for bid in takes} == {0.04 + 0.001}
    _, takes, _ = decided(view(offers, tariffs=HOURLY))
    assert all(bid.limit > 0.041 for bid in takes)


def test_a_paid_hour_is_kept_to_its_end():
    held = leases("c3.xlarge", "a", 2, age=1800.0, limit=0.21)
    decision, takes, drops = decided(
        view([spot("c3.xlarge", "a", 0.2), steady("c3.xlarge", "a", 0.21)], held, tariffs=HOURLY)
    )
    assert (takes, drops) == ([], [])
    assert decision.wake_at <= NOW + 1800.0


def test_at_the_end_of_an_hour_only_what_the_rest_needs_is_renewed():
    held = leases("c3.xlarge", "a", 8, age=3597.0, limit=0.21)
    offers = [spot("c3.xlarge", "a", 0.04), steady("c3.xlarge", "a", 0.21)]
    seen = view(offers, held, hours=0.1, left=3.0, vcpus=32.0, tariffs=HOURLY)
    _, takes, drops = decided(seen)
    assert takes == []
    assert len(drops) == 7  # 3.2 vCPU-hours are left: one of four vCPUs does them in its next hour


def test_on_demand_goes_on_until_its_heir_works():
    offers = [spot("c3.xlarge", "a", 0.04), steady("c3.xlarge", "a", 0.21)]
    held = leases("c3.xlarge", "s", 2, Terms.ON_DEMAND, age=4000.0, name="old")
    _, takes, drops = decided(view(offers, held))
    assert [(bid.terms, bid.count) for bid in takes] == [(Terms.SPOT, 2)]
    assert drops == []
    ready = leases("c3.xlarge", "a", 2, age=61.0, limit=0.21, name="new")
    _, takes, drops = decided(view(offers, [*held, *ready]))
    assert takes == []
    assert set(drops) == {lease.id for lease in held}


def test_what_is_left_is_never_given_up_for_a_price_that_is_hardly_lower():
    offers = [spot("c3.xlarge", "a", 0.0400), spot("c3.xlarge", "b", 0.0395)]
    held = leases("c3.xlarge", "a", 2, age=1000.0, limit=0.21)
    both = outlook([[0.04] * 12], pools=(A, Pool("c3.xlarge", "b")))
    _, takes, drops = decided(view(offers, held, shown=both))
    assert (takes, drops) == ([], [])


def flickering(seed, hours=60):
    """One pool of room for one, that comes and goes in stretches of a random length."""
    rng = np.random.default_rng(seed)
    pool = Pool("p3.2xlarge", "us-east-1c")
    counts, up = [], True
    while len(counts) < hours * 12:
        counts += [int(up)] * int(1 + rng.exponential(rng.uniform(3, 30)))
        up = not up
    times = 300.0 * np.arange(len(counts)) + 1.6e9
    end = times[-1] + 300.0
    capacity = CapacityHistory.from_counts(pool, times, np.asarray(counts), end=end)
    prices = PriceHistory(pool, [1.6e9], [0.9], end=end)
    return MarketHistory("made up", {pool: prices}, {pool: capacity}, notice=0.0)


def job_on(recorded, start, hours, factor, startup=180.0):
    market = RecordedMarket(recorded, aws_catalog(), boot=0.0, on_demand=["us-east-1"])
    goal = Goal(
        workers=Demand(resources=Resources(vcpus=1), instance_types=("p3.2xlarge",)),
        state=Demand(resources=Resources(vcpus=2, memory_gib=4)),
        deadline=start + factor * hours * 3600,
    )
    work = ModelledWork(8 * hours * 3600, 1.0, startup=startup, clock_seconds=5.0)
    result = trial(
        market, goal, Tradewind(), work, start, forecaster=forecaster("empirical", recorded, start)
    )
    return market, goal, result


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from((1.1, 1.3, 2.0)))
def test_it_never_misses_a_deadline_that_on_demand_can_meet(seed, factor):
    recorded = flickering(seed)
    start = recorded.start + 24 * 3600
    _, goal, result = job_on(recorded, start, 6.0, factor)
    assert result.done
    assert start + result.seconds <= goal.deadline


def test_it_costs_less_than_on_demand_and_more_than_the_bound_on_a_flickering_pool():
    recorded = flickering(7)
    start = recorded.start + 24 * 3600
    market, goal, result = job_on(recorded, start, 10.0, 1.5)
    progress = Progress(0.0, 8 * 10.0 * 3600, 0.0, 1.0, 180.0)
    bound = cheapest_possible(market, goal, progress, start)
    assert bound.cost <= result.cost < 0.8 * result.on_demand_cost


@pytest.mark.parametrize("refunds", [True, False])
def test_two_hours_of_512_vcpus_in_2015(bench_data, refunds):
    """Below 1.1 times what nobody can undercut where every hour is paid, and below that with refunds."""
    recorded = history(bench_data("spot/prices-2015.csv.gz"))
    rule = HourlyWithRefund(refunds=refunds)
    market = RecordedMarket(recorded, aws_catalog(), boot=0.0, on_demand=["us-east-1"], spot_rule=rule)
    paying = RecordedMarket(
        recorded, aws_catalog(), boot=0.0, on_demand=["us-east-1"], spot_rule=HourlyWithRefund(refunds=False)
    )
    types = tuple(sorted({pool.instance_type for pool in recorded.pools}))
    cost = bounds = 0.0
    for start in (1.4315e9, 1.4342e9, 1.4375e9):
        goal = Goal(
            workers=Demand(resources=Resources(vcpus=1), count=512, instance_types=types),
            state=Demand(resources=Resources(vcpus=4, memory_gib=7.5), instance_types=types),
            deadline=start + 3 * 3600 + 60,
            vcpus=512.0,
        )
        work = ModelledWork(512 * 7200.0, 1.0, startup=60.0, clock_seconds=30.0, vcpus=512.0)
        shown = forecaster("empirical", recorded, start)
        result = trial(market, goal, Tradewind(), work, start, forecaster=shown)
        assert result.done
        cost += result.cost
        progress = Progress(0.0, 512 * 7200.0, 0.0, 1.0, 60.0)
        bounds += cheapest_possible(paying, goal, progress, start, refunds=False).cost
    assert cost < (0.95 if refunds else 1.1) * bounds
    assert refunds or cost >= bounds
