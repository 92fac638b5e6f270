"""Runs in the recorded past: they tell of revocations and waiting, and see nothing after the present."""

import msgspec
import numpy as np
import pytest

from tradewind.estimates.run_time import Interval
from tradewind.market.demands import Demand
from tradewind.market.histories import MarketHistory, PriceHistory
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.session.past_runs import FEWEST, RUNS, past_runs
from tradewind.session.spec import make_spec
from tradewind.testing.providers import START, A, market
from tradewind.training.elastic.bidding.cheapest_spot import CheapestSpot
from tradewind.training.elastic.bidding.on_demand import OnDemand
from tradewind.training.view import Goal, Progress

DAY = 43_200.0
"""From the beginning of the market to the present: half of what is recorded."""
SPEC = make_spec({"learner": "LinearLearner", "data": "adult", "workers": {"count": 1}}, source="test")
GOAL = Goal(Demand(resources=Resources(vcpus=1), count=1), Demand(resources=Resources(vcpus=1), count=1))
JOB = Progress(0.0, 2 * 1800.0, 0.0, 1.0, 30.0)
"""Half an hour on two vCPUs."""


def seen(prices, now=DAY, policy=None, goal=GOAL, span=7200.0, progress=JOB):
    history = market({A: prices}, {}, boot=30)
    return past_runs(SPEC, policy or CheapestSpot(), history, goal, START + now, progress, span)


def steady(end=1.9 * DAY):
    return [(0, 0.5), (end, 0.5)]


def test_a_quiet_past_gives_the_time_that_the_work_takes():
    told = seen(steady())
    assert told.runs == RUNS and told.revocations == 0
    assert told.seconds.expected == pytest.approx(1800, rel=0.1)
    assert told.seconds.low == pytest.approx(told.seconds.high, rel=0.02)


def test_revocations_of_the_past_are_in_the_time_and_in_the_cost():
    """Twice an hour the price rises far above anybody's limit for a quarter of an hour."""
    wild = [(at * 900.0, 9.0 if at % 2 else 0.5) for at in range(int(1.9 * DAY / 900))]
    told, quiet = seen(wild), seen(steady())
    assert told.revocations > 0
    assert told.cost.low > quiet.cost.high


def test_nothing_after_the_present_is_seen():
    calm_then = [*steady(DAY)[:1], (DAY + 1, 77.0), (1.9 * DAY, 77.0)]
    assert seen(calm_then) == seen(steady())


def test_too_short_a_past_tells_nothing():
    assert seen(steady(), now=7000.0) is None
    assert seen(steady(), now=7200.0 + 600.0, progress=msgspec.structs.replace(JOB, total=1e9)) is None


def test_runs_that_would_miss_the_deadline_are_no_picture():
    hopeless = msgspec.structs.replace(GOAL, deadline=START + DAY + 60.0)
    assert seen(steady(), goal=hopeless) is None


def test_on_demand_costs_what_it_costs():
    told = seen(steady(), policy=OnDemand())
    assert told.runs >= FEWEST and told.cost.expected > seen(steady()).cost.expected


def test_a_product_of_intervals_keeps_its_order():
    told = Interval(1.0, 2.0, 4.0).times(Interval(0.5, 1.0, 2.0))
    assert (told.low, told.expected, told.high) == (0.5, 2.0, 8.0)


def test_a_market_until_a_moment_ends_there():
    prices = PriceHistory(A, np.array([START, START + DAY]), np.array([1.0, 2.0]), end=START + 2 * DAY)
    whole = market({A: [(0, 1.0), (DAY, 2.0)]}, {}, boot=30)
    cut = whole.until(START + 3600.0)
    assert isinstance(cut, RecordedMarket) and cut.history.end <= START + 3600.0 < whole.history.end
    assert cut.offers(START + 60.0) == whole.offers(START + 60.0)
    assert MarketHistory("x", {A: prices}).window(START, START + 3600.0).end <= START + 3600.0
