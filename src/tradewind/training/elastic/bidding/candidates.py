"""Offers seen with a job's eyes: which fit, what a unit of work costs there, what to bid at most."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from tradewind.market.decisions import Action, Release, Take
from tradewind.market.demands import Demand
from tradewind.market.leases import Lease
from tradewind.market.offers import Bid, Offer, Terms
from tradewind.training.elastic.work import STATE, WORK
from tradewind.training.view import Goal, Progress, TrainingView

REST = 7 * 86_400.0
"""Seconds until a policy that waits for nothing is asked again."""
RETRY = 60.0
"""Seconds until a policy that got less than it asked for asks again."""


class Candidate(Struct, frozen=True):
    """An offer that fits, and what work costs there."""

    offer: Offer
    vcpus: float
    """Those of one instance that the job can use."""
    unit: float
    """US dollars for an hour of one useful vCPU."""


def useful_vcpus(vcpus: float, goal: Goal) -> float:
    """How many of an instance's vCPUs its worker can use."""
    return vcpus if goal.useful_vcpus is None else min(vcpus, goal.useful_vcpus)


def fits(offer: Offer, demand: Demand) -> bool:
    """Whether `demand` can be met from this offer at all."""
    return (
        (not demand.instance_types or offer.type.name in demand.instance_types)
        and (not demand.zones or offer.zone in demand.zones)
        and offer.available != 0
        and offer.type.resources.covers(demand.resources)
    )


def candidates(offers: Iterable[Offer], goal: Goal, terms: Terms) -> list[Candidate]:
    """The offers of these terms that fit the workers, cheapest work first; ties by type and zone."""
    found = []
    for offer in offers:
        if offer.price.terms is terms and fits(offer, goal.workers):
            vcpus = useful_vcpus(offer.type.resources.vcpus, goal)
            if vcpus > 0:
                found.append(Candidate(offer, vcpus, offer.price.per_hour / vcpus))
    found.sort(key=lambda each: (each.unit, each.offer.type.name, each.offer.zone))
    return found


def room(offer: Offer, wanted: int) -> int:
    """How many of `wanted` an offer has."""
    return wanted if offer.available is None else min(wanted, offer.available)


def spread(found: Sequence[Candidate], wanted: int) -> list[tuple[Candidate, int]]:
    """`wanted` instances from the first candidates that have them; fewer if all together have fewer."""
    plan = []
    for each in found:
        if wanted <= 0:
            break
        count = room(each.offer, wanted)
        plan.append((each, count))
        wanted -= count
    return plan


class Limits:
    """What to bid at most for a pool: the on-demand price of its type."""

    def __init__(self, offers: Iterable[Offer]) -> None:
        self._here: dict[tuple[str, str], float] = {}
        self._anywhere: dict[str, float] = {}
        for offer in offers:
            if offer.price.terms is Terms.ON_DEMAND:
                name, price = offer.type.name, offer.price.per_hour
                self._here[name, offer.zone] = price
                self._anywhere[name] = min(price, self._anywhere.get(name, price))

    def limit(self, offer: Offer) -> float | None:
        """The price in the offer's zone, else the lowest anywhere; None where the type is not sold so."""
        name = offer.type.name
        return self._here.get((name, offer.zone), self._anywhere.get(name))

    def allow(self, offer: Offer) -> bool:
        """Whether the offer's price is not above its limit."""
        limit = self.limit(offer)
        return limit is None or offer.price.per_hour <= limit


def working(leases: Iterable[Lease], leaving: frozenset[str]) -> list[Lease]:
    """The leases of workers that nobody is about to take away."""
    return [lease for lease in leases if lease.purpose == WORK and lease.id not in leaving]


def leaving(view: TrainingView) -> frozenset[str]:
    """The leases under notice."""
    return frozenset(notice.lease for notice in view.market.revocations)


def hold_state(view: TrainingView) -> tuple[list[Action], str]:
    """The action, if any, that gives the servers a lease, and a sentence on it; empty if they have one.

    They go to the cheapest offer that cannot be revoked and covers their demand.
    """
    gone = leaving(view)
    held = [lease for lease in view.market.leases if lease.purpose == STATE and lease.id not in gone]
    missing = view.goal.state.count - len(held)
    if missing <= 0:
        return [], ""
    reliable = [
        offer
        for offer in view.market.offers
        if not offer.price.terms.revocable and fits(offer, view.goal.state)
    ]
    if not reliable:
        return [], "No reliable offer fits the servers."
    best = min(reliable, key=lambda offer: (offer.price.per_hour, offer.type.name, offer.zone))
    bid = Bid(best.pool, best.price.terms, count=room(best, missing), purpose=STATE)
    return [Take(bid)], f"The servers go to {best.pool} at {best.price.per_hour:.4f} USD an hour."


def take(candidate: Candidate, count: int, limit: float | None) -> Action:
    """The action that takes `count` instances for workers."""
    offer = candidate.offer
    return Take(Bid(offer.pool, offer.price.terms, count=count, limit=limit, purpose=WORK))


def release(leases: Iterable[Lease]) -> list[Action]:
    """The actions that end these leases."""
    return [Release(lease.id) for lease in leases]


def seconds_left(progress: Progress, speed: float) -> float:
    """Seconds that the rest of the work takes at `speed` useful vCPUs; infinite without any."""
    power = progress.rate * speed
    return (progress.total - progress.done) / power if power > 0 else float("inf")


def they_go(number: int) -> str:
    """The start of a sentence on so many workers that move.

    >>> they_go(1), they_go(3)
    ('1 worker goes', '3 workers go')
    """
    return "1 worker goes" if number == 1 else f"{number} workers go"
