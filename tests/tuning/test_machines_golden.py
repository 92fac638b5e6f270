"""What each rule for machines decides on a recorded market: real prices, and machines that came and went."""

import pytest
from simulated_studies import SPACE, curve_of

from tradewind import clock
from tradewind.control.journal import Journal
from tradewind.control.records import header_for
from tradewind.control.replay import replay
from tradewind.data.catalogs import aws_catalog
from tradewind.data.recorded_histories import history
from tradewind.market.demands import Demand
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.providers.simulated import SimulatedProvider
from tradewind.tuning.machines import controller
from tradewind.tuning.machines.cheapest_step import CheapestStep
from tradewind.tuning.machines.interface import TuningView
from tradewind.tuning.machines.modelled_trials import ModelledTrials
from tradewind.tuning.machines.one_type import OneType
from tradewind.tuning.machines.spottune import SpotTune
from tradewind.tuning.study import Study

STEPS = 40
PINNED = {
    "cheapest_step": [
        "00:30 Trial 0 goes on p2.xlarge@us-east-1e spot at $0.3759 an hour, $0.000183 a step; "
        "trial 1 goes on p2.xlarge@us-east-1e spot at $0.3759 an hour, $0.000183 a step; "
        "trial 2 goes on p2.xlarge@us-east-1e spot at $0.3759 an hour, $0.000183 a step.",
        "00:52 Trial 1 goes on p2.xlarge@us-east-1e spot at $0.3759 an hour, $0.0208 a step.",
        "01:43 Trial 0 goes on p2.xlarge@us-east-1e spot at $0.3759 an hour, $0.0208 a step.",
        "10 leases, 2 revoked, $4.7715",
    ],
    "spottune": [
        "00:30 Trial 0 goes on p2.xlarge@us-east-1e at $0.3759 an hour, bid $0.4796, $2.48e-05 a step; "
        "trial 1 goes on p2.xlarge@us-east-1e at $0.3759 an hour, bid $0.4082, $2.48e-05 a step; "
        "trial 2 goes on p2.xlarge@us-east-1e at $0.3759 an hour, bid $0.5178, $2.48e-05 a step.",
        "00:52 Trial 1 goes on p2.xlarge@us-east-1e at $0.3759 an hour, bid $0.521, $0.0198 a step.",
        "01:29 Trial 0 leaves lease-0001, whose first hour is over; "
        "trial 2 leaves lease-0003, whose first hour is over.",
        "22 leases, 8 revoked, $4.0942",
    ],
    "cheapest_spot": [
        "00:30 Trial 0 goes on p2.xlarge@us-east-1e at $0.3759 an hour; "
        "trial 1 goes on p2.xlarge@us-east-1e at $0.3759 an hour; "
        "trial 2 goes on p2.xlarge@us-east-1e at $0.3759 an hour.",
        "00:52 Trial 1 goes on p2.xlarge@us-east-1e at $0.3759 an hour.",
        "01:43 Trial 0 goes on p2.xlarge@us-east-1e at $0.3759 an hour.",
        "10 leases, 2 revoked, $4.7797",
    ],
    "fastest_on_demand": [
        "00:30 Trial 0 goes on p3.2xlarge@us-east-1b at $3.06 an hour; "
        "trial 1 goes on p3.2xlarge@us-east-1b at $3.06 an hour; "
        "trial 2 goes on p3.2xlarge@us-east-1b at $3.06 an hour.",
        "01:15 Trial 3 goes on lease-0001, which is there.",
        "01:15 Trial 4 goes on lease-0003, which is there.",
        "3 leases, 0 revoked, $13.8261",
    ],
}


@pytest.fixture(scope="module")
def recorded():
    return history("demo")


@pytest.mark.parametrize(
    "policy",
    [CheapestStep(), SpotTune(seed=1), OneType(), OneType("fastest", "on_demand")],
    ids=lambda policy: policy.name,
)
def test_what_each_rule_decides_on_the_demo_market(policy, recorded, tmp_path):
    market = RecordedMarket(recorded, aws_catalog(), boot=60.0)
    start = recorded.start + 1800
    study = Study(SPACE, trials=6)
    # a p3.2xlarge has twice the vCPUs of a p2.xlarge, and is as fast as three
    speed = {"p2.xlarge": 1.0, "p3.2xlarge": 3.0}
    work = ModelledTrials(study, curve_of(STEPS), lambda _, kind: 200.0 / speed[kind])
    goal = controller.Goal(demand=Demand(resources=Resources(gpus=1.0), count=3))
    path = tmp_path / "journal"
    with Journal(path, header_for(policy, TuningView, start=start), commit_every=1000) as journal:
        result = clock.simulate(
            controller.run(study, goal, policy, SimulatedProvider(market), work, journal, steps=STEPS),
            start=start,
        )
    assert result.done
    assert replay(path).decisions > 3
    with Journal.read(path) as reading:
        acted = [
            f"{clock.iso(each.moment)[11:16]} {each.decision.reason}"
            for each in reading.entries()
            if each.decision.actions
        ]
    found = [*acted[:3], f"{result.leases} leases, {result.revocations} revoked, ${result.cost:.4f}"]
    assert found == PINNED[policy.name]
