"""Fleets of one type on demand, as the published autoscalers keep them: which, how many, who goes first."""

from __future__ import annotations

import math

from tradewind.market.decisions import Action, Decision, Release, Take
from tradewind.market.leases import Lease, LeaseId
from tradewind.market.offers import Bid, Offer, Terms
from tradewind.serving.provisioning.interface import Profile, ServingView

_LONG_UNIT = 120.0
"""Seconds of a billing unit from which on it matters which of several equal leases goes first."""


def cheapest_on_demand(view: ServingView, instance_type: str = "") -> tuple[Offer, Profile] | None:
    """The on-demand offer of least cost per request, or of that type; None where there is none.

    Of several that cost the same, the smallest.
    """
    found = [
        (
            round(offer.price.per_hour / profile.rate, 12),
            profile.rate,
            offer.type.name,
            offer.zone,
            offer,
            profile,
        )
        for offer in view.market.offers
        if offer.terms is Terms.ON_DEMAND
        and (not instance_type or offer.type.name == instance_type)
        and (profile := view.profile(offer.type.name)) is not None
        and profile.service <= view.objective.latency
    ]
    if not found:
        return None
    *_, offer, profile = min(found, key=lambda each: each[:4])
    return offer, profile


def ready_count(view: ServingView) -> int:
    """Replicas that answer now."""
    return sum(each.ready <= view.now for each in view.replicas)


def towards(view: ServingView, wanted: int, offer: Offer) -> tuple[Action, ...]:
    """The actions that lead from the leases held, whatever their type, to `wanted` of them.

    Those that still start go first, then, where billing units are long, those whose paid unit ends soonest,
    else the youngest.
    """
    leases = view.market.leases
    if wanted > len(leases):
        return (Take(Bid(offer.pool, offer.terms, wanted - len(leases))),)
    if wanted == len(leases):
        return ()
    starting = {each.lease for each in view.replicas if each.ready > view.now}
    going = sorted(leases, key=lambda lease: _order(view, lease, starting))[: len(leases) - wanted]
    return tuple(Release(lease.id) for lease in going)


def _order(view: ServingView, lease: Lease, starting: set[LeaseId]) -> tuple[bool, float, float, str]:
    unit = view.market.tariff(lease.terms).unit
    held = view.now - lease.started
    left = unit - math.fmod(held, unit) if unit >= _LONG_UNIT else 0.0
    return lease.id not in starting, left, held, lease.id


def nothing_to_take(view: ServingView) -> Decision:
    """What to say where no type on demand would do."""
    return Decision((), "No type with a profile is on offer on demand.", next_look(view))


def next_look(view: ServingView) -> float:
    """When the next interval of traffic ends."""
    return max(view.traffic.until, view.now) + view.traffic.interval
