"""The leases that a provider on a recorded market has granted: their futures, their news and their bill.

Takes the moment as an argument, like the market. The simulated and the local provider wrap it: the one in a
clock that jumps, the other in processes and signals.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from decimal import Decimal

import msgspec

from tradewind.market.charges import Invoice
from tradewind.market.decisions import Watch
from tradewind.market.instances import Instance
from tradewind.market.leases import Ending, Lease, LeaseId, Revocation
from tradewind.market.news import Crossed, Ended, News, Warned
from tradewind.market.offers import Bid, Offer, Terms
from tradewind.market.recorded import Grant, RecordedMarket
from tradewind.market.tariffs import Tariff
from tradewind.providers.bills import Bills


class Holdings:
    """What one client holds of one market."""

    def __init__(self, market: RecordedMarket, address: Callable[[LeaseId], str] = lambda lease: "") -> None:
        self._market, self._address = market, address
        self._granted = self._version = 0
        self._listed: dict[LeaseId, Lease] = {}
        """From the grant until its end was told, in the order of the grants."""
        self._grants: dict[LeaseId, Grant] = {}
        """Of the leases that have not ended and take up recorded room."""
        self._futures: list[tuple[float, int, bool, Revocation]] = []
        """A heap of what the market will do: the moment, a number for ties, whether it is the end, and to
        which lease."""
        self._notices: dict[LeaseId, Revocation] = {}
        self._news: list[News] = []
        self._bills = Bills(market)
        self._open: dict[LeaseId, Lease] = {}
        self._room_taken: tuple[Grant, ...] = ()
        self._leases_now: tuple[Lease, ...] | None = ()
        """The leases listed; None where that is to be put together again."""
        self._offers_now: tuple[Offer, ...] = ()
        self._offers_hold = (math.inf, -math.inf)
        """From when and until when `_offers_now` stands, if nothing is granted or ended."""

    def offers(self, now: float) -> tuple[Offer, ...]:
        """What may be had; the same object as long as it is the same."""
        start, end = self._offers_hold
        if not start <= now < end:
            change = self._market.next_change(now)
            self._offers_now = self._market.offers(now, self._room_taken)
            self._offers_hold = now, math.inf if change is None else change
        return self._offers_now

    def tariffs(self, now: float) -> dict[Terms, Tariff]:
        """How leases taken now are billed."""
        return self._market.tariffs(now)

    def take(self, bid: Bid, now: float) -> tuple[Lease, ...]:
        """Take up an offer. Raises Misuse for a pool or terms that are not sold."""
        leases: list[Lease] = []
        alike: Revocation | None = None
        for grant in self._market.grant(bid, now, self._room_taken):
            self._granted += 1
            name = LeaseId(f"lease-{self._granted:04d}")
            instance = Instance(name, grant.type, grant.pool.zone, self._address(name))
            lease = Lease(name, instance, grant.terms, now, bid.limit, bid.purpose)
            self._listed[name] = self._open[name] = lease
            if grant.slot is not None:
                self._grants[name] = grant
                alike = self._market.revocation(lease, grant)
            elif not leases:
                alike = self._market.revocation(lease, grant)
            # Of one bid only slots make futures differ.
            if alike is not None:
                self._foresee(Revocation(name, alike.warned, alike.due))
            leases.append(lease)
        if leases:
            self._bills.begin(leases)
            self._changed(room=bool(self._grants))
        return tuple(leases)

    def _foresee(self, revocation: Revocation) -> None:
        number = 2 * self._granted
        if revocation.warned < revocation.due:
            heapq.heappush(self._futures, (revocation.warned, number, False, revocation))
        heapq.heappush(self._futures, (revocation.due, number + 1, True, revocation))

    def end(self, lease: LeaseId, now: float, ending: Ending) -> bool:
        """End a lease that is held; False, and nothing happens, if it has ended or never was."""
        if lease not in self._open:
            return False
        ended = msgspec.structs.replace(self._open.pop(lease), ended=now, ending=ending)
        self._listed[lease] = ended
        room = self._grants.pop(lease, None) is not None
        self._notices.pop(lease, None)
        self._bills.end(ended, now)
        self._news.append(Ended(lease, now, ending))
        self._changed(room)
        return True

    def next_moment(self) -> float:
        """When the market will do something to a lease; infinity if it never will."""
        while self._futures and self._futures[0][3].lease not in self._open:
            heapq.heappop(self._futures)
        return self._futures[0][0] if self._futures else math.inf

    def advance(self, now: float) -> tuple[Warned | Ended, ...]:
        """Let all happen that the market does up to `now`; what it was, in order."""
        happened: list[Warned | Ended] = []
        while self.next_moment() <= now:
            moment, _, is_end, revocation = heapq.heappop(self._futures)
            if is_end:
                self.end(revocation.lease, moment, Ending.REVOKED)
                happened.append(Ended(revocation.lease, moment, Ending.REVOKED))
            else:
                self._notices[revocation.lease] = revocation
                self._news.append(Warned(revocation))
                happened.append(Warned(revocation))
        return tuple(happened)

    def crossing(self, watch: tuple[Watch, ...], after: float, before: float) -> Crossed | None:
        """The first of the watches to come true after `after` and not after `before`."""
        found = self._market.next_true(watch, after, before, self._room_taken) if watch else None
        return None if found is None else Crossed(*found)

    @property
    def has_news(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self._news)

    @property
    def version(self) -> int:
        """Changes whenever a lease is granted or ends."""
        return self._version

    def tell(self) -> list[News]:
        """Hand out the news that nobody was told; an ended lease is listed no longer."""
        news, self._news = self._news, []
        ended = [each.lease for each in news if isinstance(each, Ended)]
        for lease in ended:
            del self._listed[lease]
        if ended:
            self._leases_now = None
        return news

    def leases(self) -> tuple[Lease, ...]:
        """Those granted whose end was not told yet, in the order of the grants; the same object as long as
        they are the same."""
        if self._leases_now is None:
            self._leases_now = tuple(self._listed.values())
        return self._leases_now

    def held(self) -> tuple[LeaseId, ...]:
        """Those that have not ended."""
        return tuple(self._open)

    def revocations(self) -> tuple[Revocation, ...]:
        """The notices given for leases that are held."""
        return tuple(self._notices.values())

    def invoice(self, now: float) -> Invoice:
        """Every charge up to `now`, by lease and start."""
        return self._bills.invoice(now)

    def owed(self, now: float) -> Decimal:
        """The total of every charge up to `now`, US dollars."""
        return self._bills.owed(now)

    def _changed(self, room: bool) -> None:
        self._version += 1
        self._leases_now = None
        if room:
            self._room_taken = tuple(self._grants.values())
            self._offers_hold = (math.inf, -math.inf)
