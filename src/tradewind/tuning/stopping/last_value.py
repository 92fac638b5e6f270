"""The plainest rule: run all to a share of their steps, then go on with those whose last loss is least."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tradewind.tuning.interface import PAUSE, Verdict
from tradewind.tuning.stopping.crossing import (
    checked_count,
    checked_share,
    checked_steps,
    crossed,
    least_first,
    loss_by,
    own,
    reached,
)
from tradewind.tuning.trial import PAUSED, Trial


class LastValue:
    """Implements `Stopper`. Which trials go on does not depend on the order in which they arrived.

    Args:
        max_steps: the steps of a whole trial.
        share: of the steps, after which trials are compared.
        top: how many of them go on. One whose loss is nan does only where all have none.
    """

    def __init__(self, max_steps: int, *, share: float = 0.4, top: int = 3) -> None:
        name = type(self).__name__
        self.max_steps = checked_steps(max_steps, name)
        self.share, self.top = checked_share(share, name, "share"), checked_count(top, 1, name, "top")

    @property
    def pause_at(self) -> int:
        """The first step at which a trial is compared."""
        return max(1, math.ceil(self.share * self.max_steps))

    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        """Pause at the share, unless it has been chosen to go on."""
        if not crossed(trial, self.pause_at) or reached(trial) >= self.max_steps:
            return Verdict()
        step = trial.steps[-1]
        return Verdict(PAUSE, f"at {step} of {self.max_steps} steps it is compared with the others")

    def score(self, trial: Trial) -> float:
        """By what trials are compared, less being better: the loss at the share."""
        return loss_by(trial, self.pause_at)

    def resumed(self, trials: Sequence[Trial], exhausted: bool) -> tuple[int, ...]:
        """The best, once all have come so far."""
        if not exhausted:
            return ()
        there = [each for each in own(trials) if reached(each) >= self.pause_at]
        scores = [self.score(each) for each in there]
        known = sum(1 for score in scores if math.isfinite(score))
        best = [there[at] for at in least_first(scores)[: max(1, min(self.top, known))]]
        return tuple(each.number for each in best if each.state == PAUSED)
