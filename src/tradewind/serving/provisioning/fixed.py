"""As many replicas as the peak needs, all the time: the plainest of baselines."""

from __future__ import annotations

import math

from tradewind.market.decisions import Decision
from tradewind.serving.provisioning.interface import ServingView
from tradewind.serving.provisioning.one_type import cheapest_on_demand, next_look, nothing_to_take, towards


class Fixed:
    """Replicas for `rate` requests a second, times `headroom`, on demand."""

    name = "fixed"
    overflow = False
    forecaster = ""

    def __init__(self, rate: float, headroom: float = 1.0, instance_type: str = "") -> None:
        """`instance_type` is the cheapest per request if not given."""
        self.rate, self.headroom, self.instance_type = rate, headroom, instance_type

    def recall(self) -> None:
        """Nothing is remembered."""

    def decide(self, view: ServingView, memory: None) -> tuple[Decision, None]:
        """Take what lacks."""
        found = cheapest_on_demand(view, self.instance_type)
        if found is None:
            return nothing_to_take(view), None
        offer, profile = found
        wanted = max(1, math.ceil(self.rate * self.headroom / profile.rate - 1e-9))
        reason = f"{wanted} x {offer.type.name} serve {self.rate:g} requests a second."
        return Decision(towards(view, wanted, offer), reason, next_look(view)), None
