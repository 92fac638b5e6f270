"""The market of a region as it was seen: prices as they come in, and what is owed by them.

Pure: every method takes the moment. EC2 says what it charges hours later, so bills are reckoned here, by the
billing rule of the lease's year and the prices seen; they are an account of ours, not AWS's invoice.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from decimal import Decimal
from itertools import chain

from msgspec import Struct

from tradewind.errors import Misuse, suggestion
from tradewind.market.billing.eras import rule_for
from tradewind.market.catalog import Catalog
from tradewind.market.charges import Charge, Invoice, add_up
from tradewind.market.decisions import CapacityAbove, PriceAbove, Watch
from tradewind.market.histories import MarketHistory, PriceHistory
from tradewind.market.instances import Pool
from tradewind.market.leases import Lease, LeaseId
from tradewind.market.offers import Bid, Offer, Price, Terms
from tradewind.market.tariffs import Tariff

SOLD = (Terms.ON_DEMAND, Terms.SPOT)


class PriceChange(Struct, frozen=True):
    """A spot price that was new to us."""

    pool: Pool
    at: float
    price: float


class SeenMarket:
    """What a region sells, at the prices seen so far.

    Spot is offered of every pool with a price, on demand where the catalogue lists one for the region. A pool
    that had no room is not offered under those terms for a while. How many can be had, EC2 does not say.
    Raises Misuse for a type that the catalogue lacks.
    """

    def __init__(self, region: str, pools: Iterable[Pool], catalog: Catalog, *, boot: float) -> None:
        self.region, self._catalog, self._boot = region, catalog, boot
        self.pools = tuple(sorted(set(pools)))
        self._types = {pool: catalog.type(pool.instance_type) for pool in self.pools}
        self._fixed = {
            pool: catalog.on_demand(pool.instance_type, region)
            for pool in self.pools
            if catalog.sells(pool.instance_type, region)
        }
        self._times: dict[Pool, list[float]] = {}
        self._prices: dict[Pool, list[float]] = {}
        self._refused: dict[tuple[Pool, Terms], float] = {}
        """Until when a pool is not offered."""
        self._offers: tuple[Offer, ...] = ()
        self._stale = True
        self._bills: dict[LeaseId, tuple[Charge, ...]] = {}

    def learn(self, records: Iterable[tuple[str, str, float, float]]) -> list[PriceChange]:
        """Take in prices (type, zone, moment, US dollars an hour), by moment; those that were new."""
        changes = []
        for type, zone, moment, price in records:
            pool = Pool(type, zone)
            if pool not in self._types or not price > 0:
                continue
            times, prices = self._times.setdefault(pool, []), self._prices.setdefault(pool, [])
            at = bisect_right(times, moment)
            if at and (times[at - 1] == moment or prices[at - 1] == price):
                continue  # seen before, or the same price again
            times.insert(at, moment)
            prices.insert(at, price)
            if at == len(times) - 1:
                changes.append(PriceChange(pool, moment, price))
                self._stale = True
        return changes

    def offers(self, now: float) -> tuple[Offer, ...]:
        """What may be had now, by type, zone and terms; the same object as long as it is the same."""
        lapsed = [key for key, until in self._refused.items() if until <= now]
        for key in lapsed:
            del self._refused[key]
        if self._stale or lapsed:
            offers = []
            for pool in self.pools:
                prices = ((Terms.ON_DEMAND, self._fixed.get(pool)), (Terms.SPOT, self._latest(pool)))
                for terms, price in prices:
                    if price is not None and (pool, terms) not in self._refused:
                        offer = Offer(self._types[pool], pool.zone, Price(price, terms), None, self._boot)
                        offers.append(offer)
            self._offers, self._stale = tuple(offers), False
        return self._offers

    def _latest(self, pool: Pool) -> float | None:
        prices = self._prices.get(pool)
        return prices[-1] if prices else None

    def refuse(self, pool: Pool, terms: Terms, until: float) -> None:
        """The pool had no room: do not offer it until then."""
        self._refused[pool, terms] = until
        self._stale = True

    def next_return(self) -> float:
        """When the next pool that had no room is offered again; infinity if all are."""
        return min(self._refused.values(), default=float("inf"))

    def check(self, bid: Bid) -> None:
        """Raise Misuse for a bid that asks for what is not sold."""
        if bid.count < 1:
            raise Misuse(f"{bid.count!r} instances", source="bid", field="count", fix="Ask for 1 or more.")
        if bid.terms not in SOLD:
            raise Misuse(
                f"{bid.terms} is not sold here", source="bid", field="terms", fix="Use spot or on_demand."
            )
        sold = self._fixed if bid.terms is Terms.ON_DEMAND else self._prices
        if bid.pool not in sold:
            raise Misuse(
                f"{bid.pool} is not sold as {bid.terms}",
                source="bid",
                field="pool",
                fix=suggestion(str(bid.pool), map(str, sold)) if sold else "Nothing is.",
            )

    def too_dear(self, bid: Bid) -> bool:
        """Whether the price is above the bid's limit; without one EC2's own cap is the on-demand price."""
        price = self._fixed.get(bid.pool) if bid.terms is Terms.ON_DEMAND else self._latest(bid.pool)
        return bid.limit is not None and price is not None and price > bid.limit

    def check_watch(self, watch: Iterable[Watch]) -> None:
        """Raise Misuse for a watch of a pool that is not sold."""
        for each in watch:
            if each.pool not in self._types:
                raise Misuse(
                    f"{each.pool} is not sold",
                    source="watch",
                    field="pool",
                    fix=suggestion(str(each.pool), map(str, self.pools)),
                )

    def came_true(
        self, watch: Iterable[Watch], changes: Iterable[PriceChange], returned: Iterable[Pool]
    ) -> tuple[Watch, float | None] | None:
        """The first watch that a change makes true, and the moment of that change.

        `returned` are pools of spot that are offered again: room for more than none, as far as we know, at no
        moment that anybody told.
        """
        watch, back = tuple(watch), set(returned)
        for change in sorted(changes, key=lambda each: each.at):
            for each in watch:
                if isinstance(each, CapacityAbove) or each.pool != change.pool:
                    continue
                above = isinstance(each, PriceAbove)
                if change.price > each.level if above else change.price < each.level:
                    return each, change.at
        for each in watch:
            if isinstance(each, CapacityAbove) and each.pool in back and each.level < 1:
                return each, None
        return None

    def refused_spot(self) -> set[Pool]:
        """The pools of spot that are not offered now."""
        return {pool for pool, terms in self._refused if terms is Terms.SPOT}

    def tariffs(self, now: float) -> dict[Terms, Tariff]:
        """How leases taken now are billed."""
        return {terms: rule_for(terms, now).tariff for terms in SOLD}

    def price(self, pool: Pool, moment: float) -> float:
        """The spot price at a moment: the last one seen by then, or the first that ever was."""
        times = self._times[pool]
        return self._prices[pool][max(0, bisect_right(times, moment) - 1)]

    def history(self, until: float) -> MarketHistory:
        """All the prices seen, as a history, up to `until`."""
        return MarketHistory(
            f"aws {self.region}",
            {
                pool: PriceHistory(pool, times, self._prices[pool], end=max(until, times[-1]))
                for pool, times in self._times.items()
            },
            {},
            notice=120.0,
        )

    def bill(self, lease: Lease, until: float) -> None:
        """Reckon what a lease owes up to `until`; what an ended one owes is final."""

        def price_at(moment: float) -> float:
            spot = lease.terms is Terms.SPOT
            return self.price(lease.pool, moment) if spot else self._fixed[lease.pool]

        self._bills[lease.id] = rule_for(lease.terms, lease.started).charges(lease, price_at, until)

    def invoice(self) -> Invoice:
        """Every charge reckoned, by lease and start."""
        return Invoice(tuple(chain.from_iterable(self._bills.values())), self.owed())

    def owed(self) -> Decimal:
        """The total of the invoice, US dollars."""
        return add_up(charge.amount for charges in self._bills.values() for charge in charges)
