"""Uniform progress: on spot whenever there is spot, on demand only to catch up with a steady pace.

Can't Be Late (Wu et al., NSDI 2024), section 5.2, with the rules of section 3.3. With the work done so far
`cp(t)`, the pace `ep(t)` that would just end at the deadline, the changeover delay d, the time left R(t) and
the computation left C(t):

1. uniform progress: idle and `cp(t) < ep(t)`: go on demand, and stay there to catch up;
2. taking risks, exploitation: go to spot whenever it is available, even when behind; stay until it is gone;
3. hysteresis: on demand, stay there until `cp(t) >= ep(t + 2 d)`;
4. safety net: not on spot and `R(t) < C(t) + 2 d`: go on demand, and stay there until the end;
5. thrift: nothing is held once the work is done (the controller's part).

Several instances are one (section 5.5): all of them or none, in one pool, under one kind of terms; spot is
available where a pool has room for all. In the paper there is one pool. Here it is the cheapest that is
available, of whatever type and zone, and it is not left for a cheaper one while it lasts. As there, what is
gone is answered, and not the notice of it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from tradewind.errors import Misuse
from tradewind.market.decisions import Action, CapacityAbove, Decision, PriceBelow, Take, Watch
from tradewind.market.instances import Pool
from tradewind.market.leases import Lease
from tradewind.market.offers import Terms
from tradewind.training.elastic.bidding import candidates as offered
from tradewind.training.elastic.bidding.candidates import Candidate
from tradewind.training.elastic.bidding.cheapest_spot import KnownPool
from tradewind.training.view import TrainingView

_SOON = 1.0
"""Seconds before a moment that count as there: it is reckoned in doubles."""


class Schedule(Struct, frozen=True):
    """What `uniform_progress` remembers: where its pace began."""

    began: float | None = None
    """The moment of the first decision."""
    done: float = 0.0
    """Units done by then."""
    pools: tuple[KnownPool, ...] = ()
    """Every fitting spot pool seen so far, in order."""
    last: bool = False
    """Whether the safety net holds; then it stays on demand."""


class UniformProgress:
    """All workers on the cheapest spot pool with room for all, on demand where that falls behind the pace.

    `margin` is the seconds that the safety net keeps beside the paper's 2 d, for what the paper's model
    leaves out: the work in flight that a revocation takes, and a controller's own delays. A waiting policy
    looks at the market again after `every` seconds, as the paper's does, and at once at news of its pools.
    Without a deadline it waits for spot as long as it takes.
    """

    name = "uniform_progress"

    def __init__(self, margin: float = 30.0, every: float = 600.0) -> None:
        if not 0 <= margin < math.inf:
            raise Misuse(
                f"{margin!r} is not 0 or more", source=self.name, field="margin", fix="Give seconds."
            )
        if not 0 < every < math.inf:
            raise Misuse(f"{every!r} is not above 0", source=self.name, field="every", fix="Give seconds.")
        self.margin, self.every = margin, every

    def recall(self) -> Schedule:
        """Nothing begun."""
        return Schedule()

    def decide(self, view: TrainingView, memory: Schedule) -> tuple[Decision, Schedule]:
        """Stay, go to spot, go on demand, or wait; ask again when the pace or the safety net says so."""
        now = view.market.now
        began, done = (now, view.progress.done) if memory.began is None else (memory.began, memory.done)
        group = _Group(view)
        pace = _Pace(view, began, done, group, self.margin)
        pools = _seen(memory.pools, group.spot)
        last = memory.last
        state, best = group.state, group.available
        target: Candidate | None = None
        words = ""
        wake = now + offered.REST
        if state is Terms.SPOT and not pace.must_leave:
            words = "on spot, and stay there until it is revoked"
            wake = min(wake, pace.leaves_at)
        elif (last or pace.unsafe) and group.steady is not None:
            # The safety net: what a pool that has room costs now plays no part any more.
            last, target = True, group.steady
            words = f"{pace.left_in_words}, and the work needs {_hours(pace.needed)}: on demand until the end"
        elif state is Terms.ON_DEMAND and (best is None or not pace.ahead):
            words = (
                "on demand, to catch up with the pace" if not pace.ahead else "on demand: no spot has room"
            )
            wake = min(now + self.every, wake if best is None else pace.ahead_at)
        elif best is not None:
            target = best
            words = f"on spot in {best.offer.pool} at {best.offer.price.per_hour:.4f} USD an hour"
        elif pace.behind and group.steady is not None:
            target = group.steady
            words = "behind the pace and without spot: on demand, to catch up"
        else:
            words = "idle: no spot has room, and the pace is kept"
            wake = now + self.every
            if group.steady is not None:
                wake = min(wake, pace.behind_at, pace.unsafe_at)
        actions, reason = offered.hold_state(view)
        settled = state is not None and target is None
        moves = [] if settled else group.become(target)
        actions += moves
        if any(isinstance(each, Take) for each in moves):
            wake = now + offered.RETRY
        watch = () if last or (state is Terms.SPOT and settled) else group.watch(pools)
        text = f"{reason} The workers are {words}." if not moves else f"{reason} The workers go {words}."
        return (
            Decision(tuple(actions), text.strip(), max(wake, now + _SOON), watch),
            Schedule(began, done, pools, last),
        )


class _Group:
    """The workers as one instance: what they are on, and what they could be on."""

    def __init__(self, view: TrainingView) -> None:
        self._view = view
        # A lease under notice is held until it is gone: a notice is not news to the paper's policy.
        self.held = offered.working(view.market.leases, frozenset())
        self._counted = Counter((lease.pool, lease.terms) for lease in self.held)
        self.spot = offered.candidates(view.market.offers, view.goal, Terms.SPOT)
        on_demand = offered.candidates(view.market.offers, view.goal, Terms.ON_DEMAND)
        self._ask = on_demand[0].unit if on_demand else math.inf
        self._limits = offered.Limits(view.market.offers)
        self._on_demand = on_demand
        self.steady = self._home(on_demand)
        worth = [each for each in self.spot if each.unit < self._ask and self._limits.allow(each.offer)]
        self.available = next((each for each in worth if self._has_room(each)), None)
        self.state = self._state()

    def size(self, vcpus: float) -> int:
        """How many instances of so many useful vCPUs the group has."""
        return offered.whole(self._view.goal).fit(vcpus)

    def speed(self, candidate: Candidate | None) -> float:
        """Useful vCPUs of the group on an offer."""
        return 0.0 if candidate is None else candidate.vcpus * self.size(candidate.vcpus)

    @property
    def held_speed(self) -> float:
        """Useful vCPUs of the leases held."""
        goal = self._view.goal
        return sum(offered.useful_vcpus(lease.instance.type.resources.vcpus, goal) for lease in self.held)

    @property
    def starts_at(self) -> float:
        """When the last of the leases held has started up."""
        return max((lease.started for lease in self.held), default=0.0) + self._view.progress.startup

    def delay(self) -> float:
        """The changeover delay d, seconds."""
        wait = 0.0 if self.steady is None else self.steady.offer.wait
        return max(self._view.progress.startup, wait)

    def become(self, target: Candidate | None) -> list[Action]:
        """The actions that leave the group on an offer, whole, and nowhere else; nowhere at all for None."""
        if target is None:
            return offered.release(self.held)
        here = [lease for lease in self.held if _on(lease, target)]
        size = self.size(target.vcpus)
        going = [lease for lease in self.held if not _on(lease, target)] + here[size:]
        actions = offered.release(going)
        missing = size - len(here)
        if missing > 0:
            spot = target.offer.terms is Terms.SPOT
            limit = self._limits.limit(target.offer) if spot else None
            actions.append(offered.take(target, missing, limit))
        return actions

    def watch(self, pools: Sequence[KnownPool]) -> tuple[Watch, ...]:
        """What would make spot available in a pool where it is not."""
        now = {each.offer.pool: each for each in self.spot}
        known = {each.pool: each.vcpus for each in pools}
        # Where a type is sold on demand it may come to be sold on spot.
        known |= {each.offer.pool: each.vcpus for each in self._on_demand}
        watch: list[Watch] = []
        for pool, vcpus in sorted(known.items()):
            here = now.get(pool)
            if here is None or not self._has_room(here):
                watch.append(CapacityAbove(pool, max(0, self.size(vcpus) - 1 - self._here(pool))))
            elif not (here.unit < self._ask and self._limits.allow(here.offer)):
                watch.append(PriceBelow(pool, self._ask * vcpus))
        return tuple(watch)

    def _home(self, on_demand: Sequence[Candidate]) -> Candidate | None:
        """The on-demand offer to catch up on: the one held, else the cheapest that is fast enough."""
        view = self._view
        for each in on_demand:
            if self._counted[each.offer.pool, each.offer.terms]:
                return each
        left = math.inf if view.goal.deadline is None else view.goal.deadline - view.market.now
        for each in on_demand:
            delay = max(view.progress.startup, each.offer.wait)
            if offered.seconds_left(view.progress, self.speed(each)) + 2 * delay <= left:
                return each
        return max(on_demand, key=lambda each: (self.speed(each), -each.unit), default=None)

    def _state(self) -> Terms | None:
        """What the whole group is on; None where it is idle, or not whole."""
        if len(self._counted) != 1:
            return None
        lease = self.held[0]
        size = self.size(offered.useful_vcpus(lease.instance.type.resources.vcpus, self._view.goal))
        return lease.terms if len(self.held) >= size else None

    def _has_room(self, candidate: Candidate) -> bool:
        missing = self.size(candidate.vcpus) - self._here(candidate.offer.pool)
        return missing <= 0 or offered.room(candidate.offer, missing) == missing

    def _here(self, pool: Pool) -> int:
        return self._counted[pool, Terms.SPOT]


class _Pace:
    """How the work stands against the deadline."""

    def __init__(self, view: TrainingView, began: float, done: float, group: _Group, margin: float) -> None:
        now, progress = view.market.now, view.progress
        deadline = math.inf if view.goal.deadline is None else view.goal.deadline
        delay = group.delay()
        self._left = deadline - now
        self.needed = offered.seconds_left(progress, group.speed(group.steady))
        self.unsafe_at = deadline - self.needed - 2 * delay - margin
        self.unsafe = group.steady is not None and self.unsafe_at - now < _SOON
        here, total = progress.done - done, progress.total - done
        span = deadline - began
        rising = total / span if 0 < span < math.inf else 0.0
        # ep(t) reaches cp(t): at once where nothing is done, never without a deadline.
        self.behind_at = began + here / rising if rising > 0 else math.inf
        self.behind = self.behind_at - now < _SOON
        self.ahead = here >= rising * (now + 2 * delay - began - _SOON)
        speed = progress.rate * group.held_speed
        ready = max(now, group.starts_at)
        self.ahead_at = math.inf
        if speed > rising:
            at = (rising * (2 * delay - began) + speed * ready - here) / (speed - rising)
            self.ahead_at = max(at, ready)
        # On spot that is slower than on demand, what is spare for one more changeover melts.
        spare = deadline - now - self.needed - delay - margin
        home = group.speed(group.steady)
        melting = 1 - group.held_speed / home if home > 0 else 0.0
        self.leaves_at = now + max(0.0, spare) / melting if melting > 1e-9 else math.inf
        self.must_leave = group.steady is not None and melting > 1e-9 and self.leaves_at - now < _SOON

    @property
    def left_in_words(self) -> str:
        """The time until the deadline, in words."""
        return f"{_hours(max(0.0, self._left))} are left"


def _on(lease: Lease, candidate: Candidate) -> bool:
    return lease.pool == candidate.offer.pool and lease.terms is candidate.offer.terms


def _seen(known: tuple[KnownPool, ...], spot: Sequence[Candidate]) -> tuple[KnownPool, ...]:
    names = {each.pool for each in known}
    new = [KnownPool(each.offer.pool, each.vcpus) for each in spot if each.offer.pool not in names]
    return tuple(sorted([*known, *new], key=lambda each: each.pool)) if new else known


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f} hours"
