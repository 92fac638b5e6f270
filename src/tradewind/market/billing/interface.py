"""The seam to whoever reckons what a lease owes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tradewind.market.charges import Charge
from tradewind.market.leases import Lease
from tradewind.market.tariffs import Tariff

PriceAt = Callable[[float], float]
"""The price at a moment, US dollars an instance-hour."""


class BillingRule(Protocol):
    """Reckons what a lease owes under terms, for leases that start within a span of years.

    1. The answer depends on the lease, the prices and `until` alone; after the lease's end it stays.
    2. The total of an open lease never falls as `until` rises. An ending may lower it (a refund), never
       below 0, or settle a debt (burst credits).
    3. Charges follow one another in time; adjacent stretches at one price are one charge.
    4. `settled` is what the rule answered for the same lease and an earlier `until`: it may build on all
       but the last of these, and gives the answer that it would give without.
    """

    @property
    def valid_from(self) -> float:
        """The first moment of a lease's start that the rule is for; minus infinity for any."""
        ...

    @property
    def tariff(self) -> Tariff:
        """What a policy may know of it."""
        ...

    @property
    def valid_to(self) -> float:
        """The moment from which it no longer is; infinity for none."""
        ...

    def charges(
        self, lease: Lease, price_at: PriceAt, until: float, settled: tuple[Charge, ...] = ()
    ) -> tuple[Charge, ...]:
        """What `lease` owes for the time up to `until`, or up to its end if that is earlier."""
        ...
