"""What a policy answers: actions, the reason in words, and when to ask again."""

from __future__ import annotations

from msgspec import Struct

from tradewind.market.instances import Pool
from tradewind.market.leases import LeaseId
from tradewind.market.offers import Bid


class Take(Struct, frozen=True, tag=True):
    """Take up an offer."""

    bid: Bid


class Release(Struct, frozen=True, tag=True):
    """End a lease by our wish."""

    lease: LeaseId


class Use(Struct, frozen=True, tag=True):
    """Use a lease that is held for something else from now on."""

    lease: LeaseId
    purpose: str
    """As in `Bid.purpose`."""


Action = Take | Release | Use


class PriceAbove(Struct, frozen=True, tag=True):
    """Ask again when the pool's spot price is above `level`, US dollars an hour."""

    pool: Pool
    level: float


class PriceBelow(Struct, frozen=True, tag=True):
    """Ask again when the pool's spot price is below `level`, US dollars an hour."""

    pool: Pool
    level: float


class CapacityAbove(Struct, frozen=True, tag=True):
    """Ask again when more than `level` further instances of the pool can be had."""

    pool: Pool
    level: int


Watch = PriceAbove | PriceBelow | CapacityAbove


class Decision(Struct, frozen=True):
    """A policy's actions, the reason in words, when to ask again."""

    actions: tuple[Action, ...]
    reason: str
    wake_at: float
    """Ask again at this moment at the latest; later than the view's."""
    watch: tuple[Watch, ...] = ()
    """Ask again earlier if one of these comes true. News of a lease always asks again."""
