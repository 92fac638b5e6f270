"""What the leases of one client owe, reckoned once for all that are alike.

The leases that one bid brought have one pool, one rule and one start, so they owe the same until they end,
and those of them that end alike owe the same for good. A job of 512 leases asks for its total thousands of
times over months of market; here it is reckoned for one lease and counted 512 times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Context, Decimal

from tradewind.market.charges import Charge, Invoice, add_up
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.recorded import RecordedMarket

_EXACT = Context(prec=60)
"""Room for any number of leases times an amount of 28 digits."""


class _Tab:
    """The leases of one bid: what one of them owes, and how those owed that have ended."""

    __slots__ = ("charges", "closed", "lease", "open", "owed", "seen")

    def __init__(self, lease: Lease, count: int) -> None:
        self.lease, self.open = lease, count
        self.seen = -math.inf
        """The moment up to which `charges` go, those of a lease that is still open; `owed` is their sum."""
        self.charges: tuple[Charge, ...] = ()
        self.owed = Decimal(0)
        self.closed: dict[tuple[float | None, Ending | None], tuple[tuple[Charge, ...], Decimal]] = {}
        """By end and ending: the final charges of one lease and their sum."""


class Bills:
    """The bills of one client's leases on a market."""

    def __init__(self, market: RecordedMarket) -> None:
        self._market = market
        self._tabs: dict[LeaseId, _Tab] = {}
        """Of every lease ever begun, in the order of the grants."""
        self._ends: dict[LeaseId, tuple[float | None, Ending | None]] = {}
        self._open: dict[int, _Tab] = {}
        self._settled = Decimal(0)
        """The sum of the bills of the leases that have ended."""

    def begin(self, leases: Sequence[Lease]) -> None:
        """Open the bills of the leases, one or more, that one bid brought at one moment."""
        tab = _Tab(leases[0], len(leases))
        self._tabs.update((lease.id, tab) for lease in leases)
        self._open[id(tab)] = tab

    def end(self, lease: Lease, now: float) -> None:
        """Close the bill of a lease that has ended, as it is at `now`."""
        tab, end = self._tabs[lease.id], (lease.ended, lease.ending)
        final = tab.closed.get(end)
        if final is None:
            # What was reckoned up to a moment after the end is of no use: the end may change it.
            usable = tab.seen <= now and (lease.ended is None or tab.seen <= lease.ended)
            charges = self._market.charges(lease, now, tab.charges if usable else ())
            final = tab.closed[end] = charges, add_up(charge.amount for charge in charges)
        self._ends[lease.id] = end
        self._settled = add_up((self._settled, final[1]))
        tab.open -= 1
        if not tab.open:
            del self._open[id(tab)]

    def owed(self, now: float) -> Decimal:
        """The total of every charge up to `now`, US dollars."""
        sums = [self._settled]
        for tab in self._open.values():
            self._look(tab, now)
            sums.append(_EXACT.multiply(tab.owed, Decimal(tab.open)))
        return add_up(sums)

    def invoice(self, now: float) -> Invoice:
        """Every charge up to `now`, by lease and start."""
        total = self.owed(now)
        charges: list[Charge] = []
        for lease, tab in self._tabs.items():
            end = self._ends.get(lease)
            alike = tab.charges if end is None else tab.closed[end][0]
            charges += [
                each
                if each.lease == lease
                else Charge(lease, each.pool, each.terms, each.start, each.end, each.amount, each.note)
                for each in alike
            ]
        return Invoice(tuple(charges), total)

    def _look(self, tab: _Tab, now: float) -> None:
        """Bring the open bill up to `now`, and its sum with it: only what is new or has changed is added.

        A bill grows at its end, where the last charge may still change: what was there before stays the same
        object.
        """
        if tab.seen == now:
            return
        before = tab.charges
        after = self._market.charges(tab.lease, now, before if tab.seen <= now else ())
        kept = min(len(before), len(after))
        while kept and before[kept - 1] is not after[kept - 1]:
            kept -= 1
        tab.seen, tab.charges = now, after
        tab.owed = add_up(
            (
                tab.owed,
                *(charge.amount for charge in after[kept:]),
                *(charge.amount.copy_negate() for charge in before[kept:]),
            )
        )
