"""What a policy may know of how it will be billed: the unit, and what the provider forgives."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Refund(StrEnum):
    """What is not owed when the provider ends a lease."""

    NOTHING = "nothing"
    """All of it is owed."""
    LAST_UNIT = "last_unit"
    """The unit that the provider cut short is free (AWS spot to 2017-10-02)."""
    FIRST_HOUR = "first_hour"
    """A lease that the provider ends within its first hour is free (AWS spot since 2017-10-02)."""


class Tariff(Struct, frozen=True):
    """How the time of a lease is billed; the rule itself is in `market.billing`."""

    unit: float = 1.0
    """Seconds: each unit begun, from the lease's start on, is owed in full at the price of its start."""
    refund: Refund = Refund.NOTHING


BY_THE_SECOND = Tariff()
