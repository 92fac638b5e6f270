"""Money owed, in Decimal."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal

from msgspec import Struct

from tradewind.market.instances import Pool
from tradewind.market.leases import LeaseId
from tradewind.market.offers import Terms

_EXACT = Context(prec=60)
"""Room for any sum of amounts of 28 digits, so that no sum is rounded, and its order does not matter."""


def add_up(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum of amounts of money."""
    total = Decimal(0)
    for amount in amounts:
        total = _EXACT.add(total, amount)
    return total


class Charge(Struct, frozen=True):
    """Money owed for a stretch of a lease."""

    lease: LeaseId
    pool: Pool
    terms: Terms
    start: float
    end: float
    amount: Decimal
    """US dollars."""
    note: str = ""
    """Why it differs from price times time, such as a refund."""


class Invoice(Struct, frozen=True):
    """Every charge so far, by lease and start."""

    charges: tuple[Charge, ...] = ()
    summed: Decimal | None = None
    """The sum of the amounts, where whoever made the invoice keeps it; None to add them up when asked."""

    @property
    def total(self) -> Decimal:
        """US dollars."""
        if self.summed is not None:
            return self.summed
        return add_up(charge.amount for charge in self.charges)
