"""Money owed, in Decimal."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from tradewind.market.instances import Pool
from tradewind.market.leases import LeaseId
from tradewind.market.offers import Terms


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

    @property
    def total(self) -> Decimal:
        """US dollars."""
        return sum((charge.amount for charge in self.charges), Decimal(0))
