"""Spot as AWS billed it up to 2017-10-02: by the started hour, a provider-cut hour free.

Proteus (Harlap et al., EuroSys 2017), section 2, builds its bids on this refund.
"""

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


class HourlyWithRefund(Struct, frozen=True):
    """Each started hour at the spot price of the moment at which it starts.

    The hour that the provider cuts short is free; the hour that the user ends early is owed in full.
    """

    valid_from: float = -math.inf
    valid_to: float = 1506902400.0
    """2017-10-02T00:00:00Z."""
    refunds: bool = True
    """Whether the hour that the provider cuts short is free; False for a market that charges every hour."""

    @property
    def tariff(self) -> Tariff:
        """By the hour."""
        return Tariff(HOUR, Refund.LAST_UNIT if self.refunds else Refund.NOTHING)

    def charges(
        self, lease: Lease, price_at: PriceAt, until: float, settled: tuple[Charge, ...] = ()
    ) -> tuple[Charge, ...]:
        """What `lease` owes for the time up to `until`, or up to its end if that is earlier."""
        stop = charged_until(lease, until)
        hours = started_units(stop - lease.started, HOUR)
        cut = lease.ending is Ending.REVOKED and lease.ended is not None and lease.ended <= until
        refunded = self.refunds and cut and stop < lease.started + hours * HOUR - 1e-6
        charges, first = resumed(lease, settled)
        for hour, count, price in stretches(lease, price_at, first, hours - refunded):
            start = lease.started + hour * HOUR
            end = min(stop, start + count * HOUR)
            charges.append(Charge(lease.id, lease.pool, lease.terms, start, end, dollars(price, count)))
        if refunded:
            start = lease.started + (hours - 1) * HOUR
            note = "free: the provider ended it within the hour"
            charges.append(Charge(lease.id, lease.pool, lease.terms, start, stop, Decimal(0), note))
        return tuple(charges)
