"""Spot as AWS bills it since 2017-10-02: by the second, the first hour free if the provider ends it."""

from __future__ import annotations

import math
from decimal import Decimal

from msgspec import Struct

from tradewind.market.billing.interface import PriceAt
from tradewind.market.billing.stretches import (
    HOUR,
    charged_until,
    dollars,
    resumed,
    started_units,
    stretches,
)
from tradewind.market.charges import Charge
from tradewind.market.leases import Ending, Lease
from tradewind.market.tariffs import Refund, Tariff


class PerSecond(Struct, frozen=True):
    """Each started second, at the spot price of the moment at which its instance-hour starts.

    An instance that the provider ends within its first hour is free; one that ends otherwise owes
    `minimum` seconds at least.
    """

    valid_from: float = 1506902400.0
    """2017-10-02T00:00:00Z."""
    valid_to: float = math.inf
    minimum: int = 60
    """Seconds."""
    refunds: bool = True
    """Whether the first hour is free if the provider ends it; False for one that charges every second."""

    @property
    def tariff(self) -> Tariff:
        """By the second."""
        return Tariff(1.0, Refund.FIRST_HOUR if self.refunds else Refund.NOTHING)

    def charges(
        self, lease: Lease, price_at: PriceAt, until: float, settled: tuple[Charge, ...] = ()
    ) -> tuple[Charge, ...]:
        """What `lease` owes for the time up to `until`, or up to its end if that is earlier."""
        stop = charged_until(lease, until)
        if (
            self.refunds
            and lease.ending is Ending.REVOKED
            and lease.ended is not None
            and lease.ended <= until
            and lease.ended - lease.started < HOUR
        ):
            note = "free: the provider ended it within its first hour"
            return (Charge(lease.id, lease.pool, lease.terms, lease.started, stop, Decimal(0), note),)
        seconds = max(self.minimum, started_units(stop - lease.started, 1.0))
        charges, first = resumed(lease, settled)
        for hour, count, price in stretches(lease, price_at, first, -(-seconds // 3600)):
            start = lease.started + hour * HOUR
            owed = min(count * 3600, seconds - hour * 3600)
            amount = dollars(price, *divmod(owed, 3600))
            end = min(stop, start + count * HOUR)
            charges.append(Charge(lease.id, lease.pool, lease.terms, start, end, amount))
        return tuple(charges)
