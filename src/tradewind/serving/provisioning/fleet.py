"""The replicas that are held and the offers that could add to them, as a policy reckons with them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property

from msgspec import Struct

from tradewind.errors import Misuse
from tradewind.market.decisions import Action, Release, Take
from tradewind.market.instances import Pool
from tradewind.market.leases import Lease
from tradewind.market.offers import Bid, Offer, Terms
from tradewind.serving.provisioning.interface import ServingView

HOUR = 3600.0
PURPOSE = "replica"
"""What every lease is for."""


class Held(Struct, frozen=True):
    """A lease, with what its replica does and until when it is paid for."""

    lease: Lease
    rate: float
    """Requests a second that it sustains."""
    ready: float
    """The moment from which it answers."""
    due: float
    """The moment at which it is gone; infinity where no notice was given."""
    paid_until: float
    """The moment up to which it is owed whatever is done; now, where it is billed by the second."""
    price: float
    """US dollars an hour at which a next hour would be billed; that of its limit where it is not offered."""

    @property
    def leaving(self) -> bool:
        """Whether notice was given."""
        return self.due < math.inf


class Way(Struct, frozen=True):
    """An offer that a replica could run on."""

    offer: Offer
    rate: float
    ceiling: float
    """The highest limit that a bid may have, US dollars an hour."""

    @property
    def price(self) -> float:
        """US dollars an hour."""
        return self.offer.price.per_hour

    @property
    def unit(self) -> float:
        """US dollars an hour for one request a second."""
        return self.price / self.rate

    @property
    def spot(self) -> bool:
        """Whether the provider may take it back."""
        return self.offer.terms.revocable

    def take(self, count: int, limit: float | None = None) -> Action:
        """The action that takes so many, on spot up to `limit`, or up to the ceiling."""
        bound: float | None = None
        if self.spot:
            bound = self.ceiling if limit is None else min(max(limit, self.price), self.ceiling)
            bound = bound if bound < math.inf else None
        room = self.offer.available
        count = count if room is None else min(count, room)
        return Take(Bid(self.offer.pool, self.offer.terms, count, bound, PURPOSE))


class Fleet:
    """A view, read once."""

    def __init__(self, view: ServingView) -> None:
        self.view, self.now, self.startup = view, view.now, view.startup
        self._rates = {each.instance_type: each.rate for each in view.profiles}
        self._asked = {(each.pool, each.terms): each.price.per_hour for each in view.market.offers}
        self._by_type: dict[str, float] = {}
        for each in view.market.offers:
            if each.terms is Terms.ON_DEMAND:
                known = self._by_type.get(each.type.name, math.inf)
                self._by_type[each.type.name] = min(known, each.price.per_hour)

    @cached_property
    def held(self) -> tuple[Held, ...]:
        """Every lease that a replica runs on, in the order of the leases."""
        replicas = {each.lease: each for each in self.view.replicas}
        dues = {each.lease: each.due for each in self.view.market.revocations}
        found = []
        for lease in self.view.market.leases:
            kind = lease.instance.type.name
            replica = replicas.get(lease.id)
            ready = lease.started + self.startup if replica is None else replica.ready
            due = dues.get(lease.id, math.inf)
            if replica is not None and replica.due is not None:
                due = min(due, replica.due)
            asked = self._asked.get((lease.pool, lease.terms))
            if asked is None:
                asked = lease.limit if lease.limit is not None else self._by_type.get(kind, math.inf)
            rate = self._rates.get(kind, 0.0)
            found.append(Held(lease, rate, ready, due, self._paid_until(lease), asked))
        return tuple(found)

    def _paid_until(self, lease: Lease) -> float:
        unit = self.view.market.tariff(lease.terms).unit
        if unit < HOUR:
            return self.now
        return lease.started + unit * max(1, math.ceil((self.now - lease.started) / unit - 1e-9))

    @cached_property
    def staying(self) -> tuple[Held, ...]:
        """Those under no notice."""
        return tuple(each for each in self.held if not each.leaving)

    @cached_property
    def shunned(self) -> frozenset[Pool]:
        """Pools that have just given notice: they would give the next lease notice too."""
        return frozenset(each.lease.pool for each in self.held if each.leaving)

    @cached_property
    def ways(self) -> tuple[Way, ...]:
        """Every offer of a type with a profile that has room, the cheapest for what it does first.

        Spot that costs more than the same type on demand is left out: the seller's own cap would end it.
        """
        found = []
        for offer in self.view.market.offers:
            rate = self._rates.get(offer.type.name, 0.0)
            if rate <= 0 or (offer.available is not None and offer.available < 1):
                continue
            ceiling = self._asked.get((offer.pool, Terms.ON_DEMAND))
            if ceiling is None:
                ceiling = self._by_type.get(offer.type.name, math.inf)
            if offer.terms.revocable and offer.price.per_hour > ceiling:
                continue
            found.append(Way(offer, rate, ceiling))
        return tuple(sorted(found, key=lambda way: (way.unit, -way.rate, way.offer.zone, way.offer.terms)))

    def capacity(self, at: float, held: Iterable[Held] | None = None) -> float:
        """Requests a second that those held (or these) sustain at a moment."""
        chosen = self.held if held is None else held
        return sum(each.rate for each in chosen if each.ready <= at < each.due)


def released(held: Iterable[Held]) -> list[Action]:
    """The actions that end these leases."""
    return [Release(each.lease.id) for each in held]


def counted(number: int, what: str = "replica") -> str:
    """So many of them, in words.

    >>> counted(1), counted(3)
    ('1 replica', '3 replicas')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def checked(policy: str, field: str, value: float, low: float, high: float = math.inf) -> float:
    """The value. Raises Misuse where it is not a number within the bounds."""
    if not low <= value <= high or math.isinf(value):
        bounds = f"{low:g} or more" if math.isinf(high) else f"between {low:g} and {high:g}"
        raise Misuse(f"{value!r} is not {bounds}", source=policy, field=field, fix=f"Give {bounds}.")
    return value


def burst(view: ServingView, intervals: int = 60) -> float:
    """By how much the busiest five seconds of an interval exceed its mean, lately: 1 or more."""
    rates, peaks = view.traffic.rates[-intervals:], view.traffic.peaks[-intervals:]
    total = sum(rates)
    return max(1.0, sum(peaks) / total) if total > 0 else 1.0
