"""A floor under a policy: never fewer replicas than so many, whatever it says.

A policy may find that nobody asks, and hold nothing; an endpoint that is to answer the first request, too,
wants one replica at least. What it takes for that is the cheapest offer an hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from tradewind.errors import Misuse
from tradewind.market.decisions import Action, Decision, Release, Take
from tradewind.serving.provisioning.fleet import Fleet
from tradewind.serving.provisioning.interface import ProvisioningPolicy, ServingView
from tradewind.serving.provisioning.policies import provisioning_policy


class AtLeast:
    """The policy of that name, with `options`, and `least` replicas at least that are under no notice."""

    def __init__(self, policy: str, least: int = 1, options: Mapping[str, Any] | None = None) -> None:
        if least < 0:
            raise Misuse(f"{least} is no number of replicas", field="least", fix="Give 0 or more.")
        self.policy, self.least, self.options = policy, least, dict(options or {})
        self._inner: ProvisioningPolicy = provisioning_policy(policy, **self.options)
        self.name = self._inner.name
        self.overflow, self.forecaster = self._inner.overflow, self._inner.forecaster

    def recall(self) -> Any:
        """What the policy itself begins with."""
        return self._inner.recall()

    def decide(self, view: ServingView, memory: Any) -> tuple[Decision, Any]:
        """What the policy says, but that it ends too few, or takes more."""
        decision, recalled = self._inner.decide(view, memory)
        fleet = Fleet(view)
        staying = {each.lease.id for each in fleet.staying}
        taken = sum(action.bid.count for action in decision.actions if isinstance(action, Take))
        spare = len(staying) + taken - self.least
        actions: list[Action] = []
        for action in decision.actions:
            if isinstance(action, Release) and action.lease in staying:
                if spare <= 0:
                    continue
                spare -= 1
            actions.append(action)
        kept = len(decision.actions) - len(actions)
        words = f" {kept} stay, for {self.least} are the least." if kept else ""
        if spare < 0:
            ways = [each for each in fleet.ways if each.offer.pool not in fleet.shunned]
            if ways:
                way = min(ways, key=lambda each: (each.price, str(each.offer.pool), each.offer.terms))
                actions.append(way.take(-spare))
                words = f" {-spare} more {way.offer.type.name}, for {self.least} are the least."
        if words:
            decision = replace(decision, actions=tuple(actions), reason=decision.reason + words)
        return decision, recalled
