"""What an hour of a replica is expected to cost by its offer and its limit: refunds, start-ups, revocations.

Tributary (Harlap et al., ATC 2018), section 4, reckons the hour that the provider cuts short as free, and so
a low bid as cheap; what it leaves out, the start-up that follows each revocation, is reckoned here too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from tradewind.estimates.outlook import Outlook
from tradewind.estimates.survival import Survival
from tradewind.market.instances import Pool
from tradewind.market.tariffs import Refund, Tariff
from tradewind.serving.provisioning.fleet import HOUR, Way


class Prospect(Struct, frozen=True):
    """One way to run a replica, and what is expected of it."""

    way: Way
    limit: float | None
    """US dollars an hour; None for the ceiling."""
    unit: float
    """US dollars for an hour of one request a second."""
    revoked: float
    """Probability that it is revoked within an hour of its start."""


def survival(outlook: Outlook, pool: Pool, delta: float) -> Survival | None:
    """How long a lease lasts whose limit is `delta` US dollars an hour above the price; None for a pool that
    the outlook does not know. Between two deltas of the outlook the lower is taken."""
    if pool not in outlook.pools:
        return None
    rows = outlook.revoked[outlook.pools.index(pool)]
    under = [at for at, each in enumerate(outlook.deltas) if each <= delta * (1 + 1e-9)]
    ages, alive = [0.0], [1.0]
    for horizon, chance in zip(outlook.horizons, rows[under[-1]] if under else rows[0], strict=True):
        ages.append(horizon)
        alive.append(min(alive[-1], 1.0 - min(1.0, max(0.0, chance))))
    return Survival(tuple(ages), tuple(alive))


def prospects(
    ways: Sequence[Way], outlook: Outlook | None, tariffs: dict[bool, Tariff], *, startup: float,
    move: float, hold: float,
) -> list[Prospect]:  # fmt: skip
    """Every way at every limit that is worth a thought, the cheapest first.

    `tariffs` are those of spot (True) and of the rest; `move` is what a revocation costs besides, in seconds
    of the replica's work; `hold` the seconds for which a replica is expected to be wanted. Without an
    outlook, spot is taken for safe at its ceiling.
    """
    found = []
    for way in ways:
        tariff = tariffs[way.spot]
        limits: list[tuple[float | None, Survival | None]] = [(None, None)]
        if way.spot and outlook is not None:
            limits = [(None, survival(outlook, way.offer.pool, max(0.0, way.ceiling - way.price)))]
            if tariff.refund is Refund.LAST_UNIT and tariff.unit >= HOUR:
                limits += [
                    (way.price + delta, survival(outlook, way.offer.pool, delta))
                    for delta in outlook.deltas
                    if way.price + delta < way.ceiling
                ]
        for limit, life in limits:
            found.append(_prospect(way, limit, life, tariff, startup, move, hold))
    return sorted(found, key=lambda each: each.unit)


def _prospect(
    way: Way, limit: float | None, life: Survival | None, tariff: Tariff, startup: float, move: float,
    hold: float,
) -> Prospect:  # fmt: skip
    if life is None:
        units = math.ceil(hold / tariff.unit - 1e-9) * tariff.unit
        return Prospect(way, limit, way.unit * units / max(1.0, hold - startup), 0.0)
    unit = max(tariff.unit, 1.0)
    useful = life.seconds(min(startup, hold), hold) - move * (1.0 - life.at(hold))
    if unit >= HOUR:
        owed, begun = 0.0, 0.0
        while begun < hold - 1e-6:
            owed += unit * (life.at(begun + unit) if tariff.refund is Refund.LAST_UNIT else life.at(begun))
            begun += unit
    else:
        owed = life.seconds(0.0, hold)
        if tariff.refund is Refund.FIRST_HOUR:
            first = min(HOUR, hold)
            owed -= life.seconds(0.0, first) - life.at(first) * first
    return Prospect(way, limit, way.unit * owed / useful if useful > 0 else math.inf, 1.0 - life.at(HOUR))
