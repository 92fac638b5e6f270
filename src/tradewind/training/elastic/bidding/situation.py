"""A job at a moment: what is left to do and to spend time on, and every way to hold an instance for it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from tradewind.estimates.outlook import Outlook
from tradewind.estimates.survival import CERTAIN, Survival
from tradewind.market.instances import Pool
from tradewind.market.leases import Lease
from tradewind.market.offers import Offer, Terms
from tradewind.market.tariffs import Refund, Tariff
from tradewind.training.elastic.bidding import candidates as offered
from tradewind.training.elastic.bidding.candidates import Candidate
from tradewind.training.elastic.bidding.prospects import HOUR, Prospect, prospect, survival
from tradewind.training.view import TrainingView


class Way(Struct, frozen=True):
    """An offer with a bid, or a lease that may stay, and what is expected of it."""

    unit: float
    """US dollars for an hour of one vCPU's work."""
    vcpus: float
    price: float
    """US dollars an hour of the instance."""
    prospect: Prospect
    spot: bool
    offer: Offer | None = None
    limit: float | None = None
    lease: Lease | None = None


class Situation:
    """What a policy that looks ahead reckons with.

    `prices` are those of spot pools when they were last on offer, US dollars an hour. Without a deadline the
    job is to be done by `end`, if it is not 0, else in `patience` times the time that it needs. `reserve` is
    the share of the remaining work that does not count as slack.
    """

    def __init__(
        self,
        view: TrainingView,
        outlook: Outlook,
        prices: Mapping[Pool, float],
        end: float,
        *,
        reserve: float,
        patience: float,
    ) -> None:
        self.view, self.outlook, self.reserve = view, outlook, reserve
        self._lives: dict[tuple[Pool, float], Survival | None] = {}
        self._paid: dict[_Kin, float] = {}
        self._renewed: dict[_Kin, Way | None] = {}
        self.now = view.market.now
        self.startup = view.progress.startup
        progress = view.progress
        self.hours = max(0.0, progress.total - progress.done) / max(progress.rate, 1e-12) / HOUR
        """vCPU-hours of work that are left."""
        gone = offered.leaving(view)
        self.held = offered.working(view.market.leases, gone)
        self.doomed: dict[Pool, float] = {}
        """The highest limit of a pool's leases under notice: no higher bid would fare better there."""
        for lease in view.market.leases:
            if lease.id in gone:
                limit = math.inf if lease.limit is None else lease.limit
                self.doomed[lease.pool] = max(limit, self.doomed.get(lease.pool, 0.0))
        self.limits = offered.Limits(view.market.offers)
        self.spot = offered.candidates(view.market.offers, view.goal, Terms.SPOT)
        self.steady = offered.candidates(view.market.offers, view.goal, Terms.ON_DEMAND)
        self.tariffs = {terms: view.market.tariff(terms) for terms in (Terms.SPOT, Terms.ON_DEMAND)}
        self.cap = self._size()
        """Useful vCPUs of all workers together, at most."""
        self.prices = {(pool, Terms.SPOT): price for pool, price in prices.items()}
        self.prices |= {(offer.pool, offer.terms): offer.price.per_hour for offer in view.market.offers}
        alone = self.hours * HOUR / self.cap
        if view.goal.deadline is not None:
            end = view.goal.deadline
        self.end = end or self.now + patience * (alone + self.startup) + HOUR
        self.left = self.end - self.now
        self.slack = self.left - alone * (1 + reserve)

    def _size(self) -> float:
        """The most vCPUs that the job will have, of instances that are big enough; others are not looked at.

        Where the goal counts instances, how fast the job is depends on their size. The size at which work on
        demand is cheapest is taken, or the next that still leaves time for it before the deadline.
        """
        goal = self.view.goal
        most = math.inf if goal.vcpus is None else goal.vcpus
        count = goal.workers.count
        found = [*self.steady, *self.spot]
        if not found:
            return min(most, count * max((self.vcpus(lease) for lease in self.held), default=1.0))
        cheapest = (self.steady or self.spot)[0].vcpus
        sizes = sorted({each.vcpus for each in found if each.vcpus >= cheapest})
        left = math.inf if goal.deadline is None else goal.deadline - self.now
        for size in sizes:
            alone = self.hours * HOUR / min(count * size, most)
            if alone * (1 + self.reserve) + 2 * self.startup + offered.RETRY <= left:
                break
        if count * size <= most:
            self.spot = [each for each in self.spot if each.vcpus >= size]
            self.steady = [each for each in self.steady if each.vcpus >= size]
        return min(count * size, most)

    def ways(self) -> list[Way]:
        """Every offer at its every bid worth considering, cheapest work first."""
        found: list[Way] = []
        for each in self.spot:
            price = each.offer.price.per_hour
            limit = self.limits.limit(each.offer)
            if limit is not None and price > limit:
                continue
            for bid in self._bids(price, limit):
                if (math.inf if bid is None else bid) <= self.doomed.get(each.offer.pool, -math.inf):
                    continue
                life = self._life(each.offer.pool, math.inf if bid is None else bid - price)
                if life is not None:
                    found.append(self._way(each, bid, life))
        found += [self._way(each, None, CERTAIN) for each in self.steady]
        found.sort(key=lambda way: way.unit)
        return found

    def _way(self, each: Candidate, limit: float | None, life: Survival) -> Way:
        terms = each.offer.terms
        tariff = self.tariffs[terms]
        price, spot = each.offer.price.per_hour, terms is Terms.SPOT
        expected = prospect(price, life, tariff, startup=self.startup, held_for=self._span(tariff))
        return Way(expected.unit / each.vcpus, each.vcpus, price, expected, spot, each.offer, limit)

    def renewal(self, lease: Lease) -> Way | None:
        """What is expected of a lease that may go on; None where nothing is known of its pool."""
        kin = _kin(lease)
        if kin not in self._renewed:
            self._renewed[kin] = self._renewal(lease)
        way = self._renewed[kin]
        return None if way is None else msgspec.structs.replace(way, lease=lease)

    def _renewal(self, lease: Lease) -> Way | None:
        price = self.prices.get((lease.pool, lease.terms))
        life = CERTAIN if price is None or lease.terms is not Terms.SPOT else self._life_of(lease, price)
        if price is None or life is None:
            return None
        tariff = self.tariffs[lease.terms]
        starting = max(0.0, lease.started + self.startup - self.now)
        # What it has lived through is taken to tell nothing of what comes.
        expected = prospect(price, life, tariff, startup=starting, held_for=self._span(tariff))
        vcpus = self.vcpus(lease)
        return Way(expected.unit / vcpus, vcpus, price, expected, lease.terms is Terms.SPOT)

    def _life_of(self, lease: Lease, price: float) -> Survival | None:
        return self._life(lease.pool, math.inf if lease.limit is None else lease.limit - price)

    def _life(self, pool: Pool, delta: float) -> Survival | None:
        if (pool, delta) not in self._lives:
            self._lives[pool, delta] = survival(self.outlook, pool, delta)
        return self._lives[pool, delta]

    def _span(self, tariff: Tariff) -> float:
        """For how many seconds a lease is reckoned: what is left for it, in whole units, an hour at least."""
        alone = self.hours * HOUR / self.cap + self.startup
        # Who is late works on: then the deadline bounds nothing.
        left = self.left if self.left > alone else math.inf
        if tariff.unit < HOUR:
            return max(60.0, min(alone, left))
        return min(max(HOUR, HOUR * math.floor(min(alone, 4 * HOUR) / HOUR)), left)

    def _bids(self, price: float, limit: float | None) -> list[float | None]:
        """The limits to consider: the outlook's deltas up to the on-demand price, and that itself."""
        if limit is None:
            return [None]
        if self.tariffs[Terms.SPOT].refund is not Refund.LAST_UNIT:
            return [limit]  # to be taken away earns nothing
        bids: list[float | None] = []
        bids += [price + delta for delta in self.outlook.deltas if delta > 0 and price + delta < limit]
        return [*bids, limit]

    def vcpus(self, lease: Lease) -> float:
        """Those of a lease that its worker can use."""
        return offered.useful_vcpus(lease.instance.type.resources.vcpus, self.view.goal)

    def smallest(self) -> float:
        """The useful vCPUs of the smallest instance on offer; infinite where there is none."""
        return min((each.vcpus for each in (*self.spot, *self.steady)), default=math.inf)

    def hourly(self, way: Way) -> bool:
        """Whether every hour that is begun is owed in full."""
        return self.tariffs[Terms.SPOT if way.spot else Terms.ON_DEMAND].unit >= HOUR

    def by_the_hour(self, lease: Lease) -> bool:
        """The same of a lease that is held."""
        return self.tariffs[lease.terms].unit >= HOUR

    def paid_until(self, lease: Lease) -> float:
        """The moment up to which a lease is owed whatever is done now."""
        if not self.by_the_hour(lease):
            return self.now
        unit = self.tariffs[lease.terms].unit
        return lease.started + unit * max(1, math.ceil((self.now - lease.started) / unit - 1e-9))

    def paid_work(self, lease: Lease) -> float:
        """vCPU-hours that a lease is expected to do up to the end of its paid hour."""
        kin = _kin(lease)
        if kin not in self._paid:
            self._paid[kin] = self._paid_work(lease)
        return self._paid[kin]

    def _paid_work(self, lease: Lease) -> float:
        until = min(self.paid_until(lease), self.end) - self.now
        starting = max(0.0, lease.started + self.startup - self.now)
        if until <= starting:
            return 0.0
        life: Survival | None = CERTAIN
        if lease.terms is Terms.SPOT:
            life = self._life_of(lease, self.prices.get((lease.pool, lease.terms), 0.0))
        return self.vcpus(lease) * (life or CERTAIN).seconds(starting, until) / HOUR


_Kin = tuple[Pool, Terms, float | None, float, str]


def _kin(lease: Lease) -> _Kin:
    """Equal for leases of one bid, of which a job holds hundreds: what is expected of them is equal too."""
    return lease.pool, lease.terms, lease.limit, lease.started, lease.instance.type.name
