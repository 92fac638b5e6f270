"""What a provider tells its client between two decisions."""

from __future__ import annotations

from msgspec import Struct

from tradewind.market.decisions import Watch
from tradewind.market.leases import Ending, LeaseId, Revocation


class Ended(Struct, frozen=True, tag=True):
    """A lease ended: it is no longer listed and no longer charged for."""

    lease: LeaseId
    at: float
    ending: Ending


class Warned(Struct, frozen=True, tag=True):
    """A lease will be revoked."""

    revocation: Revocation


class Crossed(Struct, frozen=True, tag=True):
    """A watch of the last decision came true."""

    watch: Watch
    at: float


News = Warned | Ended | Crossed
