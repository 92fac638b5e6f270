"""The median rule: stop what is worse than half of the others were on average up to the same step.

As Amazon SageMaker's documentation of automatic model tuning says: the running averages of the objective of
the other training jobs up to the same epoch, their median, and a job whose present value is worse is stopped
(Perrone et al., "Amazon SageMaker Automatic Model Tuning", KDD 2021, arXiv 2012.08489; the rule is that of
Golovin et al., "Google Vizier", KDD 2017, section 3.2.2, which compares the best value instead).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tradewind.tuning.interface import STOP, Verdict
from tradewind.tuning.stopping.crossing import (
    checked_count,
    checked_share,
    checked_steps,
    curve_until,
    own,
    reached,
)
from tradewind.tuning.trial import Trial


class MedianRule:
    """Implements `Stopper`. A verdict depends on which trials have come as far, not on who was first.

    Trials that still run are counted as soon as they have got there: a study with many at once has none that
    is finished when the rule is wanted most. Losses of nan count as infinite.

    Args:
        max_steps: the steps of a whole trial.
        least: how many others must have come as far.
        warm_up: the share of the steps in which nothing is stopped.
    """

    def __init__(self, max_steps: int, *, least: int = 5, warm_up: float = 0.1) -> None:
        self.max_steps = checked_steps(max_steps, "MedianRule")
        self.least = checked_count(least, 1, "MedianRule", "least")
        self.warm_up = checked_share(warm_up, "MedianRule", "warm_up", zero=True)

    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        """Stop a trial whose loss is above the median of the others' running averages."""
        if not trial.steps:
            return Verdict()
        step = trial.steps[-1]
        if step <= self.warm_up * self.max_steps or reached(trial) >= self.max_steps:
            return Verdict()
        averages = [
            _mean(curve_until(each, step)[1])
            for each in own(trials)
            if each.number != trial.number and reached(each) >= step
        ]
        if len(averages) < self.least:
            return Verdict()
        middle = _middle(sorted(averages))
        loss = math.inf if math.isnan(trial.losses[-1]) else trial.losses[-1]
        if not (loss > middle or loss == math.inf):
            return Verdict()
        return Verdict(
            STOP,
            f"at step {step} its loss {loss:.6g} is above {middle:.6g}, the median of the averages of "
            f"{len(averages)} others",
        )

    def resumed(self, trials: Sequence[Trial], exhausted: bool) -> tuple[int, ...]:
        """None: this rule pauses nothing."""
        return ()


def _mean(losses: Sequence[float]) -> float:
    total = sum(losses)
    return total / len(losses) if math.isfinite(total) else math.inf


def _middle(ranked: Sequence[float]) -> float:
    """The median; infinite as soon as the upper of the two in the middle is."""
    low, high = ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2]
    return high if low == high or math.isinf(high) else 0.5 * low + 0.5 * high
