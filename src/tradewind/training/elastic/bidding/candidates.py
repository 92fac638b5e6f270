"""Offers seen with a job's eyes: which fit, what a unit of work costs there, what to bid at most."""

from __future__ import annotations

import math
from collections.abc import Iterable

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
    return offer.available != 0 and demand.accepts(offer.type, offer.zone)


def candidates(offers: Iterable[Offer], goal: Goal, terms: Terms) -> list[Candidate]:
    """The offers of these terms that fit the workers, cheapest work first; ties by type and zone.

    An instance with more useful vCPUs than all workers together may have does not fit.
    """
    most = math.inf if goal.vcpus is None else goal.vcpus
    found = []
    for offer in offers:
        if offer.price.terms is terms and fits(offer, goal.workers):
            vcpus = useful_vcpus(offer.type.resources.vcpus, goal)
            if 0 < vcpus <= most:
                found.append(Candidate(offer, vcpus, offer.price.per_hour / vcpus))
    found.sort(key=lambda each: (each.unit, each.offer.type.name, each.offer.zone))
    return found


def room(offer: Offer, wanted: int) -> int:
    """How many of `wanted` an offer has."""
    return wanted if offer.available is None else min(wanted, offer.available)


class Gap(Struct, frozen=True):
    """What the goal has room for beside the workers held."""

    count: int
    """Instances."""
    vcpus: float = math.inf
    """Useful vCPUs."""

    def fit(self, vcpus: float) -> int:
        """How many instances of `vcpus` useful ones each go in: not one that would overshoot."""
        if self.vcpus == math.inf:
            return max(0, self.count)
        # A billionth more, so that a sum of fractions does not cost an instance.
        return max(0, min(self.count, int(self.vcpus / vcpus * (1 + 1e-9))))

    def less(self, vcpus: float, number: int) -> Gap:
        """The room left once `number` instances of `vcpus` useful ones each are in."""
        return Gap(self.count - number, self.vcpus - number * vcpus)


def whole(goal: Goal) -> Gap:
    """All that the goal has room for."""
    return Gap(goal.workers.count, math.inf if goal.vcpus is None else goal.vcpus)


def gap(goal: Goal, held: Iterable[Lease]) -> Gap:
    """What the goal has room for beside `held`; below 0 where they are more than it wants."""
    number, vcpus = 0, 0.0
    for lease in held:
        number += 1
        vcpus += useful_vcpus(lease.instance.type.resources.vcpus, goal)
    all_of_it = whole(goal)
    return Gap(all_of_it.count - number, all_of_it.vcpus - vcpus)


def missing(left: Gap, found: Iterable[Candidate]) -> int:
    """How many more instances the gap has room for: its count, or of the smallest of `found` under a cap.

    With nothing found under a cap it is one, for none can be said to be enough.
    """
    if left.vcpus == math.inf:
        return max(0, left.count)
    one = 1 if left.count > 0 and left.vcpus > 1e-9 else 0
    return max((left.fit(each.vcpus) for each in found), default=one)


def fill(found: Iterable[Candidate], left: Gap) -> tuple[list[tuple[Candidate, int]], Gap]:
    """Instances for the gap from the first candidates that have them, and what stays empty."""
    plan = []
    for each in found:
        if left.count <= 0:
            break
        count = room(each.offer, left.fit(each.vcpus))
        if count > 0:
            plan.append((each, count))
            left = left.less(each.vcpus, count)
    return plan, left


def spread(
    found: Iterable[Candidate], wanted: int, vcpus: float | None = None
) -> list[tuple[Candidate, int]]:
    """`wanted` instances, of `vcpus` useful ones together at most, from the first candidates that have them.

    Fewer if all together have fewer, or if one more would overshoot.
    """
    return fill(found, Gap(wanted, math.inf if vcpus is None else vcpus))[0]


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
