"""The plain baselines: every trial on the same type of machine, the cheapest or the fastest there is.

They are what SpotTune (Yang et al., ICDCS 2020) is compared with: nothing is forecast, and nothing moves.
"""

from __future__ import annotations

from msgspec import Struct

from tradewind.errors import Misuse, suggestion
from tradewind.market.decisions import Action, Decision, Release, Take, Use
from tradewind.market.offers import Bid, Offer, Terms
from tradewind.tuning.machines.candidates import Candidates, awaited, done_with, sentence
from tradewind.tuning.machines.interface import TuningView, purpose_of

CHEAPEST, FASTEST = "cheapest", "fastest"
KINDS = (CHEAPEST, FASTEST)
TERMS = (str(Terms.SPOT), str(Terms.ON_DEMAND))
_REST = 3600.0
"""Seconds until it is asked again, where nothing is told before."""


class Settled(Struct, frozen=True):
    """What was decided once and for all."""

    type: str = ""
    """Of the machines; empty until something was on offer."""


class OneType:
    """Implements `control.policy.Policy` over `TuningView`; remembers the type that it began with.

    That is the type with the least price an hour, or with the most vCPUs (the cheaper one of equals), among
    what fits at the first decision that finds an offer. Each trial then goes to the zone where it is cheapest
    at the moment, at the seller's own cap, and stays until it is revoked; where the type is not to be had,
    trials wait. Only where trials are believed to fail on it is another one chosen. O(offers) a trial.

    Args:
        kind: `cheapest` or `fastest`.
        terms: `spot` or `on_demand`.
    """

    def __init__(self, kind: str = CHEAPEST, terms: str = TERMS[0]) -> None:
        for field, given, known in (("kind", kind, KINDS), ("terms", terms, TERMS)):
            if given not in known:
                raise Misuse(
                    f"{given!r} is none", source="OneType", field=field, fix=suggestion(str(given), known)
                )
        self.kind, self.terms = str(kind), str(terms)
        self.name = f"{self.kind}_{self.terms}"

    def recall(self) -> Settled:
        """Nothing is settled."""
        return Settled()

    def decide(self, view: TuningView, memory: Settled) -> tuple[Decision, Settled]:
        """Put every waiting trial on a machine of the one type, and let go of what is idle."""
        candidates = Candidates(view, 0.0, terms=Terms(self.terms))
        sold = [each for each in candidates.offers if each.terms == self.terms]
        if sold and (not memory.type or memory.type in candidates.left_out):
            memory = Settled(min(sold, key=self._rank).type.name)
        actions: list[Action] = []
        said: list[str] = []
        idle, waiting = list(view.idle), 0
        for trial in view.queued:
            lease = next((each for each in idle if each.instance.type.name == memory.type), None)
            if lease is not None:
                idle.remove(lease)
                actions.append(Use(lease.id, purpose_of(trial.trial)))
                said.append(f"trial {trial.trial} goes on {lease.id}, which is there")
                continue
            free = [each for each in sold if each.type.name == memory.type and candidates.room(each) > 0]
            if not free:
                waiting += 1
                continue
            found = min(free, key=lambda each: (each.price.per_hour, each.zone))
            candidates.take(found)
            actions.append(Take(Bid(found.pool, found.terms, 1, None, purpose_of(trial.trial))))
            said.append(f"trial {trial.trial} goes on {found.pool} at ${found.price.per_hour:.4g} an hour")
        for each in idle:
            actions.append(Release(each.id))
            said.append(f"{each.id} is idle")
        actions += [Release(each.id) for each in done_with(view)]
        if waiting:
            said.append(f"{waiting} wait for {memory.type or 'any machine'} {self.terms}")
        if said:
            said += candidates.doubts
        reason = sentence(said) if said else "Every trial has its machine."
        watch = awaited(view) if waiting else ()
        return Decision(tuple(actions), reason, view.market.now + _REST, watch), memory

    def _rank(self, offer: Offer) -> tuple[float, float, str]:
        price, vcpus = offer.price.per_hour, offer.type.resources.vcpus
        first, then = (price, -vcpus) if self.kind == CHEAPEST else (-vcpus, price)
        return first, then, offer.type.name
