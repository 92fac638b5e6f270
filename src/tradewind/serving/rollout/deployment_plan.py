"""The plan of an update that SageMaker's `DeploymentConfig` asks for."""

from __future__ import annotations

from tradewind.errors import Misuse
from tradewind.serving.rollout import plans
from tradewind.serving.rollout.alarms import alarm
from tradewind.serving.rollout.plans import Plan, Size
from tradewind.serving.rollout.requests import CapacitySize, DeploymentConfig


def plan_of(config: DeploymentConfig | None, instances: int) -> Plan:
    """The plan for a new fleet of `instances`; all at once where nothing is said. Misuse, naming the field.

    Alarms are conditions, see `alarms`. A wait or a batch may not be longer than the time in all.
    """
    config = config or DeploymentConfig()
    watched = config.auto_rollback_configuration
    alarms = tuple(each.alarm_name for each in watched.alarms) if watched else ()
    for name in alarms:
        alarm(name)
    blue_green, rolling = config.blue_green_update_policy, config.rolling_update_policy
    if blue_green and rolling:
        raise Misuse(
            "BlueGreenUpdatePolicy and RollingUpdatePolicy are both given", field="DeploymentConfig",
            fix="Give one of them.",
        )  # fmt: skip
    if rolling:
        back = 1.0
        if rolling.rollback_maximum_batch_size:
            back = _size(rolling.rollback_maximum_batch_size).of(
                instances, "RollbackMaximumBatchSize", 0.05, 1.0
            )
        plan = Plan(
            steps=plans.rolling(_size(rolling.maximum_batch_size), instances),
            bake=rolling.wait_interval_in_seconds,
            maximum=rolling.maximum_execution_timeout_in_seconds, back=back, alarms=alarms,
        )  # fmt: skip
    elif blue_green:
        routing = blue_green.traffic_routing_configuration
        if routing.type == "CANARY":
            if routing.canary_size is None:
                raise Misuse("is missing", field="CanarySize", fix="Give it with Type CANARY.")
            steps = plans.canary(_size(routing.canary_size), instances)
        elif routing.type == "LINEAR":
            if routing.linear_step_size is None:
                raise Misuse("is missing", field="LinearStepSize", fix="Give it with Type LINEAR.")
            steps = plans.linear(_size(routing.linear_step_size), instances)
        else:
            steps = plans.all_at_once()
        plan = Plan(
            steps=steps, bake=routing.wait_interval_in_seconds,
            termination=blue_green.termination_wait_in_seconds,
            maximum=blue_green.maximum_execution_timeout_in_seconds, alarms=alarms,
        )  # fmt: skip
    else:
        plan = Plan(alarms=alarms)
    waits = plan.bake * len(plan.steps) + plan.termination
    if waits >= plan.maximum:
        raise Misuse(
            f"its waits take {waits:g} s, and it may take {plan.maximum:g} s",
            field="MaximumExecutionTimeoutInSeconds", fix="Give it more time, or wait less.",
        )  # fmt: skip
    return plan


def _size(size: CapacitySize) -> Size:
    return Size(size.type, size.value)
