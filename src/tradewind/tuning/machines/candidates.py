"""The machines that a trial may go to, and what a step of it is expected to cost on each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from tradewind.market.decisions import CapacityAbove
from tradewind.market.instances import Pool
from tradewind.market.leases import Lease
from tradewind.market.offers import Bid, Offer, Terms
from tradewind.market.tariffs import Refund
from tradewind.tuning.machines.interface import TuningView, purpose_of
from tradewind.tuning.machines.step_cost import HOUR, step_costs


class Machine(Struct, frozen=True):
    """Something that could be rented for a trial."""

    offer: Offer
    limit: float | None
    """What would be bid, US dollars an hour; None for the seller's own cap."""
    per_step: float
    """US dollars, expected; infinite where no step is expected to be finished."""

    def bid(self, trial: int) -> Bid:
        """The bid for the trial."""
        return Bid(self.offer.pool, self.offer.terms, 1, self.limit, purpose_of(trial))


class Candidates:
    """All that a trial could be rented at a moment, or stay on, with what is taken already left out.

    Args:
        view: the moment.
        revoked: the chance of a revocation within an hour, of pools that no outlook speaks of.
        value_of_time: US dollars that an hour of a trial is worth.
        terms: those under which anything is rented; None for all.

    Between and beyond the horizons of an outlook the hazard is taken to be even. O(offers * deltas) a trial.
    """

    def __init__(
        self, view: TuningView, revoked: float, value_of_time: float = 0.0, terms: Terms | None = None
    ) -> None:
        self._view, self._base, self._worth = view, revoked, value_of_time
        types = {name: at for at, name in enumerate(view.types)}
        fitting = [
            each
            for each in view.market.offers
            if each.type.name in types and view.demand.accepts(each.type, each.zone)
        ]
        # A type on which trials are believed to fail is taken only where the market sells no other one.
        sound = [
            each
            for each in fitting
            if each.type.name not in view.doubted and (terms is None or each.terms is terms)
        ]
        self.left_out = frozenset(view.doubted) if sound else frozenset()
        """Types that are not taken."""
        self.offers = [each for each in sound or fitting if each.available != 0]
        self.doubts = [
            f"a trial on {name} is believed to end whole with probability {view.doubted[name]:.2f} only"
            f"{', so it is left out' if sound else ', but nothing else fits'}"
            for name in sorted({each.type.name for each in fitting} & view.doubted.keys())
        ]
        """What is to be said of types that the trials may be too large for."""
        self._place = {(each.pool, each.terms): at for at, each in enumerate(self.offers)}
        self._room = [math.inf if each.available is None else each.available for each in self.offers]
        self._prices = {
            (each.type.name, each.zone, each.terms): each.price.per_hour for each in view.market.offers
        }
        outlook = view.outlook
        self._pools = {} if outlook is None else {pool: at for at, pool in enumerate(outlook.pools)}
        self._horizons = np.log([HOUR] if outlook is None else outlook.horizons)
        rows: list[tuple[int, float | None]] = []
        hazards: list[list[float]] = []
        for at, each in enumerate(self.offers):
            known = each.terms.revocable and outlook is not None and each.pool in self._pools
            for delta in (None, *outlook.deltas) if known and outlook is not None else (None,):
                rows.append((at, delta))
                hazards.append(self._hazards(each.pool, each.terms, delta))
        self._rows = rows
        self._at = np.array([at for at, _ in rows], np.intp)
        self._hazard = np.array(hazards).reshape(len(rows), len(self._horizons))
        self._type = np.array([types[self.offers[at].type.name] for at, _ in rows], np.intp)
        self._price = np.array([self.offers[at].price.per_hour for at, _ in rows])
        self._wait = np.array([max(self.offers[at].wait, view.boot) for at, _ in rows])
        self._refund = [self._refunds(self.offers[at].terms) for at, _ in rows]
        self._first_hour = np.array([refund is Refund.FIRST_HOUR for refund, _ in self._refund], bool)
        self._unit = np.array(
            [unit if refund is Refund.LAST_UNIT else 0.0 for refund, unit in self._refund], float
        )

    def best(
        self, trial: int, left: int, begun: bool, within: Sequence[bool] | None = None
    ) -> Machine | None:
        """Where a step is expected to cost least; of equals the first offer, and of its bids the least.

        `within`, one an offer, says which may be taken. None where nothing is there to be rented. Where no
        machine is expected to finish a step, as when next to nothing is left to do, it is the one whose steps
        would cost least if it stayed: to wait for ever would finish none.
        """
        open_ = np.array([room > 0 for room in self._room], bool)
        if within is not None:
            open_ &= np.asarray(within, bool)
        if not len(self._rows) or not open_.any():
            return None
        costs = np.where(open_[self._at], self._costs(trial, left, begun), np.inf)
        row = int(np.argmin(costs))
        if not np.isfinite(costs[row]):
            seconds = np.asarray(self._view.seconds[str(trial)])[self._type]
            row = int(np.argmin(np.where(open_[self._at], self._price * seconds, np.inf)))
        at, delta = self._rows[row]
        offer = self.offers[at]
        limit = None if delta is None else offer.price.per_hour + delta
        return Machine(offer, limit, float(costs[row]))

    def usable(self, leases: Sequence[Lease]) -> list[Lease]:
        """Those of the leases that a trial may be put on: not of a type that is left out."""
        return [each for each in leases if each.instance.type.name not in self.left_out]

    def take(self, offer: Offer) -> None:
        """Leave one instance less of an offer to the trials that come after."""
        self._room[self._place[offer.pool, offer.terms]] -= 1

    def room(self, offer: Offer) -> float:
        """How many instances of an offer are left."""
        return self._room[self._place[offer.pool, offer.terms]]

    def chance(self, pool: Pool, terms: Terms, delta: float | None, seconds: float) -> float:
        """The chance of a revocation within so many seconds, with a bid of `delta` above the price; None for
        the seller's own cap."""
        return -math.expm1(-self._hazard_of(pool, terms, delta, seconds) * seconds)

    def price(self, lease: Lease) -> float:
        """US dollars that an hour of the lease costs now, or cost when its pool was last on offer; its limit
        where it never was."""
        key = lease.instance.type.name, lease.instance.zone, lease.terms
        return self._prices.get(key, self._view.prices.get(lease.id, lease.limit or 0.0))

    def staying(self, lease: Lease, trial: int, left: int) -> float:
        """US dollars that a step is expected to cost on a lease that is there, at this moment's price.

        What is left of a unit that was begun is owed either way, and costs nothing more.
        """
        view, price = self._view, self.price(lease)
        seconds = view.seconds_of(trial, lease.instance.type.name)
        horizon = min(HOUR, max(left * seconds, seconds, 1.0))
        delta = None if lease.limit is None else max(0.0, lease.limit - price)
        refund, unit = self._refunds(lease.terms)
        age = view.market.now - lease.started
        refunded = 0.0
        if refund is Refund.FIRST_HOUR:
            refunded = min(1.0, max(0.0, HOUR - age) / horizon)
        elif refund is Refund.LAST_UNIT:
            refunded = min(1.0, unit / 2 / horizon)
        chance = self.chance(lease.pool, lease.terms, delta, horizon)
        lost = min(view.lost, horizon / 2)
        owed = max(0.0, horizon - paid_for(view, lease)) / horizon
        return float(step_costs(price * owed, seconds, chance, horizon, 0.0, lost, refunded, self._worth))

    def _costs(self, trial: int, left: int, begun: bool) -> np.ndarray:
        view = self._view
        seconds = np.asarray(view.seconds[str(trial)])[self._type]
        overhead = self._wait + (view.restore if begun else 0.0)
        # wanted until the trial is done, for an hour at most
        horizon = np.minimum(HOUR, np.maximum(left * seconds + overhead, np.maximum(overhead + seconds, 1.0)))
        nearest = np.abs(self._horizons[None, :] - np.log(horizon)[:, None]).argmin(axis=1)
        hazard = self._hazard[np.arange(len(horizon)), nearest]
        refunded = np.where(
            self._first_hour, np.minimum(1.0, HOUR / horizon), np.minimum(1.0, self._unit / 2 / horizon)
        )
        chance = -np.expm1(-hazard * horizon)
        lost = np.minimum(view.lost, horizon / 2)
        return step_costs(self._price, seconds, chance, horizon, overhead, lost, refunded, self._worth)

    def _hazard_of(self, pool: Pool, terms: Terms, delta: float | None, seconds: float) -> float:
        """Revocations a second, by the horizon that is nearest."""
        nearest = int(np.argmin(np.abs(self._horizons - math.log(seconds))))
        return self._hazards(pool, terms, delta)[nearest]

    def _hazards(self, pool: Pool, terms: Terms, delta: float | None) -> list[float]:
        """Revocations a second, by horizon."""
        if not terms.revocable:
            return [0.0] * len(self._horizons)
        outlook = self._view.outlook
        if outlook is None or pool not in self._pools:
            return [-math.log1p(-self._base) / HOUR] * len(self._horizons)
        by_delta = outlook.revoked[self._pools[pool]]
        row = by_delta[-1]
        if delta is not None:
            row = by_delta[max([at for at, each in enumerate(outlook.deltas) if each <= delta], default=0)]
        return [
            -math.log1p(-min(chance, 1.0 - 1e-9)) / horizon
            for chance, horizon in zip(row, outlook.horizons, strict=True)
        ]

    def _refunds(self, terms: Terms) -> tuple[Refund, float]:
        tariff = self._view.market.tariff(terms)
        return (tariff.refund, tariff.unit) if terms.revocable else (Refund.NOTHING, tariff.unit)


def paid_for(view: TuningView, lease: Lease) -> float:
    """Seconds that are left of the unit that a lease has begun, and owes; 0 where one ends at this moment."""
    unit = view.market.tariff(lease.terms).unit
    past = (view.market.now - lease.started) % unit
    return unit - past if unit > 1.0 and past > 0.0 else 0.0


def done_with(view: TuningView) -> list[Lease]:
    """Leases under notice that nothing runs on, unless waiting for their end gives money back."""
    used = {each.lease for each in view.placed}
    return [
        lease
        for lease in view.market.leases
        if lease.id in view.leaving and lease.id not in used and not _would_refund(view, lease)
    ]


def awaited(view: TuningView) -> tuple[CapacityAbove, ...]:
    """What to be told of where trials wait: room in a pool that is not on offer any more."""
    return tuple(CapacityAbove(pool, 0) for pool in view.gone)


def by_earlier_runs(view: TuningView, instance_type: str) -> str:
    """A word where a type was not timed in this study, and its speed is what earlier runs had; else none."""
    told = instance_type in view.foretold and instance_type not in view.measured
    return ", as earlier runs took" if told else ""


def sentence(said: Sequence[str]) -> str:
    """What a decision says, as one sentence."""
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}."


def _would_refund(view: TuningView, lease: Lease) -> bool:
    refund = view.market.tariff(lease.terms).refund
    young = view.market.now - lease.started < HOUR
    return refund is Refund.LAST_UNIT or (refund is Refund.FIRST_HOUR and young)
