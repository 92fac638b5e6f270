"""How an endpoint goes, as it is kept on record every few seconds of the market.

What is counted is counted from the endpoint's start on, so that a line which is lost, or left out because
nothing happened, takes nothing away: what happened between two lines is their difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct

STANDING, BUCKETS = "endpoint", "endpoint_buckets"
"""The kinds of measurement: a `Standing` a line, and once the bounds of its `stays`."""
FUNCTIONS, FUNCTION_TARIFF = "endpoint_functions", "endpoint_function_tariff"
"""More of them: an `interface.FunctionUse` for every interval in which functions did anything, and once the
`FunctionTariff` that they are charged by."""


class FunctionTariff(Struct, frozen=True):
    """What functions are charged by."""

    unit: float
    """Seconds that a call's time is rounded up to."""
    per_gb_second: float
    """US dollars."""
    per_call: float
    """US dollars."""


class Held(Struct, frozen=True):
    """Replicas of one kind."""

    instance_type: str
    terms: str
    leases: int
    """How many are rented, those included whose replica does not answer yet."""
    up: int
    """How many answer."""


class Standing(Struct, frozen=True, kw_only=True):
    """An endpoint at a moment; everything is counted from its start."""

    begun: float = 0.0
    """Requests that came in."""
    in_time: float = 0.0
    late: float = 0.0
    """Answered, but not in time."""
    refused: float = 0.0
    overflowed: float = 0.0
    """Of all of them, those that went to functions."""
    retried: float = 0.0
    """Lost with a replica and given to another."""
    stays: tuple[int, ...] = ()
    """Of those answered, how many in each bucket of seconds."""
    held: tuple[Held, ...] = ()
    """By type and terms."""
    spent: float = 0.0
    """US dollars owed, leases as billed and functions."""
    functions: Decimal = Decimal(0)
    """Of these, for functions."""


def quantile(stays: Sequence[int], buckets: Sequence[float], share: float) -> float | None:
    """The seconds in which that share of the requests was answered, None where there were none.

    `stays[i]` of them took up to `buckets[i]` seconds and more than the bound before; within a bucket they
    are taken to lie evenly. Infinite where it is beyond the last bound.
    """
    total = sum(stays)
    if not total:
        return None
    left, low = share * total, 0.0
    for count, high in zip(stays, buckets, strict=False):
        if count and left <= count:
            return low + (high - low) * max(left, 0.0) / count
        left -= count
        low = high
    return math.inf
