"""Workers on the cheapest spot pools; on demand where spot is dearer, gone, or too risky for the deadline."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from tradewind.errors import Misuse
from tradewind.market.decisions import Action, CapacityAbove, Decision, PriceAbove, PriceBelow, Watch
from tradewind.market.instances import Pool
from tradewind.market.leases import Lease
from tradewind.market.offers import Terms
from tradewind.training.elastic.bidding import candidates as offered
from tradewind.training.elastic.bidding.candidates import Candidate, Gap
from tradewind.training.view import Goal, TrainingView

_SOON = 30.0
"""Seconds before the latest moment that count as there: it recedes, and is not to be chased by the second."""


class KnownPool(Struct, frozen=True):
    """A spot pool that was offered once and fits."""

    pool: Pool
    vcpus: float
    """Useful ones of an instance."""


class SpotMemory(Struct, frozen=True):
    """What `cheapest_spot` remembers."""

    pools: tuple[KnownPool, ...] = ()
    """Every fitting spot pool seen so far, in order: those that are not offered now are watched."""
    hurried: bool = False
    """Whether the deadline has forced the job onto reliable leases; then it stays there."""


class CheapestSpot:
    """Keeps workers on the spot pools where a unit of work is cheapest, bidding the on-demand price.

    A lease that was revoked, or was given notice, is replaced at once, and not from the pool that gave the
    notice while that stands. Otherwise a lease is left where it
    is, unless `move_when` is given: then it moves as soon as work elsewhere is cheaper by that share. Where
    no spot pool is cheaper than on demand it rents on demand, and goes back to spot once that costs less
    than `back_below` of it. When what is left of the work would, on demand and with a start-up, just fit
    before the deadline, every worker goes on demand for good; `slack` is the share added to be sure.
    """

    name = "cheapest_spot"

    def __init__(self, move_when: float | None = None, back_below: float = 0.9, slack: float = 0.05) -> None:
        if move_when is not None and not 0 < move_when < 1:
            raise Misuse(
                f"{move_when!r} is no share", source=self.name, field="move_when", fix="Give 0.2 for 20 %."
            )
        if not 0 < back_below <= 1:
            raise Misuse(
                f"{back_below!r} is no share", source=self.name, field="back_below", fix="Give 0.9 for 90 %."
            )
        if not 0 <= slack < math.inf:
            raise Misuse(f"{slack!r} is no share", source=self.name, field="slack", fix="Give 0.05 for 5 %.")
        self.move_when, self.back_below, self.slack = move_when, back_below, slack

    def recall(self) -> SpotMemory:
        """No pool known, no hurry."""
        return SpotMemory()

    def decide(self, view: TrainingView, memory: SpotMemory) -> tuple[Decision, SpotMemory]:
        """Fill up, move, or hurry; ask again at the prices and the capacity that would change the answer."""
        gone = offered.leaving(view)
        # A pool that has just given notice would give the next lease notice too.
        shunned = {lease.pool for lease in view.market.leases if lease.id in gone}
        spot = offered.candidates(view.market.offers, view.goal, Terms.SPOT)
        steady = offered.candidates(view.market.offers, view.goal, Terms.ON_DEMAND)
        memory = _remember(memory, spot)
        held = offered.working(view.market.leases, gone)
        actions, reason = offered.hold_state(view)
        latest = self._latest_hurry(view, steady)
        if memory.hurried or latest - view.market.now < _SOON:
            if not memory.hurried:
                memory = SpotMemory(memory.pools, hurried=True)
            return self._hurry(view, held, steady, actions, reason), memory
        decision = self._economise(view, memory, held, spot, steady, shunned, actions, reason, latest)
        return decision, memory

    def _latest_hurry(self, view: TrainingView, steady: Sequence[Candidate]) -> float:
        """The moment at which reliable leases must be taken for the deadline; infinite without one."""
        deadline = view.goal.deadline
        if deadline is None or not steady:
            return math.inf
        plan, _ = offered.fill(sorted(steady, key=lambda each: -each.vcpus), offered.whole(view.goal))
        speed = sum(each.vcpus * count for each, count in plan)
        wait = max((each.offer.wait for each, _ in plan), default=0.0)
        work = offered.seconds_left(view.progress, speed) * (1 + self.slack)
        return deadline - work - view.progress.startup - wait if work < math.inf else math.inf

    def _hurry(
        self,
        view: TrainingView,
        held: Sequence[Lease],
        steady: Sequence[Candidate],
        actions: list[Action],
        reason: str,
    ) -> Decision:
        now = view.market.now
        going = [lease for lease in held if lease.terms is Terms.SPOT]
        fastest = sorted(steady, key=lambda each: (-each.vcpus, each.unit))
        staying = [lease for lease in held if lease.terms is not Terms.SPOT]
        plan, left = offered.fill(fastest, offered.gap(view.goal, staying))
        found = sum(count for _, count in plan)
        missing = found + offered.missing(left, fastest)
        # Spot leases give way only to reliable ones that are there to be had.
        released = []
        for lease in going:
            vcpus = offered.useful_vcpus(lease.instance.type.resources.vcpus, view.goal)
            if left.fit(vcpus):
                left = left.less(vcpus, 1)
            else:
                released.append(lease)
        actions += offered.release(released)
        actions += [offered.take(each, count, None) for each, count in plan]
        if missing <= 0:
            reason = f"{reason} All workers run on demand until the deadline; nothing to do.".strip()
        else:
            reason = (
                f"{reason} The deadline leaves {_hours((view.goal.deadline or now) - now)}: {found} of "
                f"{missing} missing workers go on demand, {len(released)} spot leases are let go."
            ).strip()
        return Decision(tuple(actions), reason, now + (offered.RETRY if missing > 0 else offered.REST))

    def _economise(
        self,
        view: TrainingView,
        memory: SpotMemory,
        held: Sequence[Lease],
        spot: Sequence[Candidate],
        steady: Sequence[Candidate],
        shunned: set[Pool],
        actions: list[Action],
        reason: str,
        latest: float,
    ) -> Decision:
        now = view.market.now
        ask = steady[0].unit if steady else math.inf
        limits = offered.Limits(view.market.offers)
        worth = [
            each
            for each in spot
            if each.unit < ask and each.offer.pool not in shunned and limits.allow(each.offer)
        ]
        left = offered.gap(view.goal, held)
        missing = offered.missing(left, [*worth, *steady])
        going = self._going(held, spot, worth, ask)
        if going:
            # Only into the cheapest pool, and only as many as it has room for once the gaps are filled.
            going = _fitting(going, view.goal, worth[0], left)
            names = {lease.id for lease in going}
            left = offered.gap(view.goal, (lease for lease in held if lease.id not in names))
        spot_plan, left = offered.fill(worth, left)
        steady_plan, _ = offered.fill(steady, left)
        actions += offered.release(going)
        for each, number in spot_plan:
            actions.append(offered.take(each, number, limits.limit(each.offer)))
        actions += [offered.take(each, number, None) for each, number in steady_plan]
        words = [reason] if reason else []
        if going:
            words.append(f"{len(going)} workers leave {_places(going)} for cheaper work.")
        words += [
            f"{offered.they_go(number)} to {each.offer.pool} on spot at {each.offer.price.per_hour:.4f} "
            "USD an hour."
            for each, number in spot_plan
        ]
        words += [
            f"{offered.they_go(number)} to {each.offer.pool} on demand at {each.offer.price.per_hour:.4f} "
            "USD an hour: no spot pool is cheaper."
            for each, number in steady_plan
        ]
        if not words:
            words.append(f"All {len(held)} workers stay where they are; no other pool is worth a move.")
        wake = min(now + (offered.RETRY if missing > 0 else offered.REST), latest)
        stay = {lease.pool for lease in held if lease.terms is Terms.SPOT and lease not in going}
        places = stay | {each.offer.pool for each, _ in spot_plan}
        steadily = bool(steady_plan) or any(
            lease.terms is not Terms.SPOT and lease not in going for lease in held
        )
        watch = self._watch(memory, spot, worth, ask, places, steadily)
        return Decision(tuple(actions), " ".join(words), wake, watch)

    def _going(
        self, held: Sequence[Lease], spot: Sequence[Candidate], worth: Sequence[Candidate], ask: float
    ) -> list[Lease]:
        """The leases to leave for the cheapest pool, those whose work is dearest first."""
        if not worth:
            return []
        best = worth[0]
        units = {each.offer.pool: each.unit for each in spot}
        going: list[tuple[float, Lease]] = []
        for lease in held:
            if lease.terms is not Terms.SPOT:
                if best.unit < self.back_below * ask:
                    going.append((math.inf, lease))
            elif self.move_when is not None and lease.pool != best.offer.pool:
                unit = units.get(lease.pool, math.inf)
                if best.unit < (1 - self.move_when) * unit:
                    going.append((unit, lease))
        going.sort(key=lambda pair: -pair[0])
        return [lease for _, lease in going]

    def _watch(
        self,
        memory: SpotMemory,
        spot: Sequence[Candidate],
        worth: Sequence[Candidate],
        ask: float,
        places: set[Pool],
        steadily: bool,
    ) -> tuple[Watch, ...]:
        """What would change the answer before the next news of a lease.

        `places` are the spot pools that workers are on, `steadily` says whether some are on demand.
        """
        units = {each.offer.pool: each.unit for each in spot}
        watch: list[Watch] = []
        below: dict[Pool, float] = {}
        if steadily and ask < math.inf:
            for known in memory.pools:
                below[known.pool] = self.back_below * ask * known.vcpus
        if self.move_when is not None and places:
            # A move is due when best < (1 - m) * worst. As long as every pool stays at or above (1 - m) * bar
            # and ours at or below bar, it is not: so these two prices are all there is to watch. The bar
            # stands midway between what would make either come true at once.
            keep = 1 - self.move_when
            worst = max(units.get(pool, 0.0) for pool in places)
            others = [each.unit for each in worth if {each.offer.pool} != places]
            best = min(others, default=math.inf) / keep
            bar = math.sqrt(worst * best) if worst < best < math.inf else worst * 1.0000001
            for known in memory.pools:
                if known.pool in places:
                    watch.append(PriceAbove(known.pool, bar * known.vcpus))
                if {known.pool} != places:
                    level = min(keep * bar, ask) * known.vcpus
                    below[known.pool] = max(level, below.get(known.pool, 0.0))
        for known in memory.pools:
            if known.pool in below:
                if known.pool in units:
                    watch.append(PriceBelow(known.pool, below[known.pool]))
                else:
                    watch.append(CapacityAbove(known.pool, 0))
        return tuple(watch)


def _remember(memory: SpotMemory, spot: Sequence[Candidate]) -> SpotMemory:
    known = {each.pool for each in memory.pools}
    new = [KnownPool(each.offer.pool, each.vcpus) for each in spot if each.offer.pool not in known]
    if not new:
        return memory
    pools = sorted([*memory.pools, *new], key=lambda each: each.pool)
    return SpotMemory(tuple(pools), memory.hurried)


def _fitting(going: Sequence[Lease], goal: Goal, best: Candidate, left: Gap) -> list[Lease]:
    """The first of the leases that `best` has room for once the gap is filled from it."""
    if best.offer.available is None:
        return list(going)
    free = best.offer.available - offered.room(best.offer, left.fit(best.vcpus))
    if left.vcpus == math.inf:
        return list(going[:free])
    vcpus, fitting = free * best.vcpus, []
    for lease in going:
        vcpus -= offered.useful_vcpus(lease.instance.type.resources.vcpus, goal)
        if vcpus < 0:
            break
        fitting.append(lease)
    return fitting


def _places(leases: Sequence[Lease]) -> str:
    return " and ".join(sorted({str(lease.pool) for lease in leases}))


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f} hours"
