"""What may be had now, and the taking up of it."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from tradewind.market.instances import InstanceType, Pool


class Terms(StrEnum):
    """How an instance is sold."""

    ON_DEMAND = "on_demand"
    RESERVED = "reserved"
    SPOT = "spot"
    BURSTABLE = "burstable"
    FUNCTION = "function"

    @property
    def revocable(self) -> bool:
        """Whether the provider may end a lease under these terms by its own wish."""
        return self is Terms.SPOT


class Price(Struct, frozen=True):
    """Money per time under terms."""

    per_hour: float
    """US dollars an instance-hour."""
    terms: Terms


class Offer(Struct, frozen=True):
    """What may be had now: type, zone, terms, price, how many, expected wait."""

    type: InstanceType
    zone: str
    price: Price
    available: int | None = None
    """How many more could be had now; None where the seller does not say."""
    wait: float = 0.0
    """Expected seconds from a bid until the instance answers."""

    @property
    def pool(self) -> Pool:
        """The pool that it is sold from."""
        return Pool(self.type.name, self.zone)

    @property
    def terms(self) -> Terms:
        """How it is sold."""
        return self.price.terms


class Bid(Struct, frozen=True):
    """An offer taken up, with a limit and a count."""

    pool: Pool
    terms: Terms
    count: int = 1
    limit: float | None = None
    """The highest price accepted, US dollars an instance-hour; None for the seller's own cap (on demand)."""
    purpose: str = "work"
    """What the lease is for, carried as a tag: `work` or `state` of a job, `trial 7` of a study."""
