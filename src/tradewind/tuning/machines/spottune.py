"""SpotTune's provisioner and its recycling, as published.

Yang et al., "SpotTune: Leveraging Transient Resources for Cost-Efficient Hyper-Parameter Tuning in the Public
Cloud", ICDCS 2020, arXiv 2012.03576. Each trial goes to the spot machine with the least (1 - p) * price *
seconds a step (formula 2.2), p being the chance of a revocation within an hour under a bid that is drawn at
random; a machine is left at the end of its first hour, while what the provider ends is still refunded.
"""

from __future__ import annotations

import random

from tradewind.errors import Misuse
from tradewind.market.decisions import Action, Decision, Release, Take
from tradewind.market.offers import Terms
from tradewind.tuning.machines.candidates import Candidates, Machine, awaited, by_earlier_runs, sentence
from tradewind.tuning.machines.interface import TuningView
from tradewind.tuning.machines.step_cost import HOUR, Stakes, step_cost

LEAST_DELTA, MOST_DELTA = 1e-5, 0.2
"""US dollars an hour that a bid is above the price: between these, evenly."""
_STAKES = Stakes(horizon=HOUR, overhead=0.0, lost=0.0, refunded=1.0)
"""Formula 2.2: a revoked machine is free, and nothing is lost with it."""
_EARLY = 1.0
"""Seconds before the end of the first hour, besides those of a checkpoint, at which a machine is left: a
moment later another hour would be owed where that is the unit."""


class SpotTune:
    """Implements `control.policy.Policy` over `TuningView`; remembers nothing.

    A trial that ends, and an hour that ends, end the lease. A lease under notice is left to the provider, for
    its refund. Only spot is taken. O(offers) a trial.

    Args:
        seed: of the bids. A bid follows from it, the trial, the moment and the offer's place among them.
        revoked: the chance of a revocation within an hour, of pools that no outlook speaks of.
    """

    name = "spottune"

    def __init__(self, seed: int = 0, revoked: float = 0.05) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise Misuse(f"{seed!r} is no whole number", source=self.name, field="seed", fix="Give 0.")
        if not 0 <= revoked < 1:
            raise Misuse(f"{revoked!r} is no chance", source=self.name, field="revoked", fix="Give 0.05.")
        self.seed, self.revoked = seed, revoked

    def recall(self) -> None:
        """Nothing."""
        return

    def decide(self, view: TuningView, memory: None) -> tuple[Decision, None]:
        """Rent a machine for every waiting trial, and leave those whose first hour is over."""
        now = view.market.now
        actions: list[Action] = []
        said: list[str] = []
        candidates, waiting = Candidates(view, self.revoked, terms=Terms.SPOT), 0
        for trial in view.queued:
            found = self._best(candidates, view, trial.trial)
            if found is None:
                waiting += 1
                continue
            candidates.take(found.offer)
            actions.append(Take(found.bid(trial.trial)))
            said.append(
                f"trial {trial.trial} goes on {found.offer.pool} at ${found.offer.price.per_hour:.4g} an "
                f"hour, bid ${found.limit:.4g}, ${found.per_step:.3g} a step"
                f"{by_earlier_runs(view, found.offer.type.name)}"
            )
        wake_at = now + HOUR
        leases = {lease.id: lease for lease in view.market.leases if lease.id not in view.leaving}
        for placed in view.placed:
            if (lease := leases.get(placed.lease)) is None or placed.left <= 0:
                continue
            # a lease that is shorter than what leaving it takes would never bring a step
            hour_ends = max(placed.since, lease.started + HOUR - view.checkpoint - _EARLY)
            if now >= hour_ends:
                actions.append(Release(placed.lease))
                said.append(f"trial {placed.trial} leaves {placed.lease}, whose first hour is over")
            else:
                wake_at = min(wake_at, hour_ends)
        for each in view.idle:
            actions.append(Release(each.id))
            said.append(f"{each.id} is idle")
        if waiting:
            said.append(f"{waiting} wait, for no spot machine that fits is on offer")
        if said:
            said += candidates.doubts
        reason = sentence(said) if said else "Every trial is within its first hour."
        return Decision(tuple(actions), reason, wake_at, awaited(view) if waiting else ()), None

    def _best(self, candidates: Candidates, view: TuningView, trial: int) -> Machine | None:
        """Where formula 2.2 is least, under a bid of chance for each offer; of equals the first."""
        drawn = random.Random(f"{self.seed} {trial} {view.market.now!r}")
        best: Machine | None = None
        for offer in candidates.offers:
            if offer.terms is not Terms.SPOT:
                continue
            delta = drawn.uniform(LEAST_DELTA, MOST_DELTA)
            if candidates.room(offer) <= 0:
                continue
            price = offer.price.per_hour
            chance = candidates.chance(offer.pool, offer.terms, delta, HOUR)
            seconds = view.seconds_of(trial, offer.type.name)
            cost = step_cost(price, seconds, chance, _STAKES, uptime=HOUR)
            if best is None or cost < best.per_step:
                best = Machine(offer, price + delta, cost)
        return best
