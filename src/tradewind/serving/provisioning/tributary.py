"""Tributary: more of the cheap and risky than is needed, so that enough is left whatever is taken away.

Harlap et al., "Tributary: spot-dancing for elastic services with latency SLOs", USENIX ATC 2018, section 4.
The distribution of what a footprint leaves is in `footprint`; with `correlated`, zones of one type share
their fate as often as they did in the outlook's joint scenarios, which the paper leaves out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.errors import Misuse
from tradewind.estimates.outlook import Outlook
from tradewind.market.decisions import Action, Decision
from tradewind.market.instances import Pool
from tradewind.market.leases import LeaseId
from tradewind.market.offers import Terms
from tradewind.market.tariffs import Refund
from tradewind.serving.provisioning.fleet import HOUR, Fleet, Held, Way, burst, checked, counted, released
from tradewind.serving.provisioning.footprint import (
    CELLS,
    Rest,
    Stake,
    beside,
    distribution,
    expected,
    joined,
    of_type,
    rest_of,
    shocks_of,
)
from tradewind.serving.provisioning.interface import ServingView
from tradewind.serving.provisioning.spot_prospects import survival

_PARTS = (8, 2)
"""Allocations of one instance are considered, and of these parts of what the whole demand would take."""
_CHEAPEST = 6
"""Spot pools that are considered: those whose requests cost the least."""
_EDGE = 5.0
"""Seconds before the end of an allocation's hour at which what was not renewed is released."""


class _Choice(Struct, frozen=True):
    """An allocation that could be added, or a lease that could be kept for another hour."""

    stake: Stake
    cost: float
    """US dollars expected of its hour."""
    way: Way | None = None
    count: int = 1
    limit: float | None = None
    held: tuple[Held, ...] = ()
    """Leases taken together, which are kept or let go together."""


class Tributary:
    """Fills P(capacity >= demand) >= `confidence` with the allocations that cost the least for what they add.

    The demand is the largest of the forecast within `ahead` seconds, times `headroom` and the burst within an
    interval. Candidates are spot at the price plus each delta of the outlook, and on demand. Leases are
    reviewed `startup` before each of their hours ends (of `review` seconds, where they are billed by the
    second): what is not in the cheapest footprint is released at the end. What can go without breaking the
    promise goes, the dearest first. `correlated` adds a common shock to the zones of a type. Needs an
    outlook and a forecast of the load.
    """

    overflow = False

    def __init__(
        self,
        confidence: float = 0.95,
        headroom: float = 1.1,
        ahead: float = 600.0,
        review: float = 600.0,
        correlated: bool = False,
        forecaster: str = "linear_weighted",
    ) -> None:
        self.name = "tributary_correlated" if correlated else "tributary"
        self.confidence = checked(self.name, "confidence", confidence, 0.01, 1 - 1e-9)
        self.headroom = checked(self.name, "headroom", headroom, 0.1, 100.0)
        self.ahead = checked(self.name, "ahead", ahead, 1.0)
        self.review = checked(self.name, "review", review, 60.0)
        self.correlated, self.forecaster = correlated, forecaster

    def recall(self) -> None:
        """It remembers nothing: the leases and the outlook say it all."""

    def decide(self, view: ServingView, memory: None) -> tuple[Decision, None]:
        """Renew or let go what is due, fill what lacks, prune what is too much."""
        for field, value in (("outlook", view.outlook), ("forecast", view.forecast)):
            if value is None:
                raise Misuse(
                    f"the view has no {field}", source=f"policy {self.name}", field="forecaster",
                    fix="Give the run a forecaster of the market and one of the load.",
                )  # fmt: skip
        assert view.outlook is not None
        return _Deciding(self, view, view.outlook).decide(), None


class _Deciding:
    """One decision."""

    def __init__(self, policy: Tributary, view: ServingView, outlook: Outlook) -> None:
        self.policy, self.view, self.outlook, self.fleet = policy, view, outlook, Fleet(view)
        self.now = view.now
        self.demand = self._demand()
        self.shocks: dict[str, float] = shocks_of(outlook, 0.01) if policy.correlated else {}

    def _demand(self) -> float:
        forecast = self.view.forecast
        assert forecast is not None
        steps = max(1, math.ceil(max(self.policy.ahead, self.view.startup) / forecast.interval))
        return max(max(forecast.mean[:steps]) * self.policy.headroom * burst(self.view), 1e-6)

    def decide(self) -> Decision:
        """Renew or let go what is due, fill what lacks, prune what is too much."""
        due = [each for each in self.fleet.staying if self._due(each)]
        known = {each.lease.id for each in due}
        stakes = [self._stake(each) for each in self.fleet.staying if each.lease.id not in known]
        chosen = self._fill(stakes, self._renewals(due))
        chosen = self._prune(stakes, chosen)
        kept = {each.lease.id for choice in chosen for each in choice.held}
        actions: list[Action] = []
        words: list[str] = []
        for each in chosen:
            if each.way is not None:
                actions.append(each.way.take(each.count, each.limit))
                words.append(
                    f"{counted(each.count)} in {each.way.offer.pool} at {each.way.price:.4f} USD an hour, "
                    f"revoked within the hour with {each.stake.revoked:.2f}."
                )
        going = [each for each in due if each.lease.id not in kept and self._left(each) <= _EDGE]
        # What takes its place must answer before it may go.
        ready = self.fleet.capacity(self.now)
        ending: list[Held] = []
        for held in sorted(going, key=lambda one: (-one.price / max(one.rate, 1e-9), one.lease.id)):
            if self._by_the_hour(held) or ready - held.rate >= self.demand or held.ready > self.now:
                ending.append(held)
                ready -= held.rate if held.ready <= self.now else 0.0
        actions += released(ending)
        if ending:
            words.append(f"{counted(len(ending))} will not be renewed.")
        if not words:
            words.append(f"{counted(len(self.fleet.staying))} secure {self.demand:.1f} requests a second.")
        return Decision(tuple(actions), " ".join(words), self._wake({each.lease.id for each in ending}))

    def _wake(self, gone: set[LeaseId]) -> float:
        forecast = self.view.forecast
        assert forecast is not None
        wake = self.now + forecast.interval
        for each in self.fleet.staying:
            if each.lease.id not in gone:
                moments = [self._left(each) - before for before in (self._lead(), _EDGE - 1.0)]
                wake = min([wake, *(self.now + late for late in moments if late > 1.0)])
        return wake

    def _by_the_hour(self, held: Held) -> bool:
        return self.view.market.tariff(held.lease.terms).unit >= HOUR

    def _left(self, held: Held) -> float:
        """Seconds until the end of the hour (or the review) that a lease is in."""
        period = HOUR if self._by_the_hour(held) else self.policy.review
        return period - math.fmod(self.now - held.lease.started, period)

    def _lead(self) -> float:
        return self.view.startup + 2 * _EDGE

    def _due(self, held: Held) -> bool:
        return self._left(held) <= self._lead()

    def _chance(self, pool: Pool, delta: float, seconds: float) -> float:
        life = survival(self.outlook, pool, delta)
        return 0.0 if life is None else 1.0 - life.at(seconds)

    def _stake(self, held: Held, seconds: float | None = None) -> Stake:
        revoked = 0.0
        if held.lease.terms.revocable:
            limit = math.inf if held.lease.limit is None else held.lease.limit
            within = self._left(held) if seconds is None else seconds
            revoked = self._chance(held.lease.pool, max(0.0, min(limit - held.price, 1e6)), within)
        return Stake(held.lease.pool, held.rate, revoked)

    def _owed(self, price: float, terms: Terms, revoked: float, young: bool) -> float:
        """US dollars expected of an hour: what is cut short may be free."""
        refund = self.view.market.tariff(terms).refund
        free = refund is Refund.LAST_UNIT or (refund is Refund.FIRST_HOUR and young)
        return price * (1.0 - revoked) if free else price * (1.0 - 0.5 * revoked)

    def _renewals(self, due: Sequence[Held]) -> list[_Choice]:
        """Another hour of each block of leases that were taken together."""
        blocks: dict[tuple[Pool, str, float, float], list[Held]] = {}
        for each in due:
            limit = -1.0 if each.lease.limit is None else each.lease.limit
            key = (each.lease.pool, each.lease.terms.value, limit, each.lease.started)
            blocks.setdefault(key, []).append(each)
        found = []
        for members in blocks.values():
            one = members[0]
            stake = self._stake(one, HOUR)
            young = self.now - one.lease.started < HOUR
            cost = len(members) * self._owed(one.price, one.lease.terms, stake.revoked, young)
            whole = Stake(stake.pool, len(members) * one.rate, stake.revoked)
            found.append(_Choice(whole, cost, held=tuple(members)))
        return found

    def _offers(self) -> list[_Choice]:
        """Every allocation that is worth a thought."""
        spot = [way for way in self.fleet.ways if way.spot and way.offer.pool not in self.fleet.shunned]
        steady = [way for way in self.fleet.ways if not way.spot]
        found: list[_Choice] = []
        late = self.view.startup / HOUR
        for way in (*spot[:_CHEAPEST], *steady[:1]):
            limits: list[tuple[float | None, float]] = [(None, 0.0)]
            if way.spot:
                deltas = [each for each in self.outlook.deltas if way.price + each < way.ceiling]
                most = max(0.0, way.ceiling - way.price)
                limits = [(None, self._chance(way.offer.pool, min(most, 1e6), HOUR))]
                limits += [(way.price + delta, self._chance(way.offer.pool, delta, HOUR)) for delta in deltas]
            seen: set[float] = set()
            for limit, revoked in limits:
                if round(revoked, 3) in seen:
                    continue
                seen.add(round(revoked, 3))
                whole = math.ceil(self.demand / way.rate)
                for count in sorted({1, *(max(1, whole // part) for part in _PARTS)}):
                    room = way.offer.available
                    if room is not None and count > room:
                        break
                    cost = count * self._owed(way.price, way.offer.terms, revoked, True) / (1.0 - late)
                    stake = Stake(way.offer.pool, count * way.rate, revoked)
                    found.append(_Choice(stake, cost, way, count, limit))
        return found

    def _fill(self, stakes: Sequence[Stake], due: Sequence[_Choice]) -> list[_Choice]:
        """The best additions one after another, until the demand is secured."""
        chosen: list[_Choice] = []
        offers: list[_Choice] | None = None
        waiting = list(due)
        now = list(stakes)
        for _ in range(60):
            known = distribution(now, self.demand, self.shocks)
            if known[CELLS] >= self.policy.confidence:
                break
            offers = self._offers() if offers is None else offers
            best = self._best(now, known, [*waiting, *offers])
            if best is None:
                break
            chosen.append(best)
            now.append(best.stake)
            waiting = [each for each in waiting if each is not best]
        return chosen

    def _best(
        self, stakes: Sequence[Stake], known: NDArray[np.float64], choices: Sequence[_Choice]
    ) -> _Choice | None:
        """The choice of least expected cost for the expected demand that it adds; ties: more certainty."""
        base = expected(known, self.demand)
        kinds = {each.stake.pool.instance_type for each in choices}
        others = {
            kind: distribution(
                [each for each in stakes if each.pool.instance_type != kind], self.demand, self.shocks
            )
            for kind in sorted(kinds)
        }
        alone = {kind: rest_of(found) for kind, found in others.items()}
        rests: dict[Pool, Rest] = {}
        best: tuple[float, float, int] | None = None
        for at, each in enumerate(choices):
            pool, kind = each.stake.pool, each.stake.pool.instance_type
            same = [stake for stake in stakes if stake.pool.instance_type == kind]
            if pool not in rests:
                markets: dict[Pool, list[Stake]] = {}
                for stake in same:
                    if stake.pool != pool:
                        markets.setdefault(stake.pool, []).append(stake)
                rests[pool] = rest_of(joined(others[kind], of_type(markets, self.demand, 0.0)))
            mine = [*(stake for stake in same if stake.pool == pool), each.stake]
            secured, held = beside(rests[pool], mine, self.demand)
            shock = self.shocks.get(kind, 0.0) if len({stake.pool for stake in same} | {pool}) > 1 else 0.0
            if shock > 0:
                struck, kept = beside(alone[kind], [*same, each.stake], self.demand)
                secured = (1 - shock) * secured + shock * struck
                held = (1 - shock) * held + shock * kept
            more = held - base
            if more <= 1e-9 and secured <= known[CELLS] + 1e-9:
                continue
            key = (each.cost / max(more, 1e-9), -secured, at)
            if best is None or key < best:
                best = key
        return None if best is None else choices[best[2]]

    def _prune(self, stakes: Sequence[Stake], chosen: Sequence[_Choice]) -> list[_Choice]:
        """What is chosen without what is not needed, the dearest tried first."""
        kept = list(chosen)
        for each in sorted(chosen, key=lambda choice: -choice.cost):
            without = [other for other in kept if other is not each]
            left = [*stakes, *(other.stake for other in without)]
            if distribution(left, self.demand, self.shocks)[CELLS] >= self.policy.confidence:
                kept = without
        return kept
