"""Our own policy: run where an hour of work costs less than what it is worth at this moment.

What an hour of work is worth comes from a stochastic dynamic programme over the remaining time, the slack,
the level of the market in joint scenarios and what is held (`reservation_price`). Which leases to take, with
what bid, and which to renew is then decided lease by lease, by expected cost and work (`prospects`): so
refunds, started hours, start-ups and moves are each reckoned where they arise. It decides anew at every
event, with the work that was really done: model-predictive control, with a policy rather than a plan inside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from tradewind.errors import Misuse
from tradewind.estimates.outlook import Outlook
from tradewind.market.decisions import Action, CapacityAbove, Decision, Take
from tradewind.market.instances import Pool
from tradewind.market.leases import Lease
from tradewind.market.offers import Bid, Terms
from tradewind.training.elastic.bidding import candidates as offered
from tradewind.training.elastic.bidding.market_levels import STEP, cheapest_paths, levels_of
from tradewind.training.elastic.bidding.prospects import (
    HOUR,
    survival,
)
from tradewind.training.elastic.bidding.reservation_price import (
    IDLE,
    LATE,
    SPOT,
    STEADY,
    Chain,
    Worth,
    worth,
)
from tradewind.training.elastic.bidding.situation import Situation, Way
from tradewind.training.elastic.work import WORK
from tradewind.training.view import TrainingView

_LEAD = 5.0
"""Seconds before the end of a billed hour at which its renewal is decided."""
_LOOK = 300.0
"""Seconds after which it looks again where nothing else happens."""


class Plan(Struct, frozen=True):
    """What `tradewind` remembers between two decisions."""

    end: float = 0.0
    """The moment by which it wants to be done; 0 before the first decision."""
    begun: float = 0.0
    """The moment of the first decision."""
    chain: Chain | None = None
    """How the market moves, as of `chained`."""
    chained: float = 0.0
    prices: tuple[tuple[Pool, float], ...] = ()
    """The price of every spot pool when it was last on offer: one that has no room for more is not."""


class _Wishes(Struct, frozen=True):
    """What an instance of the job should be next: IDLE, SPOT or STEADY, by what it is now."""

    idle: int
    spot: int
    steady: int
    roomless: int
    """For one that is not held and finds no room on spot."""
    price: float
    """US dollars that an hour of one vCPU's work is worth."""

    def wants(self, spot: bool, held: set[int]) -> bool:
        """Whether to look for more on spot, or on demand; `held` is what those that are held should be."""
        if spot:
            return self.idle == SPOT or (SPOT in held and self.idle != STEADY)
        return STEADY in (self.idle, self.roomless) or STEADY in held


class Tradewind:
    """Takes, keeps and renews leases while an hour of work on them costs less than it is worth.

    `reserve` is the share of the remaining work that is kept back as slack, for what the model does not know.
    Without a deadline it aims at `patience` times the time that all workers together would need. `gain` is
    the share by which work must be cheaper elsewhere before a lease that is billed by the second moves.
    Needs an outlook in its views.
    """

    name = "tradewind"
    foresees = True
    """It reads the outlook."""

    def __init__(self, reserve: float = 0.01, patience: float = 1.5, gain: float = 0.05) -> None:
        if not 0 <= reserve < 1:
            raise Misuse(f"{reserve!r} is no share", source=self.name, field="reserve", fix="Give 0.01.")
        if not 1 <= patience < math.inf:
            raise Misuse(
                f"{patience!r} is not 1 or more", source=self.name, field="patience", fix="Give 1.5."
            )
        if not 0 <= gain < 1:
            raise Misuse(f"{gain!r} is no share", source=self.name, field="gain", fix="Give 0.05 for 5 %.")
        self.reserve, self.patience, self.gain = reserve, patience, gain

    def recall(self) -> Plan:
        """No plan yet."""
        return Plan()

    def decide(self, view: TrainingView, memory: Plan) -> tuple[Decision, Plan]:
        """Take, renew, keep and drop; ask again at the end of a billed hour, or soon."""
        if view.outlook is None:
            raise Misuse(
                "the view has no outlook", source=self.name, field="forecaster", fix="Give a forecaster."
            )
        return _Deciding(self, view, view.outlook, memory).decide()


class _Deciding:
    """One decision: what there is to reckon with is in `job`, a `Situation`."""

    def __init__(self, policy: Tradewind, view: TrainingView, outlook: Outlook, memory: Plan) -> None:
        self.policy, self.view, self.outlook, self.memory = policy, view, outlook, memory
        self.job = Situation(
            view, outlook, dict(memory.prices), memory.end, reserve=policy.reserve, patience=policy.patience
        )
        self.now, self.begun = view.market.now, memory.begun or view.market.now

    def decide(self) -> tuple[Decision, Plan]:
        """The decision and what to remember."""
        paid: list[Lease] = []
        open_ended: list[Lease] = []
        for lease in self.job.held:
            (paid if self.job.paid_until(lease) - self.now > _LEAD + 1e-3 else open_ended).append(lease)
        need = self.job.hours - sum(self.job.paid_work(lease) for lease in paid)
        free = self.job.cap - sum(self.job.vcpus(lease) for lease in paid)
        actions, words = offered.hold_state(self.view)
        plan = self._plan(self.memory.chain, self.memory.chained)
        if not open_ended and (need <= 0 or free < self.job.smallest()):
            words = words or "Every vCPU of the job is paid for up to the end of its hour."
            return self._decision(actions, words, paid, False), plan
        ways = self.job.ways()
        plan = self._planned(ways)
        assert plan.chain is not None
        solved = worth(plan.chain, max(math.ceil((self.job.end - self.begun) / 600) * 600.0, 600.0))
        chosen, surplus, reason = self._choose(ways, open_ended, need, free, solved)
        for way, count in chosen:
            if way.offer is not None:
                bid = Bid(way.offer.pool, way.offer.terms, count, way.limit, WORK)
                actions.append(Take(bid))
        actions += offered.release(surplus)
        going = {lease.id for lease in surplus}
        staying = [lease for lease in self.job.held if lease.id not in going]
        return self._decision(actions, f"{words} {reason}".strip(), staying, bool(chosen)), plan

    def _plan(self, chain: Chain | None, chained: float) -> Plan:
        pools = sorted({pool for pool, terms in self.job.prices if terms is Terms.SPOT}, key=str)
        return Plan(
            self.job.end,
            self.begun,
            chain,
            chained,
            tuple((pool, self.job.prices[pool, Terms.SPOT]) for pool in pools),
        )

    # what it is worth

    def _planned(self, ways: Sequence[Way]) -> Plan:
        """The plan with the market's chain, drawn anew where it is out of date."""
        known = self.memory.chain
        if known is not None and self.now < self.memory.chained + HOUR / 2:
            return self._plan(known, self.memory.chained)
        rates: dict[Pool, float] = {}
        steady = LATE
        for way in ways:
            if way.offer is None or not way.prospect.work > 0:
                continue
            if way.spot:
                rate = self._rate(way) / way.price
                rates[way.offer.pool] = min(rate, rates.get(way.offer.pool, math.inf))
            else:
                steady = min(steady, self._rate(way))
        vcpus = {each.offer.type.name: each.vcpus for each in (*self.job.spot, *self.job.steady)}
        for pool in self.outlook.pools:
            if pool not in rates and pool.instance_type in vcpus:
                rates[pool] = 1 / vcpus[pool.instance_type]
        paths = cheapest_paths(self.outlook, rates, steady)
        weights = [each.weight for each in self.outlook.scenarios]
        costs, moves = levels_of(paths, weights, self.outlook.steps)
        chain = Chain(
            costs,
            moves,
            STEP,
            losses=self._losses(),
            steady=steady,
            standing=self._standing(),
            startup=self.job.startup,
        )
        return self._plan(chain, self.now)

    def _rate(self, way: Way) -> float:
        """US dollars that an hour of one vCPU's work costs, as the programme reckons.

        By the second that is the price: start-ups are the programme's own affair. By the hour, and with
        refunds, it depends on how long leases last, start-ups included.
        """
        return way.unit if self.job.hourly(way) else way.price / way.vcpus

    def _losses(self) -> float:
        """Revocations an hour, of the safest pool, that leave another pool to go to."""
        lives = [survival(self.outlook, each.offer.pool, math.inf) for each in self.job.spot]
        hazards = [-math.log(max(life.at(HOUR), 1e-3)) for life in lives if life is not None]
        return min(hazards) if len(hazards) > 1 else 0.0

    def _standing(self) -> float:
        """The servers' price, for each vCPU of the job."""
        goal = self.view.goal
        prices = [
            offer.price.per_hour
            for offer in self.view.market.offers
            if not offer.terms.revocable and offered.fits(offer, goal.state)
        ]
        return min(prices) * goal.state.count / self.job.cap if prices and goal.state.count else 0.0

    # what to hold

    def _wishes(self, solved: Worth, level: int, renewals: Sequence[Way]) -> _Wishes:
        """What the programme wants of an instance, by what it is now."""
        left, slack = self.job.left, self.job.slack
        none = len(solved.chain.costs) - 1
        # The market may have no more of what is held.
        mine = min([level, *(_level(solved.chain, self._rate(way)) for way in renewals if way.spot)])
        idle = solved.choose(left, slack, level, IDLE)
        if idle == IDLE and level != none:
            # By the hour, what start-ups and losses leave undone is cheapest done by the few vCPUs that it
            # fills, in an hour of their own: slack down to that hour is not to be waited away.
            kept = self.job.tariffs[Terms.SPOT].unit
            if slack <= kept or solved.choose(left, slack - kept, level, IDLE) != IDLE:
                idle = SPOT
        spot = solved.choose(left, slack, mine, SPOT)
        return _Wishes(
            idle=idle,
            spot=SPOT if spot == IDLE == solved.choose(left, slack, mine, IDLE) and idle == SPOT else spot,
            steady=solved.choose(left, slack, level, STEADY),
            roomless=solved.choose(left, slack, none, IDLE),
            price=solved.reservation_price(left, slack, mine),
        )

    def _choose(
        self, ways: Sequence[Way], open_ended: Sequence[Lease], need: float, free: float, solved: Worth
    ) -> tuple[list[tuple[Way, int]], list[Lease], str]:
        """Which ways to take how often, which leases to let go, and why."""
        renewals = [way for lease in open_ended if (way := self.job.renewal(lease)) is not None]
        level = _level(solved.chain, min((self._rate(way) for way in ways if way.spot), default=LATE))
        wishes = self._wishes(solved, level, renewals)
        found = [way for way in renewals if (wishes.spot if way.spot else wishes.steady) != IDLE]
        held = {wishes.spot if way.spot else wishes.steady for way in renewals}
        found += [way for way in ways if way.prospect.work > 0 and wishes.wants(way.spot, held)]
        most = max(wishes.price, min((way.unit for way in found if way.spot), default=0.0))
        found.sort(key=lambda way: self._rank(way, most))
        chosen: list[tuple[Way, int]] = []
        kept: list[Lease] = []
        count = self.view.goal.workers.count - (len(self.job.held) - len(open_ended))
        smallest = self.job.smallest()
        for way in found:
            if need <= 0 or free < smallest or count <= 0:
                break
            if way.spot and way.unit > most * (1 + 1e-9):
                continue
            work = way.prospect.work * way.vcpus
            if way.lease is not None:
                number = 1
                kept.append(way.lease)
            else:
                assert way.offer is not None
                number = min(offered.room(way.offer, count), math.floor(free / way.vcpus + 1e-9))
                if self.job.hourly(way):
                    number = min(number, math.ceil(need / work - 1e-9))
                if number <= 0:
                    continue
                chosen.append((way, number))
            free -= number * way.vcpus
            count -= number
            if self.job.hourly(way):
                need -= number * work
        stays = {lease.id for lease in kept}
        surplus = [lease for lease in open_ended if lease.id not in stays]
        surplus = self._may_go(surplus, kept, chosen)
        return chosen, surplus, self._words(chosen, kept, surplus, wishes.price)

    def _rank(self, way: Way, most: float) -> tuple[float, float]:
        """Best first: what it earns a second, at the worth of its work; then what its work costs."""
        earned = (most * way.prospect.work * way.vcpus - way.prospect.cost) / way.vcpus
        # A lease that moves pays for the overlap: stay unless work is cheaper elsewhere by some share.
        favour = self.policy.gain * way.prospect.cost / way.vcpus if way.lease is not None else 0.0
        return -(earned + favour) / max(way.prospect.seconds, 1.0), way.unit

    def _may_go(
        self, surplus: Sequence[Lease], kept: Sequence[Lease], chosen: Sequence[tuple[Way, int]]
    ) -> list[Lease]:
        """Of the leases to let go, those that may go at once: the others work until their heirs do."""
        starting = sum(self.job.vcpus(lease) for lease in kept if lease.started + self.job.startup > self.now)
        starting += sum(way.vcpus * number for way, number in chosen)
        going = []
        for lease in surplus:
            working = lease.started + self.job.startup <= self.now
            if working and starting >= self.job.vcpus(lease) and not self.job.by_the_hour(lease):
                starting -= self.job.vcpus(lease)
            else:
                going.append(lease)
        return going

    def _words(
        self,
        chosen: Sequence[tuple[Way, int]],
        kept: Sequence[Lease],
        surplus: Sequence[Lease],
        price: float,
    ) -> str:
        shown = "more than any price" if price >= LATE / 100 else f"{price:.4f} USD"
        words = [f"An hour of a vCPU's work is worth {shown} now ({self.job.slack / HOUR:.1f} h of slack)."]
        for way, number in chosen:
            assert way.offer is not None
            terms = "on spot" if way.spot else "on demand"
            bid = "" if way.limit is None else f", bid {way.limit:.4f}"
            words.append(
                f"{offered.they_go(number)} to {way.offer.pool} {terms} at "
                f"{way.offer.price.per_hour:.4f} USD an hour{bid}: expected {way.unit:.4f} for it."
            )
        if surplus:
            words.append(
                f"{len(surplus)} leases are let go: what they would do costs more, or is not needed."
            )
        elif not chosen:
            words.append(f"{len(kept)} leases stay." if kept else "It waits.")
        return " ".join(words)

    def _decision(
        self, actions: Sequence[Action], reason: str, staying: Sequence[Lease], taking: bool
    ) -> Decision:
        # The slack must outlast the time until it looks again.
        wake = self.now + min(_LOOK, max(15.0, (self.job.slack - self.job.startup) / 4))
        if taking and self.job.startup < _LOOK:
            wake = self.now + self.job.startup + 1e-3
        for lease in staying:
            due = self.job.paid_until(lease) - _LEAD
            if due <= self.now + 1e-3:
                due += self.job.tariffs[lease.terms].unit
            if self.job.by_the_hour(lease):
                wake = min(wake, due)
            ready = lease.started + self.job.startup
            if ready > self.now:
                wake = min(wake, ready + 1e-3)
        on_offer = {offer.pool for offer in self.view.market.offers if offer.terms is Terms.SPOT}
        watch = tuple(CapacityAbove(pool, 0) for pool in self.outlook.pools if pool not in on_offer)
        return Decision(tuple(actions), reason, max(wake, self.now + 1.0), watch)


def _level(chain: Chain, unit: float) -> int:
    """The level of the chain that work at `unit` US dollars an hour is nearest to."""
    if unit >= chain.steady:
        return len(chain.costs) - 1
    spot = [index for index, cost in enumerate(chain.costs) if cost < LATE]
    if not spot:
        return len(chain.costs) - 1
    return min(spot, key=lambda index: abs(chain.costs[index] - unit))
