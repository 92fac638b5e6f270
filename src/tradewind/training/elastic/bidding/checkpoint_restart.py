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
from tradewind.training.elastic.work import WORK
from tradewind.training.view import TrainingView


def checkpoint_interval(checkpoint: float, mttf: float) -> float:
    """Seconds of work between two checkpoints that lose least: sqrt(2 C M).

    `checkpoint` is the seconds that one takes (C), `mttf` the mean seconds between two losses (M). Young, "A
    first order approximation to the optimum checkpoint interval", CACM 17(9), 1974; Daly (2006) adds terms
    that matter when C is not small beside M.
    """
    return math.sqrt(2 * checkpoint * mttf)


class CheckpointRestart:
    """All workers in the spot pool where work is cheapest, at the on-demand price as the limit.

    The job needs all of them and no server: when one is taken away everything goes back to the last
    checkpoint, `interval` seconds of work apart (of `checkpoint` seconds each, for a mean of `mttf` seconds
    between revocations). It acts when a lease has ended, not at the notice, and fills the pool up again or
    moves as a whole to a cheaper one. With no pool that has room below the on-demand price it runs on
    demand, until spot costs less than `back_below` of that. It does not look at the deadline.
    """

    name = "checkpoint_restart"

    def __init__(self, checkpoint: float = 60.0, mttf: float = 18_000.0, back_below: float = 0.9) -> None:
        for field, value in (("checkpoint", checkpoint), ("mttf", mttf), ("back_below", back_below)):
            if not 0 < value < math.inf:
                raise Misuse(f"{value!r} is not above 0", source=self.name, field=field, fix="Give seconds.")
        self.checkpoint, self.mttf, self.back_below = checkpoint, mttf, back_below

    @property
    def interval(self) -> float:
        """Seconds of work between two checkpoints."""
        return checkpoint_interval(self.checkpoint, self.mttf)

    def recall(self) -> None:
        """It remembers nothing."""

    def decide(self, view: TrainingView, memory: None) -> tuple[Decision, None]:
        """Keep the pool whole, or move as one; ask again when a lease ends."""
        now, count = view.market.now, view.goal.workers.count
        spot = offered.candidates(view.market.offers, view.goal, Terms.SPOT)
        steady = offered.candidates(view.market.offers, view.goal, Terms.ON_DEMAND)
        held = [lease for lease in view.market.leases if lease.purpose == WORK]
        missing = count - len(held)
        ask = steady[0].unit if steady else math.inf
        limits = offered.Limits(view.market.offers)
        spot = [each for each in spot if each.unit < ask and limits.allow(each.offer)]
        steadily = bool(held) and held[0].terms is not Terms.SPOT
        if missing <= 0:
            whole = [each for each in spot if offered.room(each.offer, count) == count]
            if not (steadily and whole and whole[0].unit < self.back_below * ask):
                reason = f"All {len(held)} workers run on {_place(held[0])}; nothing to do."
                return Decision((), reason, now + offered.REST, self._watch(view, ask, steadily)), memory
            return self._move(view, whole[0], count, offered.release(held), len(held), ask), memory
        best = self._best([*spot, *steady], held, count)
        if best is None:
            reason = f"{missing} of {count} workers are missing and no single pool has room for all."
            return Decision((), reason, now + offered.RETRY, self._watch(view, ask, True)), memory
        here = [lease for lease in held if _same(lease, best)]
        going = [lease for lease in held if not _same(lease, best)]
        return self._move(view, best, count - len(here), offered.release(going), len(going), ask), memory

    def _move(
        self, view: TrainingView, best: Candidate, number: int, actions: list[Action], going: int, ask: float
    ) -> Decision:
        spot = best.offer.terms is Terms.SPOT
        limit = offered.Limits(view.market.offers).limit(best.offer) if spot else None
        actions = [*actions, offered.take(best, number, limit)]
        terms = "on spot" if spot else "on demand"
        reason = (
            f"{offered.they_go(number)} to {best.offer.pool} {terms} at {best.offer.price.per_hour:.4f} "
            f"USD an hour, {going} leave; it goes on from the last checkpoint (one every "
            f"{self.interval:.0f} s)."
        )
        watch = () if spot else self._watch(view, ask, True)
        return Decision(tuple(actions), reason, view.market.now + offered.RETRY, watch)

    def _best(self, found: Sequence[Candidate], held: Sequence[Lease], count: int) -> Candidate | None:
        """The cheapest pool with room for all workers, with those already there; ours on a tie."""
        fitting = []
        for each in found:
            here = sum(_same(lease, each) for lease in held)
            if offered.room(each.offer, count - here) == count - here:
                fitting.append((each.unit, -here, each.offer.pool, each))
        return min(fitting, key=lambda entry: entry[:3])[3] if fitting else None

    def _watch(self, view: TrainingView, ask: float, steadily: bool) -> tuple[Watch, ...]:
        """On demand: the prices and the room that bring it back to spot. On spot: nothing but its leases."""
        if not steadily or math.isinf(ask):
            return ()
        watch: list[Watch] = []
        for each in offered.candidates(view.market.offers, view.goal, Terms.SPOT):
            if offered.room(each.offer, view.goal.workers.count) < view.goal.workers.count:
                watch.append(CapacityAbove(each.offer.pool, view.goal.workers.count - 1))
            else:
                watch.append(PriceBelow(each.offer.pool, self.back_below * ask * each.vcpus))
        return tuple(watch)


def _same(lease: Lease, candidate: Candidate) -> bool:
    return lease.pool == candidate.offer.pool and lease.terms is candidate.offer.terms


def _place(lease: Lease) -> str:
    return f"{lease.pool} ({lease.terms.value.replace('_', ' ')})"
