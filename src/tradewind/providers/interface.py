"""The seam to whoever rents us machines."""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from tradewind.market.charges import Invoice
from tradewind.market.decisions import Watch
from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.market.news import News
from tradewind.market.offers import Bid, Offer, Terms
from tradewind.market.tariffs import Tariff


class Provider(Protocol):
    """Rents instances out. Every method may be called at any moment between `open` and `close`.

    1. A lease is listed by `leases` from the return of `take` until its `Ended` was given by `next_news`.
    2. `take` grants between none and `bid.count` leases; none is an answer, not an error. It raises Misuse
       for a pool or terms that it does not sell, before anything is rented.
    3. `release` is idempotent, and silent for a lease that ended already.
    4. Every lease that ends is told once by `next_news`, released ones included. A revocation is told by
       `Warned` first where the market gives notice, at its moment of notice and never before.
    5. `Warned` and `Ended` name only leases that this provider granted.
    6. A lease's `instance.address`, where not empty, answers within the offer's `wait` or the lease ends as
       failed.
    7. `invoice` covers every lease ever taken, up to now; it never shrinks but by a refund at an ending.
    8. Not promised: that an offer still stands when it is taken, or that `available` is exact.
    """

    async def open(self) -> None:
        """Make ready to rent; raises Misuse if something needed is missing."""
        ...

    async def offers(self) -> tuple[Offer, ...]:
        """What may be had now, ordered by type, zone and terms."""
        ...

    async def tariffs(self) -> dict[Terms, Tariff]:
        """How leases taken now are billed."""
        ...

    async def take(self, bid: Bid) -> tuple[Lease, ...]:
        """Take up an offer."""
        ...

    async def release(self, lease: LeaseId) -> None:
        """End a lease by our wish."""
        ...

    async def leases(self) -> tuple[Lease, ...]:
        """The leases held, in the order in which they were granted."""
        ...

    async def revocations(self) -> tuple[Revocation, ...]:
        """The notices for held leases."""
        ...

    async def next_news(self, before: float, watch: tuple[Watch, ...] = ()) -> tuple[News, ...]:
        """Wait until there is news, a watch comes true, or `before`; everything there is to tell, in order.

        A watch is told at the first change of the market, after the call, at which it is true. Cancelling
        loses no news.
        """
        ...

    async def invoice(self) -> Invoice:
        """Every charge so far."""
        ...

    async def owed(self) -> Decimal:
        """The total of `invoice`, US dollars, without its lines: cheap enough to ask at every decision."""
        ...

    async def close(self) -> None:
        """Release every lease and let go of everything; may be called twice."""
        ...
