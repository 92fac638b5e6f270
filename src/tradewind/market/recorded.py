"""A market that follows a recorded history: what it offers, grants, revokes and charges.

Pure: every method takes the moment. The simulated and the local provider share it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from msgspec import Struct

from tradewind.errors import Misuse, suggestion
from tradewind.market.billing.eras import rule_for
from tradewind.market.billing.interface import BillingRule
from tradewind.market.catalog import Catalog, region_of
from tradewind.market.charges import Charge
from tradewind.market.decisions import CapacityAbove, PriceAbove, Watch
from tradewind.market.histories import MarketHistory, Slot
from tradewind.market.instances import InstanceType, Pool
from tradewind.market.leases import Lease, Revocation
from tradewind.market.offers import Bid, Offer, Price, Terms
from tradewind.market.tariffs import Tariff


class Grant(Struct, frozen=True):
    """One instance that a bid was given: from which pool, under which terms, in which slot."""

    pool: Pool
    terms: Terms
    type: InstanceType
    price: float
    """US dollars an instance-hour, at the moment of the grant."""
    slot: Slot | None = None
    """Where its life is recorded; None where it is not."""


class RecordedMarket:
    """The market of a history and a catalogue.

    Spot is offered of every pool with recorded prices, from its first to its last record, while its
    capacity, where that is recorded, has room. On-demand is offered without limit in the pools named by
    `on_demand`: pools, or regions, which stand for every type that the catalogue prices there, in the
    region's first recorded zone; None for the pools of the history.

    `boot` is the wait in seconds that every offer states, `notice` the seconds from a warning to the end of
    a lease; None for the history's own. `spot_rule` bills spot in place of the rule of the lease's year.

    Raises Misuse for a type that the catalogue lacks.
    """

    def __init__(
        self,
        history: MarketHistory,
        catalog: Catalog,
        *,
        boot: float,
        notice: float | None = None,
        on_demand: Iterable[Pool | str] | None = None,
        spot_rule: BillingRule | None = None,
    ) -> None:
        if not (math.isfinite(boot) and boot >= 0):
            raise Misuse(f"{boot!r} is no time to boot", field="boot", fix="Give seconds, 0 or more.")
        self.history, self.catalog, self.boot = history, catalog, boot
        self.notice = history.notice if notice is None else notice
        if not (math.isfinite(self.notice) and self.notice >= 0):
            raise Misuse(f"{notice!r} is no notice", field="notice", fix="Give seconds, 0 or more.")
        self._spot_rule = spot_rule
        self._types = {pool: catalog.type(pool.instance_type) for pool in history.pools}
        self._fixed = self._on_demand_offers(on_demand)
        self._types |= {pool: offer.type for pool, offer in self._fixed.items()}
        pools = list(history.prices)
        moments = [history.prices[pool].times for pool in pools]
        moments += [np.array([np.nextafter(history.prices[pool].end, math.inf)]) for pool in pools]
        owners = [*range(len(pools)), *range(len(pools))]
        for index, pool in enumerate(pools):
            if (capacity := history.capacities.get(pool)) is not None:
                moments += [capacity.changes, np.array([np.nextafter(capacity.end, math.inf)])]
                owners += [index, index]
        sizes = [len(column) for column in moments]
        every = np.concatenate(moments) if moments else np.empty(0)
        order = np.argsort(every, kind="stable")
        self._pools = pools
        self._changes = every[order]
        self._owners = np.repeat(np.asarray(owners, np.int64), sizes)[order]
        self._position = -1
        """How many changes the standing offers have taken in; -1 before the first question."""
        self._counted: Counter[Pool] = Counter()
        places = [(_order(pool, Terms.SPOT), pool) for pool in pools]
        places += [(_order(pool, Terms.ON_DEMAND), pool) for pool in self._fixed]
        places.sort()
        self._standing = [
            self._fixed[pool] if order[2] is Terms.ON_DEMAND else None for order, pool in places
        ]
        """What is on offer, each in its place in the order; None for what is not on offer now."""
        self._place = {pool: at for at, (order, pool) in enumerate(places) if order[2] is Terms.SPOT}
        self._caps: dict[Pool, float] = {}
        self._offers: tuple[Offer, ...] = ()

    def until(self, moment: float) -> RecordedMarket:
        """The same market as it was known at `moment`: nothing after it."""
        return RecordedMarket(
            self.history.window(self.history.start, moment),
            self.catalog,
            boot=self.boot,
            notice=self.notice,
            on_demand=self._fixed,
            spot_rule=self._spot_rule,
        )

    def _on_demand_offers(self, wanted: Iterable[Pool | str] | None) -> dict[Pool, Offer]:
        zones: dict[str, str] = {}
        for pool in self.history.pools:
            region = region_of(pool.zone)
            zones[region] = min(pool.zone, zones.get(region, pool.zone))
        named: list[Pool] = []
        if wanted is None:
            named = [
                pool
                for pool in self.history.pools
                if self.catalog.sells(pool.instance_type, region_of(pool.zone))
            ]
        else:
            for place in wanted:
                if isinstance(place, Pool):
                    named.append(place)
                    continue
                if place not in self.catalog.regions:
                    raise Misuse(
                        f"no price is listed for the region {place!r}",
                        source=self.catalog.name,
                        field="region",
                        fix=suggestion(place, self.catalog.regions),
                    )
                zone = zones.get(place, f"{place}a")
                named += [
                    Pool(kind.name, zone)
                    for kind in self.catalog.types
                    if self.catalog.sells(kind.name, place)
                ]
        offers = {}
        for pool in sorted(set(named)):
            price = self.catalog.on_demand(pool.instance_type, region_of(pool.zone))
            kind = self.catalog.type(pool.instance_type)
            offers[pool] = Offer(kind, pool.zone, Price(price, Terms.ON_DEMAND), wait=self.boot)
        return offers

    def offers(self, now: float, held: Sequence[Grant] = ()) -> tuple[Offer, ...]:
        """What may be had at `now` beside the grants held, by type, zone and terms.

        Equal questions get the same objects.
        """
        position = int(self._changes.searchsorted(now, "right"))
        counted = Counter(grant.pool for grant in held if grant.slot is not None and grant.slot.end > now)
        if position == self._position and counted == self._counted:
            return self._offers
        if self._position < 0 or not 0 <= position - self._position < len(self._pools):
            stale = set(self._pools)
        else:
            stale = {self._pools[int(i)] for i in self._owners[self._position : position]}
            stale |= {pool for pool in counted | self._counted if counted[pool] != self._counted[pool]}
        altered = self._position < 0
        for pool in stale:
            offer = self._spot_offer(pool, now, counted[pool])
            place = self._place[pool]
            if offer != self._standing[place]:
                self._standing[place] = offer
                altered = True
        self._position, self._counted = position, counted
        if altered:
            self._offers = tuple([offer for offer in self._standing if offer is not None])
        return self._offers

    def _spot_offer(self, pool: Pool, now: float, held: int) -> Offer | None:
        prices = self.history.prices.get(pool)
        if prices is None or not prices.covers(now):
            return None
        free = None
        if (capacity := self.history.capacities.get(pool)) is not None:
            free = capacity.available(now) - held
            if free <= 0:
                return None
        return Offer(self._types[pool], pool.zone, Price(prices.at(now), Terms.SPOT), free, self.boot)

    def grant(self, bid: Bid, now: float, held: Sequence[Grant] = ()) -> tuple[Grant, ...]:
        """What a bid is given at `now`, beside the grants held: up to its count, the oldest slots first.

        Nothing where the price is above the limit or no room is left. Raises Misuse for a pool or terms
        that are not sold.
        """
        if bid.count < 1:
            raise Misuse(f"{bid.count!r} instances", source="bid", field="count", fix="Ask for 1 or more.")
        sold: Collection[Pool]
        if bid.terms is Terms.SPOT:
            sold = self.history.prices
        elif bid.terms is Terms.ON_DEMAND:
            sold = self._fixed
        else:
            raise Misuse(
                f"{bid.terms} is not sold here", source="bid", field="terms", fix="Use spot or on_demand."
            )
        if bid.pool not in sold:
            raise Misuse(
                f"{bid.pool} is not sold as {bid.terms}",
                source="bid",
                field="pool",
                fix=suggestion(str(bid.pool), map(str, sold)) if sold else "Nothing is.",
            )
        kind = self._types[bid.pool]
        if bid.terms is Terms.ON_DEMAND:
            price = self._fixed[bid.pool].price.per_hour
            if bid.limit is not None and price > bid.limit:
                return ()
            return (Grant(bid.pool, bid.terms, kind, price),) * bid.count
        if not self.history.prices[bid.pool].covers(now):
            return ()
        price = self.history.prices[bid.pool].at(now)
        if price > self._limit(bid.pool, bid.limit):
            return ()
        capacity = self.history.capacities.get(bid.pool)
        if capacity is None:
            return (Grant(bid.pool, bid.terms, kind, price),) * bid.count
        taken = {(grant.slot.id, grant.slot.start) for grant in held if grant.pool == bid.pool and grant.slot}
        free = [slot for slot in capacity.slots(now) if (slot.id, slot.start) not in taken]
        return tuple(Grant(bid.pool, bid.terms, kind, price, slot) for slot in free[: bid.count])

    def _limit(self, pool: Pool, limit: float | None) -> float:
        if limit is not None:
            return limit
        cap = self._caps.get(pool)
        if cap is None:
            kind, region = pool.instance_type, region_of(pool.zone)
            cap = self.catalog.on_demand(kind, region) if self.catalog.sells(kind, region) else math.inf
            self._caps[pool] = cap
        return cap

    def revocation(self, lease: Lease, grant: Grant) -> Revocation | None:
        """How the provider will end a lease, if its holder does not: None for never.

        A spot lease ends when the price goes above its limit (a price equal to the limit is kept), or with
        its slot. Without a limit, the on-demand price is the limit, as on AWS. The notice is cut short where
        the lease starts within it.
        """
        if not lease.terms.revocable:
            return None
        limit = self._limit(lease.pool, lease.limit)
        ends = [self.history.price(lease.pool).first_above(limit, lease.started)]
        if grant.slot is not None:
            ends.append(grant.slot.end)
        due = min((end for end in ends if end is not None), default=math.inf)
        if math.isinf(due):
            return None
        return Revocation(lease.id, max(due - self.notice, min(lease.started, due)), due)

    def next_true(
        self, watches: Iterable[Watch], after: float, before: float, held: Sequence[Grant] = ()
    ) -> tuple[Watch, float] | None:
        """The first watch to come true at a change of the market in (after, before], and when.

        Of several at one moment, the first named. `held` is taken to stay until then; the end of a lease is
        news of its own. Raises Misuse for a pool that is not sold.
        """
        found: tuple[Watch, float] | None = None
        for watch in watches:
            if watch.pool not in self._types:
                raise Misuse(
                    f"{watch.pool} is not sold",
                    source="watch",
                    field="pool",
                    fix=suggestion(str(watch.pool), map(str, self._types)),
                )
            at = self._first_true(watch, after, before if found is None else found[1], held)
            if at is not None and (found is None or at < found[1]):
                found = watch, at
        return found

    def _first_true(self, watch: Watch, after: float, before: float, held: Sequence[Grant]) -> float | None:
        if isinstance(watch, CapacityAbove):
            capacity = self.history.capacities.get(watch.pool)
            if capacity is None:
                return None
            taken = sum(
                grant.pool == watch.pool and grant.slot is not None and grant.slot.end > after
                for grant in held
            )
            return capacity.first_available_above(watch.level + taken, after, before)
        prices = self.history.prices.get(watch.pool)
        if prices is None:
            return None
        if isinstance(watch, PriceAbove):
            return prices.first_above(watch.level, after, before)
        return prices.first_below(watch.level, after, before)

    def next_change(self, after: float) -> float | None:
        """The first moment after `after` at which any spot offer changes; None if none does."""
        at = int(self._changes.searchsorted(after, "right"))
        return float(self._changes[at]) if at < len(self._changes) else None

    def price(self, pool: Pool, moment: float) -> float:
        """The spot price of a pool, US dollars an hour. Raises Misuse for a pool or moment not recorded."""
        return self.history.price(pool).at(moment)

    def _rule(self, terms: Terms, started: float) -> BillingRule:
        if terms is Terms.SPOT and self._spot_rule is not None:
            return self._spot_rule
        return rule_for(terms, started)

    def tariffs(self, now: float) -> dict[Terms, Tariff]:
        """How leases that start at `now` are billed."""
        return {terms: self._rule(terms, now).tariff for terms in (Terms.ON_DEMAND, Terms.SPOT)}

    def charges(self, lease: Lease, until: float, settled: tuple[Charge, ...] = ()) -> tuple[Charge, ...]:
        """What a lease owes up to `until`, under the rule of its terms and its time.

        `settled` may hold what it was found to owe up to an earlier moment, while it was held, and saves the
        reckoning of that; the answer is the same without.
        """
        if lease.terms is Terms.SPOT:
            price_at = self.history.price(lease.pool).at
        else:
            fixed = self.catalog.on_demand(lease.instance.type.name, region_of(lease.pool.zone))

            def price_at(moment: float) -> float:
                return fixed

        return self._rule(lease.terms, lease.started).charges(lease, price_at, until, settled)


def _order(pool: Pool, terms: Terms) -> tuple[str, str, Terms]:
    return pool.instance_type, pool.zone, terms
