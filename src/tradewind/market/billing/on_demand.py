"""On-demand as AWS billed it: by the started hour up to 2017-10-02, by the second since."""

from __future__ import annotations

import math

from msgspec import Struct

from tradewind.market.billing.interface import PriceAt
from tradewind.market.billing.stretches import charged_until, dollars, started_units
from tradewind.market.charges import Charge
from tradewind.market.leases import Lease
from tradewind.market.tariffs import Tariff


class OnDemand(Struct, frozen=True):
    """Each started unit of time, at the list price of the lease's start, whoever ends it."""

    valid_from: float
    valid_to: float
    unit: int
    """Seconds that are billed together: 3600 or 1."""
    minimum: int
    """Seconds that are owed at least."""

    @property
    def tariff(self) -> Tariff:
        """By the hour or the second."""
        return Tariff(float(self.unit))

    def charges(
        self, lease: Lease, price_at: PriceAt, until: float, settled: tuple[Charge, ...] = ()
    ) -> tuple[Charge, ...]:
        """What `lease` owes for the time up to `until`, or up to its end if that is earlier."""
        stop = charged_until(lease, until)
        seconds = max(self.minimum, self.unit * started_units(stop - lease.started, self.unit))
        if not seconds:
            return ()
        amount = dollars(price_at(lease.started), *divmod(seconds, 3600))
        return (Charge(lease.id, lease.pool, lease.terms, lease.started, stop, amount),)


HOURLY = OnDemand(-math.inf, 1506902400.0, unit=3600, minimum=0)
"""Up to 2017-10-02."""
BY_THE_SECOND = OnDemand(1506902400.0, math.inf, unit=1, minimum=60)
"""Since 2017-10-02, Linux."""
