"""The baseline of most tools: one spot pool at a time, checkpoints, and a restart at every revocation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tradewind.errors import Misuse
from tradewind.market.decisions import Action, CapacityAbove, Decision, PriceBelow, Watch
from tradewind.market.leases import Lease
from tradewind.market.offers import Terms
from tradewind.training.elastic.bidding import candidates as offered
from tradewind.training.elastic.bidding.candidates import Candidate
from tradewind.training.elastic.bidding.chances import mean_time
from tradewind.training.elastic.work import WORK
from tradewind.training.view import Goal, TrainingView


def checkpoint_interval(checkpoint: float, mttf: float) -> float:
    """Seconds of work between two checkpoints that lose least.

    `checkpoint` is the seconds that one takes (C), `mttf` the mean seconds between two losses (M). Daly, "A
    higher order estimate of the optimum checkpoint interval for restart dumps", FGCS 22(3), 2006, equation
    37: Young's sqrt(2 C M) of 1974 with the terms that matter when C is not small beside M; M where a
    checkpoint takes as long as two of it.
    """
    if checkpoint >= 2 * mttf:
        return mttf
    share = checkpoint / (2 * mttf)
    return math.sqrt(2 * checkpoint * mttf) * (1 + math.sqrt(share) / 3 + share / 9) - checkpoint


class CheckpointRestart:
    """All workers in the spot pool where work is cheapest, at the on-demand price as the limit.

    What SkyPilot's managed jobs give their users, and the bar of the papers. The job needs all of its
    workers and no server: when one is taken away everything goes back to the last checkpoint, `interval`
    seconds of work apart (of `checkpoint` seconds each, for a mean of `mttf` seconds between revocations;
    `interval_for` takes the mean from a view's outlook). It acts when a lease has ended, not at the notice,
    and fills the pool up again or moves as a whole to a cheaper one. With no pool that has room below the
    on-demand price it runs on demand, until spot costs less than `back_below` of that. It does not look at
    the deadline: nor do those.
    """

    name = "checkpoint_restart"
    foresees = True
    """It reads the outlook."""

    def __init__(self, checkpoint: float = 60.0, mttf: float = 18_000.0, back_below: float = 0.9) -> None:
        for field, value in (("checkpoint", checkpoint), ("mttf", mttf), ("back_below", back_below)):
            if not 0 < value < math.inf:
                raise Misuse(f"{value!r} is not above 0", source=self.name, field=field, fix="Give seconds.")
        self.checkpoint, self.mttf, self.back_below = checkpoint, mttf, back_below

    @property
    def interval(self) -> float:
        """Seconds of work between two checkpoints, by the policy's own argument."""
        return checkpoint_interval(self.checkpoint, self.mttf)

    def interval_for(self, view: TrainingView) -> float:
        """Seconds of work between two checkpoints in the spot pool that it would take at this view.

        By the outlook's mean time to a revocation there; by the argument where the view has no outlook, or
        the pool is not in it.
        """
        if view.outlook is None:
            return self.interval
        limits = offered.Limits(view.market.offers)
        for each in offered.candidates(view.market.offers, view.goal, Terms.SPOT):
            if _room_for_all(each, view.goal) and limits.allow(each.offer):
                limit = limits.limit(each.offer)
                delta = math.inf if limit is None else limit - each.offer.price.per_hour
                mean = mean_time(view.outlook, each.offer.pool, delta)
                return self.interval if mean is None else checkpoint_interval(self.checkpoint, mean)
        return self.interval

    def recall(self) -> None:
        """It remembers nothing."""

    def decide(self, view: TrainingView, memory: None) -> tuple[Decision, None]:
        """Keep the pool whole, or move as one; ask again when a lease ends."""
        now, goal = view.market.now, view.goal
        spot = offered.candidates(view.market.offers, goal, Terms.SPOT)
        steady = offered.candidates(view.market.offers, goal, Terms.ON_DEMAND)
        held = [lease for lease in view.market.leases if lease.purpose == WORK]
        ask = steady[0].unit if steady else math.inf
        limits = offered.Limits(view.market.offers)
        spot = [each for each in spot if each.unit < ask and limits.allow(each.offer)]
        missing = _missing(view, held, [*spot, *steady])
        steadily = bool(held) and held[0].terms is not Terms.SPOT
        if missing <= 0:
            full = [each for each in spot if _room_for_all(each, goal)]
            if not (steadily and full and full[0].unit < self.back_below * ask):
                reason = f"All {len(held)} workers run on {_place(held[0])}; nothing to do."
                return Decision((), reason, now + offered.REST, self._watch(view, ask, steadily)), memory
            return self._move(view, full[0], 0, offered.release(held), len(held), ask), memory
        best = self._best([*spot, *steady], held, goal)
        if best is None:
            reason = (
                f"{missing} of {missing + len(held)} workers are missing and no single pool has room for all."
            )
            return Decision((), reason, now + offered.RETRY, self._watch(view, ask, True)), memory
        here = [lease for lease in held if _same(lease, best)]
        going = [lease for lease in held if not _same(lease, best)]
        return self._move(view, best, len(here), offered.release(going), len(going), ask), memory

    def _move(
        self, view: TrainingView, best: Candidate, here: int, actions: list[Action], going: int, ask: float
    ) -> Decision:
        number = offered.whole(view.goal).fit(best.vcpus) - here
        spot = best.offer.terms is Terms.SPOT
        limit = offered.Limits(view.market.offers).limit(best.offer) if spot else None
        if number > 0:
            actions = [*actions, offered.take(best, number, limit)]
        terms = "on spot" if spot else "on demand"
        reason = (
            f"{offered.they_go(number)} to {best.offer.pool} {terms} at {best.offer.price.per_hour:.4f} "
            f"USD an hour, {going} leave; it goes on from the last checkpoint (one every "
            f"{self.interval_for(view):.0f} s)."
        )
        watch = () if spot else self._watch(view, ask, True)
        return Decision(tuple(actions), reason, view.market.now + offered.RETRY, watch)

    def _best(self, found: Sequence[Candidate], held: Sequence[Lease], goal: Goal) -> Candidate | None:
        """The cheapest pool with room for all workers, with those already there; ours on a tie."""
        fitting = []
        for each in found:
            here = sum(_same(lease, each) for lease in held)
            count = offered.whole(goal).fit(each.vcpus)
            if offered.room(each.offer, count - here) == count - here:
                fitting.append((each.unit, -here, each.offer.pool, each))
        return min(fitting, key=lambda entry: entry[:3])[3] if fitting else None

    def _watch(self, view: TrainingView, ask: float, steadily: bool) -> tuple[Watch, ...]:
        """On demand: the prices and the room that bring it back to spot. On spot: nothing but its leases."""
        if not steadily or math.isinf(ask):
            return ()
        watch: list[Watch] = []
        for each in offered.candidates(view.market.offers, view.goal, Terms.SPOT):
            if not _room_for_all(each, view.goal):
                count = offered.whole(view.goal).fit(each.vcpus)
                watch.append(CapacityAbove(each.offer.pool, count - 1))
            else:
                watch.append(PriceBelow(each.offer.pool, self.back_below * ask * each.vcpus))
        return tuple(watch)


def _missing(view: TrainingView, held: Sequence[Lease], found: Sequence[Candidate]) -> int:
    """How many workers like the smallest of those held the goal has room for, or of any if none is held."""
    left = offered.gap(view.goal, held)
    if not held or view.goal.vcpus is None:
        return offered.missing(left, found)
    return left.fit(
        min(offered.useful_vcpus(lease.instance.type.resources.vcpus, view.goal) for lease in held)
    )


def _room_for_all(candidate: Candidate, goal: Goal) -> bool:
    count = offered.whole(goal).fit(candidate.vcpus)
    return offered.room(candidate.offer, count) == count


def _same(lease: Lease, candidate: Candidate) -> bool:
    return lease.pool == candidate.offer.pool and lease.terms is candidate.offer.terms


def _place(lease: Lease) -> str:
    return f"{lease.pool} ({lease.terms.value.replace('_', ' ')})"
