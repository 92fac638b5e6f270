"""Arithmetic that the billing rules share: dollars in Decimal, and hours of a lease at one price."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Context, Decimal

from tradewind.market.billing.interface import PriceAt
from tradewind.market.charges import Charge
from tradewind.market.leases import Lease

HOUR = 3600.0
_EXACT = Context(prec=28)
"""The caller's own decimal context never changes a bill."""


def dollars(price: float, hours: int, seconds: int = 0) -> Decimal:
    """`price` an hour for whole hours and seconds, at 28 significant digits.

    The price becomes a Decimal through its shortest text, so that 0.1 is a tenth.
    """
    rate = Decimal(repr(float(price)))
    whole = _EXACT.multiply(rate, Decimal(hours))
    if not seconds:
        return whole
    return plus(whole, _EXACT.divide(_EXACT.multiply(rate, Decimal(seconds)), Decimal(3600)))


def times(amount: float, units: float | Decimal) -> Decimal:
    """`amount` for each of `units`, at 28 significant digits."""
    many = units if isinstance(units, Decimal) else Decimal(repr(float(units)))
    return _EXACT.multiply(Decimal(repr(float(amount))), many)


def plus(one: Decimal, other: Decimal) -> Decimal:
    """The sum, at 28 significant digits."""
    return _EXACT.add(one, other)


def charged_until(lease: Lease, until: float) -> float:
    """The moment up to which `lease` has been held, seen at `until`; not before its start."""
    return max(lease.started, until if lease.ended is None else min(lease.ended, until))


def started_units(seconds: float, unit: float) -> int:
    """How many units of time have been started; a microsecond is no start."""
    return max(0, math.ceil((seconds - 1e-6) / unit))


def stretches(lease: Lease, price_at: PriceAt, first: int, hours: int) -> Iterator[tuple[int, int, float]]:
    """The hours of a lease from number `first` up to `hours`, as (number, count, price) of equal price.

    An hour has the price of the moment at which it starts, counted from the lease's start.
    """
    begun, price = first, math.nan
    for hour in range(first, hours):
        at_start = price_at(lease.started + hour * HOUR)
        if hour == first:
            price = at_start
        elif at_start != price:
            yield begun, hour - begun, price
            begun, price = hour, at_start
    if hours > first:
        yield begun, hours - begun, price


def resumed(lease: Lease, settled: tuple[Charge, ...]) -> tuple[list[Charge], int]:
    """What of `settled` stays, and the number of the hour from which to reckon again."""
    if not settled:
        return [], 0
    return list(settled[:-1]), round((settled[-1].start - lease.started) / HOUR)
