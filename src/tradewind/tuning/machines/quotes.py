"""What machines cost, as seen last: a pool that is full is not on offer, and neither is its price."""

from __future__ import annotations

from tradewind.market.demands import Demand
from tradewind.market.instances import Pool
from tradewind.market.leases import Lease
from tradewind.market.offers import Offer, Terms


class Quotes:
    """Every price that was on offer, by pool and terms, and the spot pools that fit `demand`."""

    def __init__(self, demand: Demand) -> None:
        self._demand = demand
        self._prices: dict[tuple[Pool, Terms], float] = {}
        self._seen: dict[Pool, None] = {}
        self._there: set[Pool] = set()

    def see(self, offers: tuple[Offer, ...]) -> None:
        """Take in what is on offer now."""
        self._prices.update({(each.pool, each.terms): each.price.per_hour for each in offers})
        there = [
            each.pool
            for each in offers
            if each.terms.revocable and self._demand.accepts(each.type, each.zone)
        ]
        self._seen.update(dict.fromkeys(there))
        self._there = set(there)

    def price(self, lease: Lease) -> float:
        """US dollars that an hour of a lease costs; its limit where its pool was never on offer."""
        return self._prices.get((lease.pool, lease.terms), lease.limit or 0.0)

    @property
    def gone(self) -> tuple[Pool, ...]:
        """Spot pools that fit, that were on offer and are not now; in the order in which they were seen."""
        return tuple(pool for pool in self._seen if pool not in self._there)
