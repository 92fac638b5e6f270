"""SageMaker's `DeploymentConfig` as a plan."""

from __future__ import annotations

import pytest

from tradewind.errors import Misuse
from tradewind.serving.rollout.deployment_plan import plan_of
from tradewind.serving.rollout.plans import Plan, Step
from tradewind.serving.rollout.requests import DeploymentConfig, read

PERCENT = {"Type": "CAPACITY_PERCENT", "Value": 25}


def plan(told, instances=4):
    return plan_of(read(told, DeploymentConfig), instances)


def blue_green(routing, **more):
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, **more}}


def test_plans_by_hand() -> None:
    assert plan_of(None, 3) == Plan()
    told = blue_green(
        {"Type": "CANARY", "CanarySize": PERCENT, "WaitIntervalInSeconds": 60},
        TerminationWaitInSeconds=30, MaximumExecutionTimeoutInSeconds=900,
    )  # fmt: skip
    told["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": "errors>5%"}]}
    assert plan(told) == Plan(
        steps=(Step(0.25), Step(1.0)), bake=60, termination=30, maximum=900, alarms=("errors>5%",)
    )
    told = blue_green({"Type": "LINEAR", "LinearStepSize": PERCENT, "WaitIntervalInSeconds": 0})
    assert [each.share for each in plan(told).steps] == [0.25, 0.5, 0.75, 1.0]
    told = blue_green({"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 5})
    assert plan(told) == Plan(bake=5)
    count = {"Type": "INSTANCE_COUNT", "Value": 2}
    rolling = {"MaximumBatchSize": count, "WaitIntervalInSeconds": 7, "RollbackMaximumBatchSize": PERCENT}
    found = plan({"RollingUpdatePolicy": rolling})
    assert found.steps == (Step(0.5, 0.5, 1.0), Step(1.0, 1.0, 0.5)) and (found.bake, found.back) == (7, 0.25)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (blue_green({"Type": "CANARY", "WaitIntervalInSeconds": 0}), "CanarySize"),
        (blue_green({"Type": "LINEAR", "WaitIntervalInSeconds": 0}), "LinearStepSize"),
        (blue_green({"Type": "SOMEHOW", "WaitIntervalInSeconds": 0}), "Type"),
        (blue_green({"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 3601}), "WaitInterval"),
        (blue_green({"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 600},
                    MaximumExecutionTimeoutInSeconds=600), "waits take 600 s"),
        ({"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "pager"}]}}, "states no alarm"),
    ],
)  # fmt: skip
def test_what_is_no_plan(told, said) -> None:
    with pytest.raises(Misuse, match=said):
        plan(told)
