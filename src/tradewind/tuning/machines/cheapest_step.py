"""Ours: each trial runs where its next steps are expected to cost least, and moves only where that pays.

SpotTune's provisioner (Yang et al., ICDCS 2020) with what it left out: lost work, starting anew, the share
that the era refunds, how much is left of the trial, and the price of moving. Nothing is recycled for its own
sake.
"""

from __future__ import annotations

import math

from tradewind.errors import Misuse
from tradewind.market.decisions import Action, Decision, PriceBelow, Release, Take, Use, Watch
from tradewind.market.leases import Lease
from tradewind.market.offers import Offer
from tradewind.tuning.machines.candidates import (
    Candidates,
    Machine,
    awaited,
    by_earlier_runs,
    done_with,
    paid_for,
    sentence,
)
from tradewind.tuning.machines.interface import Placed, Queued, TuningView, purpose_of
from tradewind.tuning.machines.step_cost import HOUR, move_pays

_REST = 3600.0
"""Seconds until the market is looked at again, where nothing is told before."""
_MOST_WATCHED = 8
"""Pools whose price is watched."""
_EARLY = 5.0
"""Seconds before the end of a unit that is paid for at which an idle lease is let go."""
_STAGGERED = 0.5
"""What part of a unit lies between the first moments of two machines, where time is not worth so much."""
_FALL = 0.9
"""To what share a price must fall to be told of."""


class CheapestStep:
    """Implements `control.policy.Policy` over `TuningView`; remembers nothing.

    Args:
        revoked: the chance of a revocation within an hour, of pools that no outlook speaks of.
        value_of_time: US dollars that an hour of a trial is worth: what may be paid for speed.
        margin: the share of what staying costs that a move must save, its own costs included.
        explore: how many of the first trials begin each on another type of machine, while nothing is
            measured; from then on they move where that pays. What was not measured is reckoned from vCPUs,
            and a type that is better than its vCPUs say would never be found.
        waits: for whom time is not worth much: a trial waits until one of the study's machines is free rather
            than take one on which a step costs more than so many times what it costs there. It also waits
            while the first trials measure; where fewer are to run than may at once, and no more wait than
            there are machines; and, where longer units than seconds are owed, for half a unit after another
            machine was begun. None for never.
    """

    name = "cheapest_step"

    def __init__(
        self, revoked: float = 0.05, value_of_time: float = 0.0, margin: float = 0.05, explore: int = 0,
        waits: float | None = None,
    ) -> None:  # fmt: skip
        if not 0 <= revoked < 1:
            raise Misuse(f"{revoked!r} is no chance", source=self.name, field="revoked", fix="Give 0.05.")
        if not 0 <= value_of_time < math.inf:
            raise Misuse(
                f"{value_of_time!r} is not 0 or more", source=self.name, field="value_of_time",
                fix="Give US dollars an hour.",
            )  # fmt: skip
        if not 0 <= margin < 1:
            raise Misuse(f"{margin!r} is no share", source=self.name, field="margin", fix="Give 0.05.")
        if isinstance(explore, bool) or not isinstance(explore, int) or explore < 0:
            raise Misuse(f"{explore!r} is no count", source=self.name, field="explore", fix="Give 0 or more.")
        self.revoked, self.value_of_time, self.margin = revoked, value_of_time, margin
        if waits is not None and not 1 <= waits < math.inf:
            raise Misuse(f"{waits!r} is not 1 or more", source=self.name, field="waits", fix="Give 1.5.")
        self.explore, self.waits = explore, waits

    def recall(self) -> None:
        """Nothing."""
        return

    def decide(self, view: TuningView, memory: None) -> tuple[Decision, None]:
        """Put every waiting trial somewhere, move those for which it pays, and let go of what is idle."""
        actions: list[Action] = []
        said: list[str] = []
        candidates = Candidates(view, self.revoked, self.value_of_time)
        idle, waiting = list(view.idle), 0
        rented: list[Offer] = []
        measuring = self.waits is not None and self._measuring(view)
        all_known = {each.type.name for each in candidates.offers} <= view.known
        for trial in view.queued:
            first = not (trial.begun or view.measured or all_known) and trial.trial < self.explore
            if first and (there := _of_another_type(candidates, trial)) is not None:
                candidates.take(there.offer)
                actions.append(Take(there.bid(trial.trial)))
                said.append(f"trial {trial.trial} measures {_said(there, view)}")
                measuring = self.waits is not None
                continue
            if measuring and not trial.begun:
                said.append(f"trial {trial.trial} waits for what others measure")
                continue
            found = candidates.best(trial.trial, trial.left, trial.begun)
            lease = _cheapest(candidates, view, candidates.usable(idle), trial.trial, trial.left)
            waits = found is not None and self._too_dear(candidates, view, found, trial.trial, rented)
            if lease is not None and (found is None or waits or lease[0] <= found.per_step):
                idle.remove(lease[1])
                actions.append(Use(lease[1].id, purpose_of(trial.trial)))
                said.append(f"trial {trial.trial} goes on {lease[1].id}, which is there")
            elif waits:
                said.append(f"trial {trial.trial} waits, for it costs less on a machine that is there")
            elif found is not None:
                candidates.take(found.offer)
                rented.append(found.offer)
                actions.append(Take(found.bid(trial.trial)))
                said.append(f"trial {trial.trial} goes on {_said(found, view)}")
            else:
                waiting += 1
        leases = {lease.id: lease for lease in view.market.leases if lease.id not in view.leaving}
        for placed in view.placed:
            if (lease_of := leases.get(placed.lease)) is None or placed.left <= 0:
                continue
            if (better := self._better(candidates, view, placed, lease_of)) is not None:
                candidates.take(better.offer)
                actions.append(Release(placed.lease))
                said.append(f"trial {placed.trial} moves: {_said(better, view)} is cheaper")
        until = math.inf
        for each in idle:
            kept = _kept_until(view, each)
            if kept > view.market.now:
                until = min(until, kept)
            else:
                actions.append(Release(each.id))
                said.append(f"{each.id} is idle")
        actions += [Release(each.id) for each in done_with(view)]
        if waiting:
            said.append(f"{waiting} wait, for nothing that fits is on offer")
        if said:
            said += candidates.doubts
        reason = sentence(said) if said else "Every trial is where its steps cost least."
        wake_at = min(until, view.market.now + _REST)
        watch: tuple[Watch, ...] = (*_cheaper(candidates), *(awaited(view) if waiting else ()))
        return Decision(tuple(actions), reason, wake_at, watch), None

    def _measuring(self, view: TuningView) -> bool:
        """Whether one of the first trials is on a type of which nothing is known yet."""
        types = {lease.id: lease.instance.type.name for lease in view.market.leases}
        return any(
            placed.trial < self.explore and placed.lease in types and types[placed.lease] not in view.known
            for placed in view.placed
        )

    def _too_dear(
        self, candidates: Candidates, view: TuningView, found: Machine, trial: int, rented: list[Offer]
    ) -> bool:
        """Whether a step costs much less on a machine that the study has, or is about to, for others."""
        if self.waits is None:
            return False
        there = [
            (candidates.price(lease), lease.instance.type.name)
            for lease in view.market.leases
            if lease.id not in view.leaving
        ] + [(offer.price.per_hour, offer.type.name) for offer in rented]
        fewer = len(view.queued) + len(view.placed) < view.demand.count
        if fewer and len(view.queued) <= len(there):
            return True  # not enough is to be done for another machine to be used fully
        unit = view.market.tariff(found.offer.terms).unit
        begun = max((lease.started for lease in view.market.leases), default=-math.inf)
        if unit > 1 and there and (rented or view.market.now < begun + _STAGGERED * unit):
            return True  # a short rush would begin a long unit on many machines
        costs = [price * view.seconds_of(trial, name) for price, name in there]
        new = found.offer.price.per_hour * view.seconds_of(trial, found.offer.type.name)
        return bool(costs) and new > self.waits * min(costs)

    def _better(
        self, candidates: Candidates, view: TuningView, placed: Placed, lease: Lease
    ) -> Machine | None:
        """Where a trial should move to; None where it stays."""
        # while others measure for it, what a type takes by its vCPUs is no reason to move
        known = [offer.type.name in view.known for offer in candidates.offers] if self.explore else None
        found = candidates.best(placed.trial, placed.left, True, known)
        if found is None:
            return None
        here = candidates.staying(lease, placed.trial, placed.left)
        moving = view.checkpoint * candidates.price(lease) / HOUR
        pays = move_pays(here * (1 - self.margin), found.per_step, placed.left, moving)
        return found if pays else None


def _cheapest(
    candidates: Candidates, view: TuningView, idle: list[Lease], trial: int, left: int
) -> tuple[float, Lease] | None:
    """The idle lease on which a step costs least, and what."""
    costs = [(candidates.staying(lease, trial, left), at) for at, lease in enumerate(idle)]
    if not costs:
        return None
    cost, at = min(costs)
    return cost, idle[at]


def _of_another_type(candidates: Candidates, trial: Queued) -> Machine | None:
    """For trial k the machine of the k-th type, the one whose steps are reckoned cheapest first."""
    found = []
    for name in sorted({offer.type.name for offer in candidates.offers}):
        within = [offer.type.name == name for offer in candidates.offers]
        if (machine := candidates.best(trial.trial, trial.left, False, within)) is not None:
            found.append(machine)
    found.sort(key=lambda each: each.per_step)
    return found[trial.trial] if trial.trial < len(found) else None


def _kept_until(view: TuningView, lease: Lease) -> float:
    """Until when an idle lease is kept for a trial that may yet come, as after a comparison of trials.

    For as long as another would take to start: whatever comes, no more than twice what is best is paid (ski
    rental). Where longer units are owed, to the end of the one that was begun.
    """
    if not (view.placed or view.queued) or lease.id not in view.idle_since:
        return -math.inf
    if (paid := paid_for(view, lease)) > 0:
        return view.market.now + paid - _EARLY
    starts = [each.wait for each in view.market.offers if each.pool == lease.pool]
    return view.idle_since[lease.id] + max([view.boot, *starts])


def _cheaper(candidates: Candidates) -> tuple[PriceBelow, ...]:
    """Ask again when a price has fallen so far that a move could pay."""
    spot = sorted(
        (each for each in candidates.offers if each.terms.revocable), key=lambda each: each.price.per_hour
    )
    return tuple(PriceBelow(each.pool, _FALL * each.price.per_hour) for each in spot[:_MOST_WATCHED])


def _said(machine: Machine, view: TuningView) -> str:
    terms = "spot" if machine.offer.terms.revocable else "on demand"
    return (
        f"{machine.offer.pool} {terms} at ${machine.offer.price.per_hour:.4g} an hour, "
        f"${machine.per_step:.3g} a step{by_earlier_runs(view, machine.offer.type.name)}"
    )
