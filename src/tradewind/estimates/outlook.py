"""A forecast of the market as a policy sees it: how long leases last, and joint scenarios of what comes.

Zones are not independent: on EC2 in 2015 joint revocations are 2 to 5 times as frequent as independence
predicts. So a forecast gives scenarios, in each of which every pool's prices and revocations are those of one
moment of the past, beside the calibrated marginals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from tradewind.market.instances import Pool
from tradewind.market.leases import Lease
from tradewind.market.offers import Offer

NEVER = 1e9
"""Stands for no end in seconds, and for not on offer in US dollars an hour: JSON knows no infinity."""


class Scenario(Struct, frozen=True):
    """One way in which the market may go on, all pools together."""

    weight: float
    """Its probability; those of an outlook add up to 1."""
    revoked: tuple[tuple[float, ...], ...]
    """[pool][delta] seconds from `Outlook.at` until a lease is revoked that began then, or, where the pool is
    neither offered nor held, once it is offered; NEVER if later than the scenario sees, 0 if it is not
    offered for so long."""
    prices: tuple[tuple[float, ...], ...]
    """[pool][step] US dollars an hour at each of `Outlook.steps`; NEVER where nothing is on offer."""


class Outlook(Struct, frozen=True):
    """What is forecast at a moment, for leases that begin then or soon after."""

    at: float
    pools: tuple[Pool, ...]
    """Spot pools, in order; one that lacks was never on offer in the history that the forecast knows."""
    deltas: tuple[float, ...]
    """Bids above the pool's price, US dollars an hour, ascending; of no effect where only capacity counts."""
    horizons: tuple[float, ...]
    """Seconds, ascending."""
    revoked: tuple[tuple[tuple[float, ...], ...], ...]
    """[pool][delta][horizon] probability that a lease is revoked within the horizon of its start: falling in
    the delta, rising in the horizon."""
    steps: tuple[float, ...]
    """Seconds from `at`, ascending from 0."""
    scenarios: tuple[Scenario, ...]


class Forecaster(Protocol):
    """Forecasts a market from its history up to some moment. Pure: equal questions get equal answers."""

    name: str
    """As users write it, such as empirical."""
    refresh: float
    """Seconds after which an outlook is worth renewing."""

    def outlook(self, now: float, offers: tuple[Offer, ...], held: tuple[Pool, ...] = ()) -> Outlook:
        """What comes after `now`, when `offers` stand and spot leases of `held` (one each) are ours.

        A pool whose room our leases fill is not offered, and yet is up. It knows nothing later than these.
        """
        ...


class Foresight:
    """The latest outlook of a forecaster, renewed where it is out of date; none without a forecaster."""

    def __init__(self, forecaster: Forecaster | None) -> None:
        self._forecaster = forecaster
        self._outlook: Outlook | None = None

    def at(self, now: float, offers: tuple[Offer, ...], leases: Sequence[Lease]) -> Outlook | None:
        """The outlook as of `now`, when `offers` stand and `leases` are ours."""
        if self._forecaster is not None and (
            self._outlook is None or now >= self._outlook.at + self._forecaster.refresh
        ):
            held = tuple(lease.pool for lease in leases if lease.terms.revocable)
            self._outlook = self._forecaster.outlook(now, offers, held)
        return self._outlook
