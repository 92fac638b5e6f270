"""ASHA: at each rung the best share of those who came so far go on.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, arXiv 1810.05934, algorithm 2.
Rung k is at `first * eta^k` steps. What stands on a rung is read from the trials' curves, so rungs are kept
with them and there is nothing else to save.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

from tradewind.errors import Misuse
from tradewind.tuning.interface import PAUSE, STOP, Verdict
from tradewind.tuning.stopping.crossing import checked_count, checked_steps, crossed, own, reached
from tradewind.tuning.trial import PAUSED, Trial

STOPPING, PROMOTION = "stopping", "promotion"


class Asha:
    """Implements `Stopper`. The order of arrival counts: who is early is compared with fewer.

    Args:
        max_steps: the steps of a whole trial.
        eta: one in `eta` goes on from each rung, rounded down, one at least.
        first: the step of the first rung; by default `max_steps / eta^k`, rounded up, for the greatest k
            that leaves it at 1 or more.
        variant: "stopping" judges a trial once, as it comes to a rung, and stops it for good; "promotion"
            pauses it, and lets it go on when enough that are worse have come.
    """

    def __init__(
        self, max_steps: int, *, eta: int = 3, first: int | None = None, variant: str = STOPPING
    ) -> None:
        self.max_steps = checked_steps(max_steps, "Asha")
        self.eta = checked_count(eta, 2, "Asha", "eta")
        if first is None:
            first = max_steps
            while first >= eta:
                first = math.ceil(first / eta)
        self.first = checked_count(first, 1, "Asha", "first")
        if variant not in (STOPPING, PROMOTION):
            raise Misuse(
                f"{variant!r} is no variant", source="Asha", field="variant",
                fix=f"Say {STOPPING!r} or {PROMOTION!r}.",
            )  # fmt: skip
        self.variant = variant

    @property
    def rungs(self) -> tuple[int, ...]:
        """The steps of the rungs, all below `max_steps`."""
        found, step = [], self.first
        while step < self.max_steps:
            found.append(step)
            step *= self.eta
        return tuple(found)

    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        """Stop or pause a trial that comes to a rung and is not among the best there."""
        if reached(trial) >= self.max_steps:
            return Verdict()
        for rung in self.rungs:
            if not crossed(trial, rung):
                continue
            everyone = [each for each in own(trials) if each.number != trial.number] + [trial]
            standing = _standing(everyone, rung)
            if trial.number in self._best(standing, least=1 if self.variant == STOPPING else 0):
                continue
            place = next(at for at, number in enumerate(standing) if number == trial.number)
            action, what = (STOP, "stopped") if self.variant == STOPPING else (PAUSE, "paused")
            return Verdict(action, f"{what} at rung {rung}: place {place + 1} of {len(standing)}")
        return Verdict()

    def resumed(self, trials: Sequence[Trial], exhausted: bool) -> tuple[int, ...]:
        """Paused trials that now are among the best of the highest rung they came to; the highest first.

        When all is exhausted and nobody has finished, the best of the highest rung goes on alone.
        """
        everyone = own(trials)
        paused = {each.number: each for each in everyone if each.state == PAUSED}
        if not paused:
            return ()
        found: list[int] = []
        for rung in reversed(self.rungs):
            above = self._next(rung)
            here = {number for number, each in paused.items() if rung <= reached(each) < above}
            standing = _standing(everyone, rung)
            found += [number for number in self._best(standing, least=0) if number in here]
            if exhausted and not found and not any(reached(each) >= self.max_steps for each in everyone):
                found += [number for number, loss in standing.items() if number in here and loss < math.inf][
                    :1
                ]
        return tuple(found)

    def _next(self, rung: int) -> int:
        return rung * self.eta if rung * self.eta < self.max_steps else self.max_steps

    def _best(self, standing: dict[int, float], least: int) -> list[int]:
        """The numbers of those who may go on from a rung; never one whose loss is nan."""
        count = max(least, len(standing) // self.eta)
        return [number for number, loss in standing.items() if loss < math.inf][:count]


def _standing(trials: Sequence[Trial], rung: int) -> dict[int, float]:
    """Who has come to a rung, the least loss first, and the loss with which each came."""
    came = {each.number: _on_arrival(each, rung) for each in trials if reached(each) >= rung}
    return dict(sorted(came.items(), key=lambda item: (item[1], item[0])))


def _on_arrival(trial: Trial, rung: int) -> float:
    at = bisect.bisect_left(trial.steps, rung)
    loss = trial.losses[at] if at < len(trial.losses) else math.inf
    return math.inf if math.isnan(loss) else loss
