"""What a lease is expected to cost and to do: by its price, its bid, how long it will last, and the tariff.

Proteus (Harlap et al., EuroSys 2017), section 4, reckons so hour by hour with one probability; here the
whole curve of survival counts, so that the tariffs of both eras and start-ups come out of one integral.
"""

from __future__ import annotations

from msgspec import Struct

from tradewind.estimates.outlook import Outlook
from tradewind.estimates.survival import Survival
from tradewind.market.instances import Pool
from tradewind.market.tariffs import Refund, Tariff
from tradewind.training.elastic.bidding.chances import risk

HOUR = 3600.0


class Prospect(Struct, frozen=True):
    """One way to hold an instance for a while, and what is expected of it."""

    cost: float
    """US dollars."""
    work: float
    """Hours that it works."""
    seconds: float
    """How long it is expected to be held."""

    @property
    def unit(self) -> float:
        """US dollars for an hour of its work; infinite where it does none."""
        return self.cost / self.work if self.work > 0 else float("inf")


def survival(outlook: Outlook, pool: Pool, delta: float) -> Survival | None:
    """How long a lease of `pool` lasts, bid `delta` above the price; None for a pool the outlook lacks."""
    points = risk(outlook, pool, delta)
    if points is None:
        return None
    return Survival(tuple(age for age, _ in points), tuple(1.0 - chance for _, chance in points))


def prospect(
    price: float, life: Survival, tariff: Tariff, *, startup: float, held_for: float, age: float = 0.0
) -> Prospect:
    """What an instance at `price` US dollars an hour comes to if we hold it for `held_for` seconds more.

    `startup` is how long it does no work from now. `age` is what the lease has behind it: 0 for a new one.
    Billed by the hour, `held_for` is rounded up to the hour that is owed. The price is taken to stay.
    """
    alive = life.at(age)
    if alive <= 0 or held_for <= 0:
        return Prospect(0.0, 0.0, 0.0)
    end = age + held_for
    lived = life.seconds(age, end) / alive
    work = max(0.0, life.seconds(age + startup, end) / alive)
    if tariff.unit >= HOUR:
        cost, begun = 0.0, age
        while begun < end - 1e-6:
            unit_end = begun + tariff.unit
            owed = life.at(unit_end) if tariff.refund is Refund.LAST_UNIT else life.at(begun)
            cost += price * tariff.unit / HOUR * owed / alive
            begun = unit_end
        return Prospect(cost, work / HOUR, lived)
    free = 0.0
    if tariff.refund is Refund.FIRST_HOUR and age < HOUR:
        until = min(HOUR, end)
        # What it had lived for, where it is taken within its first hour: all of it is free.
        free = (life.seconds(age, until) - life.at(until) * (until - age)) / alive
        free += (alive - life.at(until)) / alive * age
    return Prospect(price * (lived - free) / HOUR, work / HOUR, lived)
