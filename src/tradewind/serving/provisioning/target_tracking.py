"""Target tracking on invocations per instance, as SageMaker's endpoints scale.

The target is the load that one instance sustains times a safety factor, by AWS's page on load testing, where
the factor is 0.5 to begin with; `desired = ceil(instances * metric / target)`. The metric has a point a
minute; out after `out_points` of them above the target, in after `in_points` below `low` of it, and not
again within the cooldown. How its alarms look is set by arguments: the defaults are the customary ones.
"""

from __future__ import annotations

import math

from msgspec import Struct

from tradewind.market.decisions import Decision
from tradewind.serving.provisioning.interface import ServingView
from tradewind.serving.provisioning.one_type import (
    cheapest_on_demand,
    next_look,
    nothing_to_take,
    ready_count,
    towards,
)


class Points(Struct, frozen=True):
    """The metric's course, and when it last led to something."""

    metrics: tuple[float, ...] = ()
    """Requests a second and instance, one a minute, the oldest first."""
    until: float = 0.0
    """The end of the last interval of traffic that was taken in."""
    scaled_out: float = -1e18
    scaled_in: float = -1e18


class TargetTracking:
    """SageMaker's autoscaling; see the module."""

    name = "target_tracking"
    overflow = False
    forecaster = ""

    def __init__(
        self,
        safety_factor: float = 0.5,
        instance_type: str = "",
        out_points: int = 3,
        in_points: int = 15,
        low: float = 0.9,
        cooldown: float = 300.0,
        least: int = 1,
        most: int = 100_000,
    ) -> None:
        """`instance_type` is the cheapest per request if not given; `cooldown` in seconds, both ways."""
        self.safety_factor, self.instance_type = safety_factor, instance_type
        self.out_points, self.in_points, self.low = out_points, in_points, low
        self.cooldown, self.least, self.most = cooldown, least, most

    def recall(self) -> Points:
        """No point yet."""
        return Points()

    def decide(self, view: ServingView, memory: Points) -> tuple[Decision, Points]:
        """Take in the minutes that are over, and see to the two alarms."""
        found = cheapest_on_demand(view, self.instance_type)
        if found is None:
            return nothing_to_take(view), memory
        offer, profile = found
        now, held, ready = view.now, len(view.market.leases), max(1, ready_count(view))
        target = profile.rate * self.safety_factor
        metrics, until = memory.metrics, memory.until
        if view.traffic.until > until:
            load = _last_minute(view)
            metrics = (*metrics, load / ready)[-max(self.out_points, self.in_points) :]
            until = view.traffic.until
        points = Points(metrics, until, memory.scaled_out, memory.scaled_in)
        load = metrics[-1] * ready if metrics else 0.0
        desired = min(self.most, max(self.least, math.ceil(load / target - 1e-9)))
        if held < self.least or (not held and load):
            reason = f"The endpoint begins with {desired} x {offer.type.name}."
            return Decision(towards(view, desired, offer), reason, next_look(view)), points
        told = f"{load / ready:.2f} requests a second and instance, target {target:.2f}"
        above = len(metrics) >= self.out_points and min(metrics[-self.out_points :]) > target
        if above and desired > held and now >= memory.scaled_out + self.cooldown:
            points = Points(metrics, until, now, memory.scaled_in)
            return Decision(
                towards(view, desired, offer), f"Out to {desired}: {told}.", next_look(view)
            ), points
        below = len(metrics) >= self.in_points and max(metrics[-self.in_points :]) < self.low * target
        rested = now >= max(memory.scaled_out, memory.scaled_in) + self.cooldown
        if below and desired < held and rested:
            points = Points(metrics, until, memory.scaled_out, now)
            return Decision(
                towards(view, desired, offer), f"In to {desired}: {told}.", next_look(view)
            ), points
        return Decision((), f"{held} stay: {told}.", next_look(view)), points


def _last_minute(view: ServingView) -> float:
    traffic = view.traffic
    rates = traffic.rates[-max(1, round(60.0 / traffic.interval)) :]
    return sum(rates) / len(rates) if rates else 0.0
