"""Reserved instances: a commitment for a term, owed whether the instance runs or not."""

from __future__ import annotations

import math
from decimal import Decimal

from msgspec import Struct

from tradewind.market.billing.interface import PriceAt
from tradewind.market.billing.stretches import HOUR, dollars, plus, started_units, times
from tradewind.market.charges import Charge
from tradewind.market.leases import Lease
from tradewind.market.tariffs import Tariff


class Reserved(Struct, frozen=True):
    """`upfront` at the start, and the hourly price for every hour of the term, used or not.

    The hourly part falls due hour by hour; ending the lease early saves nothing.
    """

    upfront: float = 0.0
    """US dollars."""
    term: float = 365 * 24 * HOUR
    """Seconds: one year."""
    valid_from: float = -math.inf
    valid_to: float = math.inf

    @property
    def tariff(self) -> Tariff:
        """By the hour; the term is owed whatever happens."""
        return Tariff(HOUR)

    def charges(
        self, lease: Lease, price_at: PriceAt, until: float, settled: tuple[Charge, ...] = ()
    ) -> tuple[Charge, ...]:
        """What `lease` owes for the time up to `until`, or up to its term's end if that is earlier."""
        stop = max(lease.started, min(until, lease.started + self.term))
        charges = []
        if self.upfront:
            amount = times(self.upfront, 1)
            charges.append(
                Charge(lease.id, lease.pool, lease.terms, lease.started, lease.started, amount, "upfront")
            )
        hours = started_units(stop - lease.started, HOUR)
        if hours:
            note = "of the term, used or not" if lease.ended is not None and lease.ended < stop else ""
            amount = dollars(price_at(lease.started), hours)
            charges.append(Charge(lease.id, lease.pool, lease.terms, lease.started, stop, amount, note))
        return tuple(charges)

    def commitment(self, price: float) -> Decimal:
        """All that the term costs at `price` an hour, US dollars."""
        return plus(times(self.upfront, 1), dollars(price, started_units(self.term, HOUR)))
