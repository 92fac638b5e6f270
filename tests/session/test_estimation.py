"""What a run would take and cost: measured, bounded, and nothing of it kept."""

import numpy as np
import pytest

from tradewind.algorithms.linear.learner import LinearLearner
from tradewind.data.streams import open_data
from tradewind.errors import NoCapacity
from tradewind.estimates.run_time import Interval
from tradewind.market.demands import Demand
from tradewind.market.resources import Resources
from tradewind.session.estimation import Speed, estimate_of, measure
from tradewind.testing.providers import START, A, B, market
from tradewind.training.job import Job, learner_of
from tradewind.training.view import Goal

ROW = Interval(1e-5, 2e-5, 4e-5)
VCPUS = Speed(ROW)
ROWS = 36e6
"""At the expected speed an instance of two cores needs 360 s for them."""


def goal(count: int = 1, **needed: float) -> Goal:
    return Goal(
        Demand(resources=Resources(**needed), count=count), Demand(resources=Resources(vcpus=1), count=1)
    )


def dear() -> object:
    return market({A: [(0, 1.0), (3600, 2.0)], B: [(0, 4.0)]}, {}, boot=30)


def estimated(now: float = 10.0, count: int = 1, speed: Speed = VCPUS, **changes):
    asked = {"revocable": True, "servers": False, **changes}
    return estimate_of(dear(), goal(count), START + now, speed, ROWS, **asked)


def test_time_is_work_over_speed_and_the_wait() -> None:
    told = estimated()
    assert told.seconds.low < 360 + 30 < told.seconds.high
    assert told.seconds.expected == pytest.approx(390, rel=0.05)
    assert estimated(count=4).seconds.expected < told.seconds.expected
    assert told.rows_per_second.low < told.rows_per_second.expected < told.rows_per_second.high


def test_cost_is_time_at_the_prices_seen() -> None:
    told = estimated()
    assert told.cost.expected == pytest.approx(told.seconds.expected / 3600, rel=0.05)
    assert told.on_demand_cost.expected == pytest.approx(3 * told.seconds.expected / 3600, rel=0.05)
    later = estimated(now=3700)
    assert later.cost.expected > 1.5 * told.cost.expected and later.cost.low < later.cost.expected
    assert "c9.large@xx-north-1a spot" in told.plan


def test_nothing_after_the_moment_is_seen() -> None:
    assert estimated(now=3599).cost == estimated(now=10).cost


def test_the_state_has_a_lease_of_its_own() -> None:
    without, with_one = estimated(), estimated(servers=True)
    assert with_one.cost.expected == pytest.approx(without.cost.expected * 4, rel=0.05)


def test_who_may_not_use_spot_goes_on_demand() -> None:
    told = estimated(revocable=False)
    assert "on demand" in told.plan and told.cost.expected == pytest.approx(told.on_demand_cost.expected)


def test_local_instances_are_shares_of_this_machine() -> None:
    """An instance of half a core, in a market sixty times as fast, is two cores' 240th part."""
    told = estimated(speed=Speed(ROW, {"c9.large": 0.5}, 60.0))
    assert told.seconds.expected - 30 == pytest.approx(240 * (estimated().seconds.expected - 30), rel=0.01)


def test_nothing_that_fits_is_told() -> None:
    for wrong, words in ((goal(vcpus=64), "workers"), (goal(), "state")):
        asked = (
            wrong
            if words == "workers"
            else Goal(goal().workers, Demand(resources=Resources(vcpus=64), count=1))
        )
        with pytest.raises(NoCapacity, match=words):
            estimate_of(dear(), asked, START + 10, Speed(ROW), ROWS, revocable=True, servers=True)


@pytest.mark.parametrize("consistency", ["bulk_synchronous", "asynchronous"])
def test_a_few_batches_are_measured_even_of_very_little_data(consistency) -> None:
    chance = np.random.default_rng(0)
    rows = open_data(chance.normal(size=(20, 3)).astype(np.float32), np.arange(20) % 2.0)
    algorithm = LinearLearner()
    job = Job(learner=learner_of(algorithm), data={}, batch=10, parts=4, consistency=consistency)
    found = measure(job, algorithm, rows, 2)
    assert 0 < found.low <= found.expected <= found.high < 10
