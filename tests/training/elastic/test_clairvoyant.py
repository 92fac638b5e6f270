"""No policy is cheaper than the bound, whatever it does; and the bound is not idle."""

import math
from itertools import pairwise

import numpy as np
import pytest
from clairvoyant_markets import BY_SECOND, HOURLY, A, B, goal_of, market_of, progress_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.data.catalogs import aws_catalog
from tradewind.data.recorded_histories import history
from tradewind.errors import Misuse
from tradewind.market.billing.hourly_with_refund import HourlyWithRefund
from tradewind.market.charges import add_up
from tradewind.market.demands import Demand
from tradewind.market.instances import Instance
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.offers import Bid, Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.session.trials import trial
from tradewind.training.elastic.bidding.cheapest_spot import CheapestSpot
from tradewind.training.elastic.bidding.on_demand import OnDemand
from tradewind.training.elastic.clairvoyant import cheapest_possible
from tradewind.training.elastic.modelled_work import ModelledWork
from tradewind.training.view import Goal, Progress

STEPS = st.lists(
    st.tuples(st.integers(1, 400).map(lambda n: 97.0 * n), st.integers(2, 40).map(lambda n: n / 20)),
    max_size=14,
    unique_by=lambda step: step[0],
).map(lambda steps: [(0.0, 0.5), *sorted(steps)])
LIVES = st.lists(
    st.tuples(st.integers(0, 300), st.integers(1, 200)).map(lambda life: (97.0 * life[0], 97.0 * sum(life))),
    min_size=1,
    max_size=5,
    unique=True,
)
MOVES = st.lists(
    st.tuples(
        st.sampled_from([A, B, "steady"]),
        st.sampled_from([0.0, 0.0, 61.0, 500.0, 2900.0]),
        st.sampled_from([130.0, 700.0, 1900.0, 3600.0, 3601.0, 7200.0, 9000.0, 30_000.0]),
        st.sampled_from([0.0, 0.05, 0.3, 5.0]),
    ),
    min_size=1,
    max_size=8,
)


def carried_out(market, start, moves, startup):
    """One vCPU that takes and leaves leases as `moves` say: dollars, seconds of work, the last end.

    A lease under notice that has worked is followed before it ends, any other after.
    """
    now, cost, work, last = start, 0.0, 0.0, start
    for number, (place, wait, hold, above) in enumerate(moves):
        now += wait
        pool, terms = (A, Terms.ON_DEMAND) if place == "steady" else (place, Terms.SPOT)
        limit = None
        if terms is Terms.SPOT:
            limit = market.history.prices[pool].at(now) + above
        grants = market.grant(Bid(pool, terms, 1, limit), now)
        if not grants:
            continue
        (grant,) = grants
        lease = Lease(LeaseId(f"l{number}"), Instance("i", grant.type, pool.zone), terms, now, limit)
        coming = market.revocation(lease, grant)
        if coming is not None and coming.due <= now + hold:
            end, ending, free = coming.due, Ending.REVOKED, coming.warned
            if end - startup < free:
                free = end
        else:
            end, ending, free = now + hold, Ending.RELEASED, now + hold
        ended = Lease(lease.id, lease.instance, terms, now, limit, ended=end, ending=ending)
        cost += float(add_up(each.amount for each in market.charges(ended, end)))
        work += max(0.0, end - now - startup)
        now, last = max(now, free), max(last, end)
    return cost, work, last


@settings(max_examples=60, deadline=None)
@given(
    prices=st.tuples(STEPS, STEPS),
    lives=st.none() | LIVES,
    moves=MOVES,
    startup=st.sampled_from([0.0, 7.5, 60.0, 180.0, 4000.0]),
    notice=st.sampled_from([0.0, 30.0, 120.0]),
    era=st.sampled_from(["refunds", "paid", "by second"]),
    offset=st.sampled_from([0.0, 13.7]),
)
def test_whatever_is_taken_and_left_costs_no_less(prices, lives, moves, startup, notice, era, offset) -> None:
    begin = BY_SECOND if era == "by second" else HOURLY
    market = market_of(
        {A: prices[0], B: prices[1]},
        begin,
        lives=None if lives is None else {B: lives},
        notice=notice,
        refunds=era != "paid",
    )
    start = begin + offset
    cost, work, last = carried_out(market, start, moves, startup)
    if work <= 0:
        return
    bound = cheapest_possible(
        market, goal_of(kinds=("small",)), progress_of(work, startup), start, horizon=last - start
    )
    # Work that two leases did at once while one was under notice can make it shorter than it could be alone.
    if math.isfinite(bound.cost):
        assert bound.cost <= cost + 1e-6
    else:
        assert last - start < startup + work


def brute_force(market, start, horizon, work, startup, step):
    """The least cost of one vCPU over all chains of leases that start and end at multiples of `step`."""
    best = math.inf
    moments = [start + at for at in np.arange(0, horizon + 1, step)]

    def extend(vacant, busy, done, cost):
        nonlocal best
        if cost >= best:
            return
        if done >= work - 1e-6:
            best = cost
            return
        for begin in [moment for moment in moments if moment >= vacant]:
            for pool, terms in ((A, Terms.SPOT), (B, Terms.SPOT), (A, Terms.ON_DEMAND)):
                grants = market.grant(Bid(pool, terms, 1, None if terms is not Terms.SPOT else 9.0), begin)
                if not grants:
                    continue
                for end in [moment for moment in moments if moment > begin + startup]:
                    lease = Lease(LeaseId("l"), Instance("i", grants[0].type, pool.zone), terms, begin, 9.0)
                    coming = market.revocation(lease, grants[0])
                    due = math.inf if coming is None else coming.due
                    if end > due:
                        break
                    ending = Ending.REVOKED if end == due else Ending.RELEASED
                    over = Lease(lease.id, lease.instance, terms, begin, 9.0, ended=end, ending=ending)
                    bill = float(add_up(each.amount for each in market.charges(over, end)))
                    extend(end, end, done + end - max(begin + startup, busy), cost + bill)

    extend(start, start, 0.0, 0.0)
    return best


@settings(max_examples=12, deadline=None)
@given(
    price=st.tuples(st.sampled_from([0.2, 0.5, 0.9]), st.sampled_from([0.3, 0.6])),
    lives=st.tuples(
        *[st.lists(st.tuples(st.integers(0, 6), st.integers(1, 4)), min_size=1, max_size=2, unique=True)] * 2
    ),
    hours=st.sampled_from([1, 2]),
)
def test_one_instance_at_standing_prices_costs_what_trying_everything_finds(price, lives, hours) -> None:
    """Over slots that begin and end at half-hours, which the grid meets: so nothing but the grid is lost."""
    step, startup = 1800.0, 600.0
    slots = []
    for each in lives:
        ends = sorted({(1800.0 * a, 1800.0 * (a + b)) for a, b in each})
        slots.append([life for n, life in enumerate(ends) if n == 0 or life[0] >= ends[n - 1][1]])
    market = market_of(
        {A: [(0, price[0])], B: [(0, price[1])]},
        BY_SECOND,
        lives={A: slots[0], B: slots[1]},
        notice=0.0,
    )
    horizon, work = 1800.0 * 6, 3600.0 * hours - 1200
    tried = brute_force(market, BY_SECOND, horizon, work, startup, step)
    bound = cheapest_possible(
        market, goal_of(kinds=("small",)), progress_of(work, startup), BY_SECOND, horizon=horizon
    )
    assert bound.exact
    assert bound.cost <= tried + 1e-9
    # All that rounding gives away, either way, are some cells of 5 seconds for each of some leases.
    easier = cheapest_possible(
        market, goal_of(kinds=("small",)), progress_of(work - 90.0, startup), BY_SECOND, horizon=horizon
    )
    assert easier.cost <= easier.attained <= tried + 1e-9
    assert bound.cost >= easier.attained - 90 / 3600


@pytest.mark.parametrize(("work", "cost", "leases"), [(10_680.0, 2.0, 1), (10_550.0, 1.5, 2)])
def test_paying_each_hour_by_hand(work, cost, leases) -> None:
    """The price doubles after two hours. Where no start-up can be lost that is paid; else a lease that is
    taken just before has the third hour at the old price.
    """
    market = market_of({A: [(0, 0.5), (7200, 1.0)], B: [(0, 0.7)]}, HOURLY, refunds=False, notice=0.0)
    bound = cheapest_possible(
        market, goal_of(kinds=("small",)), progress_of(work, 120.0), HOURLY, horizon=10_800.0
    )
    assert bound.attained == pytest.approx(cost)
    assert 0.97 * cost < bound.cost <= cost
    assert len(bound.hindsight.leases) == leases


def test_an_hour_that_the_price_cuts_is_free_where_the_era_says_so() -> None:
    steps = [(0, 0.5), (3590, 0.6), (3595, 0.5)]
    free = market_of({A: steps}, HOURLY, notice=0.0)
    paid = market_of({A: steps}, HOURLY, notice=0.0, refunds=False)
    goal, progress = goal_of(kinds=("small",)), progress_of(3500.0, 60.0)
    with_refund = cheapest_possible(free, goal, progress, HOURLY, horizon=3600.0)
    assert with_refund.cost == 0.0
    assert with_refund.attained == 0.0
    assert with_refund.hindsight.leases[0].revoked
    assert with_refund.hindsight.leases[0].limit == 0.5
    for market, refunds in ((paid, True), (paid, False), (free, False)):
        without = cheapest_possible(market, goal, progress, HOURLY, refunds=refunds, horizon=3600.0)
        assert 0.95 * 0.5 < without.cost <= without.attained == pytest.approx(0.5)


def test_the_servers_are_paid_for_the_shortest_time() -> None:
    market = market_of({A: [(0, 0.5)]}, HOURLY, refunds=False)
    bound = cheapest_possible(
        market, goal_of(4.0, servers=2), progress_of(4 * 7000.0, 300.0), HOURLY, horizon=30_000.0
    )
    assert bound.state == 2 * 1.0 * 3  # 7300 seconds are three started hours
    assert bound.cost == bound.workers + bound.state
    assert bound.workers <= 4 * 0.5 * 3
    assert bound.attained >= bound.cost


@pytest.mark.parametrize(("horizon", "possible"), [(3700.0, True), (3599.0, False)])
def test_what_nobody_can_do_in_time_costs_infinitely_much(horizon, possible) -> None:
    market = market_of({A: [(0, 0.5)]}, BY_SECOND)
    bound = cheapest_possible(market, goal_of(), progress_of(3500.0, 100.0), BY_SECOND, horizon=horizon)
    assert math.isfinite(bound.cost) == possible
    assert (bound.attained is not None) == possible


def test_a_job_that_is_done_costs_nothing_and_one_without_a_place_infinitely_much() -> None:
    market = market_of({A: [(0, 0.5)]}, BY_SECOND)
    assert cheapest_possible(market, goal_of(), Progress(5.0, 5.0, 0.0, 1.0, 0.0), BY_SECOND).cost == 0
    nowhere = goal_of(kinds=("huge",))
    assert math.isinf(cheapest_possible(market, nowhere, progress_of(10.0, 0.0), BY_SECOND).cost)


def test_the_deadline_is_the_horizon_and_nonsense_is_none() -> None:
    market = market_of({A: [(0, 0.5)]}, BY_SECOND)
    goal = goal_of(deadline=BY_SECOND + 9000.0)
    assert cheapest_possible(market, goal, progress_of(10.0, 0.0), BY_SECOND).until == BY_SECOND + 9000
    alone = cheapest_possible(market, goal_of(), progress_of(1000.0, 100.0), BY_SECOND)
    assert alone.until == BY_SECOND + 2200.0
    for horizon in (math.nan, math.inf):
        with pytest.raises(Misuse, match="horizon"):
            cheapest_possible(market, goal_of(), progress_of(10.0, 0.0), BY_SECOND, horizon=horizon)


def test_more_time_and_fewer_limits_never_cost_more() -> None:
    steps = [(0, 0.9), (9000, 0.3), (20_000, 0.8), (40_000, 0.2), (60_000, 0.9)]
    market = market_of({A: steps, B: [(0, 0.7)]}, HOURLY, refunds=False)
    costs = [
        cheapest_possible(
            market, goal_of(8.0), progress_of(8 * 7000.0, 60.0), HOURLY, horizon=hours * 3600.0
        ).cost
        for hours in (2.2, 4, 8, 16)
    ]
    assert all(later <= sooner * 1.001 for sooner, later in pairwise(costs))
    assert costs[-1] < 0.5 * costs[0]


@pytest.mark.parametrize(
    ("policy", "day"), [(CheapestSpot(), 3), (OnDemand(), 30), (CheapestSpot(move_when=0.1), 60)]
)
def test_no_run_on_the_shipped_prices_is_cheaper(policy, day) -> None:
    """Billed by the second, at prices that move, in four regions: whole runs through the controller."""
    recorded = history("aws-2020", types=("p2.xlarge", "p3.2xlarge"), zones=("us-east-1",))
    market = RecordedMarket(recorded, aws_catalog(), boot=60.0, on_demand=("us-east-1",))
    goal = Goal(
        workers=Demand(resources=Resources(vcpus=1), count=8, instance_types=("p2.xlarge", "p3.2xlarge")),
        state=Demand(resources=Resources(vcpus=2, memory_gib=8)),
    )
    most = 8 * 8.0
    start = recorded.start + 86_400.0 * day
    work = ModelledWork(most * 3600.0 * 5, 1.0, startup=120.0, clock_seconds=0.0)
    result = trial(market, goal, policy, work, start)
    job = progress_of(most * 3600.0 * 5, 120.0)
    free = cheapest_possible(market, goal, job, start, horizon=result.seconds + 60)
    paid = cheapest_possible(market, goal, job, start, refunds=False, horizon=result.seconds + 60)
    assert 0 < free.cost <= paid.cost <= result.cost
    assert free.attained <= paid.attained <= 1.03 * paid.cost


def test_the_bound_on_the_prices_of_2015_is_near_what_hindsight_gets(bench_data) -> None:
    recorded = history(bench_data("spot/prices-2015.csv.gz"), types=("c3.xlarge", "m3.medium"))
    market = RecordedMarket(
        recorded,
        aws_catalog(),
        boot=60.0,
        spot_rule=HourlyWithRefund(refunds=False),
        on_demand=("us-east-1",),
    )
    goal = Goal(
        workers=Demand(resources=Resources(vcpus=1), count=512, instance_types=("c3.xlarge", "m3.medium")),
        state=Demand(resources=Resources(vcpus=2, memory_gib=8)),
        vcpus=512.0,
    )
    for day in (20, 55, 90, 125):
        start = recorded.start + 86_400.0 * day
        bound = cheapest_possible(market, goal, progress_of(512 * 3600.0 * 20, 60.0), start)
        assert bound.cost <= bound.attained <= 1.1 * bound.cost
        held = sorted({each.start for each in bound.hindsight.leases})
        for moment in held:
            at_once = sum(
                each.count * KINDS_OF_2015[each.pool.instance_type]
                for each in bound.hindsight.leases
                if each.start <= moment < each.end
            )
            assert at_once <= 512


KINDS_OF_2015 = {"c3.xlarge": 4, "m3.medium": 1}
