"""Expected cost over expected work: the formulas of BidBrain.

Proteus (Harlap et al., EuroSys 2017), section 4. A block is a set of leases taken together: a pool, a count,
a limit, the start of its billing hour. With the probability beta that it is revoked within what is left of
its hour, its price P for that hour, k instances that do nu units of work an hour each, t hours left and m the
median time until a revocation:

    expected cost   C = (1 - beta) P k t        the hour that the provider cuts short is free
    expected time   u = (1 - beta) t + beta min(m, t), less pauses
    expected work   W = phi (k u nu), summed over the footprint
    objective       E = C / W, summed over the footprint before it is divided

A low limit is more often revoked, and what is revoked is free: where the tariff forgives a cut hour, low bids
turn into free work. Where it forgives nothing, the whole hour is the cost, and high limits win by themselves.
"""

from __future__ import annotations

from msgspec import Struct

from tradewind.market.tariffs import Refund, Tariff
from tradewind.training.elastic.bidding.chances import Risk, median_time, within

HOUR = 3600.0
NO_RISK: Risk = ((0.0, 0.0),)
"""That of a lease which nobody revokes."""


class Part(Struct, frozen=True):
    """What a block adds to a footprint."""

    cost: float
    """Expected, US dollars."""
    most: float
    """US dollars if it is not revoked."""
    power: float
    """Work an hour: the useful vCPUs of all its instances."""
    hours: float
    """Useful ones expected, before the pauses of the footprint."""
    beta: float
    """The probability that it is revoked within its hour."""


class Footprint(Struct, frozen=True):
    """Everything held, summed up."""

    cost: float = 0.0
    most: float = 0.0
    power: float = 0.0
    work: float = 0.0
    """Work expected, before pauses."""
    calm: float = 1.0
    """The probability that nothing of it is revoked."""

    def plus(self, part: Part) -> Footprint:
        """With one block more."""
        return Footprint(
            self.cost + part.cost,
            self.most + part.most,
            self.power + part.power,
            self.work + part.power * part.hours,
            self.calm * (1 - part.beta),
        )


def expected(
    *,
    price: float,
    power: float,
    count: int,
    seconds: float,
    age: float,
    startup: float,
    tariff: Tariff,
    chances: Risk,
) -> Part:
    """What a block of `count` instances costs and does in the `seconds` left of its hour.

    `price` is that of the hour, `power` the block's useful vCPUs, `age` the seconds since its start,
    `startup` those until it works, and `chances` its risk from now on.
    """
    beta = within(chances, seconds)
    held = (1 - beta) * seconds + beta * min(median_time(chances, seconds), seconds)
    most = price * count * seconds / HOUR
    if tariff.refund is Refund.LAST_UNIT and tariff.unit >= HOUR:
        cost = (1 - beta) * most
    elif tariff.unit >= HOUR:
        cost = most
    else:
        cost = price * count * held / HOUR
        if tariff.refund is Refund.FIRST_HOUR:
            # What ends within the lease's first hour is free: of the time held, the part of those that
            # are revoked before it is over.
            first = min(seconds, max(0.0, HOUR - age))
            free = within(chances, first)
            cost -= price * count * free * min(median_time(chances, first), first) / HOUR
    return Part(max(0.0, cost), most, power, max(0.0, held - startup) / HOUR, beta)
