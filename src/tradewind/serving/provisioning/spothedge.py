"""SpotHedge: spot replicas spread over zones, with on-demand ones for those that are not ready.

Mao et al., "SkyServe: serving AI models across regions and clouds with spot instances", EuroSys 2025, section
3; the numbers are those of the released autoscaler (`RequestRateAutoscaler`, `DynamicFallbackSpotPlacer`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from tradewind.errors import Misuse
from tradewind.market.decisions import Action, Decision
from tradewind.market.instances import Pool
from tradewind.serving.provisioning.fleet import Fleet, Held, Way, checked, counted, released
from tradewind.serving.provisioning.interface import ServingView

_EVERY = 20.0
"""Seconds between two decisions."""
_EVERY_EMPTY = 5.0
"""Seconds between two decisions while there is no replica."""


class Hedge(Struct, frozen=True):
    """What `spothedge` remembers."""

    kind: str = ""
    """The type that it runs on; empty before the first decision."""
    target: int = 0
    """Replicas that are wanted."""
    wished: int = 0
    """Replicas that the load last asked for."""
    since: float = 0.0
    """The moment since which the load has asked for more, or for fewer, without a break."""
    taken_back: tuple[Pool, ...] = ()
    """Pools that took a replica back and are avoided."""


class SpotHedge:
    """Scales by requests a second with patience, and backs every spot replica that is not ready on demand.

    The target is the requests of the last minute a second over `utilisation` times what a replica sustains,
    and moves once that has persisted for `upscale_delay` or `downscale_delay` seconds. `base` of them are on
    demand always, `spare` spot replicas more than needed are kept, and as many on-demand ones stand in as
    spot replicas lack readiness. One type of machine: `instance_type`, or, where it is empty, the one whose
    spot was the cheapest for what it does at the first decision. A zone that takes a replica back is avoided
    until fewer than two others are left, and as long as its notice runs in any case: what would be taken
    there meanwhile would be taken back at once.
    """

    name = "spothedge"
    overflow = False
    forecaster = ""

    def __init__(
        self,
        utilisation: float = 0.7,
        upscale_delay: float = 300.0,
        downscale_delay: float = 1200.0,
        base: int = 0,
        spare: int = 0,
        instance_type: str = "",
    ) -> None:
        self.utilisation = checked(self.name, "utilisation", utilisation, 0.01, 2.0)
        self.upscale_delay = checked(self.name, "upscale_delay", upscale_delay, 0.0)
        self.downscale_delay = checked(self.name, "downscale_delay", downscale_delay, 0.0)
        self.base = int(checked(self.name, "base", base, 0))
        self.spare = int(checked(self.name, "spare", spare, 0))
        self.instance_type = instance_type

    def recall(self) -> Hedge:
        """No type chosen, nothing avoided."""
        return Hedge(self.instance_type)

    def decide(self, view: ServingView, memory: Hedge) -> tuple[Decision, Hedge]:
        """Move the target if it was asked for long enough; fill it with spot, and the rest on demand."""
        fleet = Fleet(view)
        kind = memory.kind or _cheapest(fleet)
        profile = view.profile(kind)
        if self.instance_type and profile is None:
            raise Misuse(
                f"no profile of {kind!r}", source=f"policy {self.name}", field="instance_type",
                fix=f"Give one of {', '.join(each.instance_type for each in view.profiles)}.",
            )  # fmt: skip
        if profile is None:
            wake = view.now + _EVERY_EMPTY
            return Decision((), "Nothing on offer has a profile.", wake), memory
        rate = view.traffic.rates[-1] if view.traffic.rates else 0.0
        wished = max(1, math.ceil(rate / (self.utilisation * profile.rate) - 1e-9))
        target, since = self._target(view.now, wished, memory)
        avoided = self._avoided(fleet, kind, memory)
        actions, words = self._filled(fleet, kind, target, avoided)
        wake = view.now + (_EVERY if fleet.held or actions else _EVERY_EMPTY)
        reason = " ".join(words) or f"{counted(target)} wanted, and there."
        return Decision(tuple(actions), reason, wake), Hedge(kind, target, wished, since, avoided)

    def _target(self, now: float, wished: int, memory: Hedge) -> tuple[int, float]:
        """The target, and since when the load has asked for something else than that."""
        if memory.target in (0, wished):
            return wished, now
        before = memory.wished - memory.target
        since = memory.since if (wished - memory.target) * before > 0 else now
        delay = self.upscale_delay if wished > memory.target else self.downscale_delay
        return (wished, now) if now - since >= delay else (memory.target, since)

    def _avoided(self, fleet: Fleet, kind: str, memory: Hedge) -> tuple[Pool, ...]:
        """Pools that took back, unless fewer than two are left; one with a replica that is ready is not.

        Those whose notice runs are avoided always. The released placer need not say so: it hears of a loss
        when the replica is gone.
        """
        good = {
            each.lease.pool
            for each in fleet.staying
            if each.ready <= fleet.now and each.lease.terms.revocable
        }
        bad = (set(memory.taken_back) | fleet.shunned) - (good - fleet.shunned)
        pools = {each.offer.pool for each in fleet.ways if each.spot and each.offer.type.name == kind}
        return tuple(sorted(fleet.shunned if len(pools - bad) < min(2, len(pools)) else bad))

    def _filled(
        self, fleet: Fleet, kind: str, target: int, avoided: Sequence[Pool]
    ) -> tuple[list[Action], list[str]]:
        """The actions that make the fleet what the target asks for, and why."""
        actions: list[Action] = []
        words: list[str] = []
        base = min(self.base, target)
        wanted = target - base
        spot = [each for each in fleet.staying if each.lease.terms.revocable]
        steady = [each for each in fleet.staying if not each.lease.terms.revocable]
        offers = [each for each in fleet.ways if each.spot and each.offer.type.name == kind]
        missing = wanted + (self.spare if wanted else 0) - len(spot)
        used = [each.lease.pool for each in spot]
        placed: dict[Pool, int] = {}
        for _ in range(missing):
            way = _zone(offers, used, avoided, placed)
            if way is None:
                break
            used.append(way.offer.pool)
            placed[way.offer.pool] = placed.get(way.offer.pool, 0) + 1
        for way in offers:
            if way.offer.pool in placed:
                actions.append(way.take(placed[way.offer.pool]))
                words.append(f"{counted(placed[way.offer.pool])} more on spot in {way.offer.pool}.")
        if missing < 0:
            surplus = _last_ready(spot, fleet.now)[:-missing]
            actions += released(surplus)
            words.append(f"{counted(len(surplus))} fewer on spot: {wanted + self.spare} are enough.")
        ready = sum(each.ready <= fleet.now for each in spot)
        fallback = min(target, base + max(0, wanted - ready)) - len(steady)
        on_demand = [each for each in fleet.ways if not each.spot and each.offer.type.name == kind]
        if fallback > 0 and on_demand:
            actions.append(on_demand[0].take(fallback))
            words.append(f"{counted(fallback)} on demand until as many on spot are ready.")
        elif fallback < 0:
            surplus = _last_ready(steady, fleet.now)[:-fallback]
            actions += released(surplus)
            words.append(f"{counted(len(surplus))} on demand {'goes' if len(surplus) == 1 else 'go'} again.")
        return actions, words


def _cheapest(fleet: Fleet) -> str:
    """The type whose spot is the cheapest for what it does; on demand where no spot is offered."""
    ways = [each for each in fleet.ways if each.spot] or list(fleet.ways)
    return ways[0].offer.type.name if ways else ""


def _zone(
    offers: Sequence[Way], used: Sequence[Pool], avoided: Sequence[Pool], placed: dict[Pool, int]
) -> Way | None:
    """The cheapest zone that is not avoided and not used yet; of those used, the one used least."""
    room = [
        each
        for each in offers
        if each.offer.available is None or each.offer.available > placed.get(each.offer.pool, 0)
    ]
    active = [each for each in room if each.offer.pool not in avoided]
    if not active:
        return None
    return min(active, key=lambda way: (used.count(way.offer.pool), way.price, way.offer.zone))


def _last_ready(held: Sequence[Held], now: float) -> list[Held]:
    """Those that start first, then the youngest."""
    return sorted(held, key=lambda each: (each.ready <= now, -each.lease.started, each.lease.id))
