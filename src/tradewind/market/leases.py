"""Instances that are ours for a while, and the news of their end."""

from __future__ import annotations

from enum import StrEnum
from typing import NewType

from msgspec import Struct

from tradewind.market.instances import Instance, Pool
from tradewind.market.offers import Terms

LeaseId = NewType("LeaseId", str)


class Ending(StrEnum):
    """How a lease ended."""

    RELEASED = "released"
    """By our wish."""
    REVOKED = "revoked"
    """By the provider's."""
    FAILED = "failed"
    """The instance died, or never answered."""


class Lease(Struct, frozen=True):
    """A granted bid: one instance that is ours from a moment, under terms."""

    id: LeaseId
    instance: Instance
    terms: Terms
    started: float
    """The moment from which it is paid for."""
    limit: float | None = None
    """The bid's limit, US dollars an hour."""
    purpose: str = "work"
    ended: float | None = None
    """The moment it ended; None while it is held."""
    ending: Ending | None = None

    @property
    def pool(self) -> Pool:
        """The pool that its instance came from."""
        return self.instance.pool

    @property
    def held(self) -> bool:
        """Whether it has not ended."""
        return self.ended is None


class Revocation(Struct, frozen=True):
    """News that a lease ends not by our wish: which, warned when, due when."""

    lease: LeaseId
    warned: float
    """The moment of the notice; equal to `due` where there was none."""
    due: float
    """The moment at which the instance is gone."""
