"""Knative's pod autoscaler (KPA): concurrency over a stable and a panic window.

`desired = ceil(concurrency / target)`, where the target is 70 % of what a replica holds, between half of the
ready replicas and a thousand times as many. When the panic window alone asks for twice the replicas that are
ready, it panics: it never scales in until a whole stable window has passed without. Knative looks every two
seconds; here it is asked at the end of every interval of traffic. Where those are longer than the panic
window, the busiest five seconds of the last one stand for it.
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


class Panic(Struct, frozen=True):
    """Whether it panics, and how far it went."""

    since: float | None = None
    """The last moment at which the panic window asked for so much; None when calm."""
    most: int = 0
    """The most replicas wanted in this panic."""
    wishes: tuple[tuple[float, int], ...] = ()
    """When it wanted how many, falling: those that may yet hold it back from going in."""


class Knative:
    """The KPA; see the module."""

    name = "knative"
    overflow = False
    forecaster = ""

    def __init__(
        self,
        utilization: float = 0.7,
        stable_window: float = 60.0,
        panic_window: float = 6.0,
        panic_threshold: float = 2.0,
        up_rate: float = 1000.0,
        down_rate: float = 2.0,
        instance_type: str = "",
        least: int = 1,
        most: int = 100_000,
        down_delay: float = 0.0,
    ) -> None:
        """Windows in seconds; it goes in no further than it wanted to be at any time of the last
        `down_delay`; `instance_type` is the cheapest per request if not given."""
        self.utilization, self.stable_window, self.panic_window = utilization, stable_window, panic_window
        self.panic_threshold, self.up_rate, self.down_rate = panic_threshold, up_rate, down_rate
        self.instance_type, self.least, self.most = instance_type, least, most
        self.down_delay = down_delay

    def recall(self) -> Panic:
        """Calm."""
        return Panic()

    def decide(self, view: ServingView, memory: Panic) -> tuple[Decision, Panic]:
        """What the windows ask for."""
        found = cheapest_on_demand(view, self.instance_type)
        if found is None:
            return nothing_to_take(view), memory
        offer, profile = found
        now, ready = view.now, max(1, ready_count(view))
        target = self.utilization * profile.concurrency
        stable, panic = self._windows(view)
        high, low = math.ceil(self.up_rate * ready), math.floor(ready / self.down_rate)
        wanted, urgent = (min(max(math.ceil(each / target - 1e-9), low), high) for each in (stable, panic))
        since, most = memory.since, memory.most
        if math.ceil(panic / target - 1e-9) / ready >= self.panic_threshold:
            since = now
        elif since is not None and now >= since + self.stable_window:
            since, most = None, 0
        if since is not None:
            most = max(most, urgent, ready)
            wanted = most
        wanted = min(self.most, max(self.least, wanted))
        wishes: tuple[tuple[float, int], ...] = ()
        if self.down_delay > 0:
            young = [each for each in memory.wishes if each[0] > now - self.down_delay and each[1] > wanted]
            wishes = (*young, (now, wanted))
            wanted = wishes[0][1]
        mood = "panic" if since is not None else "calm"
        reason = f"{mood}: {stable:.1f} in hand, {panic:.1f} at the worst, {target:.2f} a replica: {wanted}."
        return Decision(towards(view, wanted, offer), reason, next_look(view)), Panic(since, most, wishes)

    def _windows(self, view: ServingView) -> tuple[float, float]:
        """Requests in hand, mean over the stable and over the panic window."""
        traffic = view.traffic
        if not traffic.ongoing:
            return 0.0, 0.0
        many = max(1, round(self.stable_window / traffic.interval))
        recent = traffic.ongoing[-many:]
        stable = sum(recent) / len(recent)
        if traffic.interval <= 2 * self.panic_window:
            few = traffic.ongoing[-max(1, round(self.panic_window / traffic.interval)) :]
            return stable, sum(few) / len(few)
        rate = traffic.rates[-1]
        return stable, traffic.ongoing[-1] * (traffic.peaks[-1] / rate if rate > 0 else 1.0)
