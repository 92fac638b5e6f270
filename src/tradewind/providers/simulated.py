"""A provider in virtual time: a recorded market, and leases that nothing runs on.

Nothing ticks: the moments of all that will happen to a lease, or make a watch true, are searched for in the
history, and the clock jumps to the next of them.
"""

from __future__ import annotations

from decimal import Decimal

from tradewind import clock
from tradewind.market.charges import Invoice
from tradewind.market.decisions import Watch
from tradewind.market.leases import Ending, Lease, LeaseId, Revocation
from tradewind.market.news import News
from tradewind.market.offers import Bid, Offer, Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.market.tariffs import Tariff
from tradewind.providers.holdings import Holdings
from tradewind.providers.waiting import Bell, told


class SimulatedProvider:
    """Rents out instances of a recorded market that are only booked: their address is empty.

    Runs on any clock, but is meant for `clock.simulate`. Instances never fail to start, and the wait that an
    offer states is for whoever models the work to reckon with.
    """

    def __init__(self, market: RecordedMarket) -> None:
        self._holdings = Holdings(market)
        self._bell = Bell()

    async def open(self) -> None:
        """Nothing is needed."""

    async def offers(self) -> tuple[Offer, ...]:
        """What may be had now; the same object as long as it is the same."""
        return self._holdings.offers(self._now())

    async def tariffs(self) -> dict[Terms, Tariff]:
        """How leases taken now are billed."""
        return self._holdings.tariffs(self._now())

    async def take(self, bid: Bid) -> tuple[Lease, ...]:
        """Take up an offer. Raises Misuse for a pool or terms that are not sold."""
        leases = self._holdings.take(bid, self._now())
        if leases:
            self._bell.ring()
        return leases

    async def release(self, lease: LeaseId) -> None:
        """End a lease by our wish."""
        if self._holdings.end(lease, self._now(), Ending.RELEASED):
            self._bell.ring()

    async def leases(self) -> tuple[Lease, ...]:
        """The leases held, and those whose end was not told yet."""
        self._now()
        return self._holdings.leases()

    async def revocations(self) -> tuple[Revocation, ...]:
        """The notices for held leases."""
        self._now()
        return self._holdings.revocations()

    async def next_news(self, before: float, watch: tuple[Watch, ...] = ()) -> tuple[News, ...]:
        """Wait until there is news, a watch comes true, or `before`."""
        return await told(self._holdings, self._bell, self._now, before, watch)

    async def invoice(self) -> Invoice:
        """Every charge so far."""
        return self._holdings.invoice(self._now())

    async def owed(self) -> Decimal:
        """The total of every charge so far, US dollars."""
        return self._holdings.owed(self._now())

    async def close(self) -> None:
        """Release every lease."""
        for lease in self._holdings.held():
            await self.release(lease)

    def _now(self) -> float:
        """This moment, with all done that the market does up to it."""
        now = clock.now()
        self._holdings.advance(now)
        return now
