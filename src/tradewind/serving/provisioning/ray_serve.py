"""Ray Serve's autoscaling: requests in hand per replica, with delays both ways.

`desired = ongoing / target`, smoothed to `ceil(n + f * (desired - n))`; a wish is acted upon once it has
lasted `upscale_delay` or `downscale_delay` seconds without a break. The requests in hand are the mean over
`look_back` seconds. Ray looks every tenth of a second; here it is asked at the end of every interval of
traffic.
"""

from __future__ import annotations

import math

from msgspec import Struct

from tradewind.market.decisions import Decision
from tradewind.serving.provisioning.interface import ServingView
from tradewind.serving.provisioning.one_type import cheapest_on_demand, next_look, nothing_to_take, towards


class Wish(Struct, frozen=True):
    """To which side it has wanted to go, and since when."""

    side: int = 0
    since: float = 0.0


class RayServe:
    """Ray Serve's rule; see the module."""

    name = "ray"
    overflow = False
    forecaster = ""

    def __init__(
        self,
        target_ongoing: float = 2.0,
        upscale_delay: float = 30.0,
        downscale_delay: float = 600.0,
        up_factor: float = 1.0,
        down_factor: float = 1.0,
        look_back: float = 30.0,
        instance_type: str = "",
        least: int = 1,
        most: int = 100_000,
    ) -> None:
        """`target_ongoing` is requests in hand per replica; `instance_type` the cheapest per request if not
        given."""
        self.target_ongoing, self.upscale_delay = target_ongoing, upscale_delay
        self.downscale_delay, self.up_factor, self.down_factor = downscale_delay, up_factor, down_factor
        self.look_back, self.instance_type = look_back, instance_type
        self.least, self.most = least, most

    def recall(self) -> Wish:
        """No wish."""
        return Wish()

    def decide(self, view: ServingView, memory: Wish) -> tuple[Decision, Wish]:
        """What is wished for, if it has been for long enough."""
        found = cheapest_on_demand(view, self.instance_type)
        if found is None:
            return nothing_to_take(view), memory
        offer, _ = found
        now, held = view.now, len(view.market.leases)
        traffic = view.traffic
        recent = traffic.ongoing[-max(1, round(self.look_back / traffic.interval)) :]
        ongoing = sum(recent) / len(recent) if recent else 0.0
        told = f"{ongoing:.1f} requests in hand, {self.target_ongoing:g} a replica"
        desired = ongoing / self.target_ongoing
        if held == 0:
            wanted = self._within(desired * self.up_factor)
            return Decision(
                towards(view, wanted, offer), f"{told}: begin with {wanted}.", next_look(view)
            ), Wish()
        factor = self.up_factor if desired > held else self.down_factor
        wanted = self._within(held + factor * (desired - held))
        side = (wanted > held) - (wanted < held)
        since = memory.since if side == memory.side else now
        wish = Wish(side, since)
        delay = self.upscale_delay if side > 0 else self.downscale_delay
        if side and now - since >= delay - 1e-6:
            return Decision(
                towards(view, wanted, offer), f"{told}: {held} to {wanted}.", next_look(view)
            ), Wish()
        wake = min(next_look(view), since + delay) if side and since + delay > now else next_look(view)
        return Decision((), f"{told}: {held} stay.", wake), wish

    def _within(self, replicas: float) -> int:
        return min(self.most, max(self.least, math.ceil(replicas - 1e-9)))
