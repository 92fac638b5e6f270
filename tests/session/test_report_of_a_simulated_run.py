"""A whole simulated job on recorded prices, told by its journal: the report says what the run came to."""

import pytest

from tradewind import clock
from tradewind.control.journal import Journal
from tradewind.control.records import header_for
from tradewind.data.catalogs import aws_catalog
from tradewind.data.recorded_histories import DEMO_START, history
from tradewind.market.demands import Demand
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.providers.simulated import SimulatedProvider
from tradewind.session.report.page import page
from tradewind.session.report.reading import report_data
from tradewind.training.elastic import controller
from tradewind.training.elastic.bidding.cheapest_spot import CheapestSpot
from tradewind.training.elastic.modelled_work import ModelledWork
from tradewind.training.view import Goal, TrainingView


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of a run of some hours on four GPU workers, and the controller's result."""
    folder = tmp_path_factory.mktemp("run")
    market = RecordedMarket(history("demo"), aws_catalog(), boot=60.0, on_demand=["us-east-1"])
    goal = Goal(
        Demand(resources=Resources(gpus=1.0), count=4),
        Demand(resources=Resources(vcpus=2.0, memory_gib=4.0)),
        useful_vcpus=4.0,
    )
    policy = CheapestSpot()
    with Journal(
        folder / "journal.sqlite",
        header_for(policy, TrainingView, start=DEMO_START, history="demo", seed=1, version="0.1.0"),
        commit_every=50,
    ) as journal:
        work = ModelledWork(4 * 4 * 6 * 3600.0, 1.0, startup=60.0, workers=4, useful_vcpus=4.0)
        result = clock.simulate(
            controller.run(goal, policy, SimulatedProvider(market), work, journal, sample_every=600.0),
            start=DEMO_START,
        )
    return folder, result


def test_the_report_is_the_run(ran):
    folder, result = ran
    data = report_data(folder)
    assert result.done and data.outcome == "done"
    assert data.cost == pytest.approx(result.cost) and result.cost > 0
    assert data.cost_on_demand == pytest.approx(result.on_demand_cost)
    assert len(data.leases) == result.leases and data.revocations == result.revocations
    assert result.revocations >= 3, "the recorded lifetimes take machines away"
    assert sum(bar.cost for bar in data.leases if bar.cost is not None) == pytest.approx(result.cost)
    assert all(bar.ended is not None and bar.ending for bar in data.leases), "every lease was seen to end"
    assert data.ended - data.started == pytest.approx(result.seconds, abs=1.0)
    assert data.decisions and all(row.reason for row in data.decisions)
    assert data.prices and all(line.on_demand for line in data.prices)
    spot = {bar.pool for bar in data.leases if bar.terms == "spot"}
    assert {line.pool for line in data.prices} == spot
    text = page(data)
    assert text.count("revoked") >= result.revocations and "cheapest_spot" in text


def test_recorded_prices_are_drawn_as_they_were(ran):
    recorded = history("demo")
    data = report_data(ran[0])
    prices = {str(pool): line for pool, line in recorded.prices.items()}
    for line in data.prices:
        for at, price in zip(line.times, line.prices, strict=True):
            assert prices[line.pool].at(at) == price
