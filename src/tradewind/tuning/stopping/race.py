"""A race: spend a share of all steps, fewer trials at each step, and keep those that may yet come first.

Ours. Three forecasts of the last loss stand beside each other: the least loss so far, and where the trends of
the latest 30 % and 60 % of the steps lead, on a line over the root of the steps. A trial is as good as its
best place among the three, so that a trial stays that is behind but falls, and one that leads but flattens.
Places and not losses are compared, hence a diverged trial outweighs nothing, and the rule is the same for
any scale of the loss.

How many run is `c / step^1.4`, from all down to the last `top`; c follows from the share. With an exponent of
1 each stretch of doubling costs as much as the next, as in successive halving (Jamieson and Talwalkar,
AISTATS 2016); more leaves more for the beginning, where more is undecided. Exponent, windows and `top` were
chosen on three tasks of TaskSet; what the rule does on others is in `benchmarks/tuning/stopping.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from tradewind.estimates.learning_curve import trend
from tradewind.tuning.interface import PAUSE, Verdict
from tradewind.tuning.stopping.crossing import (
    checked_count,
    checked_share,
    checked_steps,
    crossed,
    curve_until,
    own,
    reached,
)
from tradewind.tuning.trial import OPEN, PAUSED, RUNNING, Trial

_EXPONENT = 1.4
_WINDOWS = (0.3, 0.6)


class Race:
    """Implements `Stopper`. Who goes on depends on the curves, not on the order in which trials arrived.

    All trials run to the first step at which one is left behind; they are compared when nothing runs and
    nothing new will be tried, and from then on each time that all in the race have come as far.

    Args:
        max_steps: the steps of a whole trial.
        share: of the steps that all trials would run in full, how many are run. At the least all run one
            step and one trial runs to its end.
        top: how many are left at the end; fewer where the share does not suffice.
        width: how many trials are expected. It sets the first comparison; afterwards their true number
            counts.
        points: into how many equal parts a trial's steps are divided at most; trials are compared only
            between parts.
    """

    def __init__(
        self, max_steps: int, *, share: float = 0.4, top: int = 2, width: int = 16, points: int = 64
    ) -> None:
        self.max_steps = checked_steps(max_steps, "Race")
        self.share = checked_share(share, "Race", "share")
        self.top = checked_count(top, 1, "Race", "top")
        self.width = checked_count(width, 1, "Race", "width")
        self.points = checked_count(points, 2, "Race", "points")
        self._part = math.ceil(max_steps / self.points)
        self._parts = math.ceil(max_steps / self._part)
        plan = _plan(self.width, self._parts, 1, self.share * self.width * self._parts, self.top)
        self._first = max(1, sum(1 for count in plan if count == self.width))

    @property
    def compare_at(self) -> int:
        """The first step at which trials are compared."""
        return self._step(self._first)

    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        """Pause at a comparison, unless all others have come as far and the trial stays in the race."""
        if not self.compare_at <= reached(trial) < self.max_steps:
            return Verdict()
        # At the first comparison it waits even for trials that have not begun.
        if not crossed(trial, self.compare_at):
            others = [each for each in own(trials) if each.number != trial.number]
            everyone = sorted([*others, trial], key=_number)
            far = _far(everyone)
            plan = self._comparisons(everyone, far)
            if not any(crossed(trial, step) for step, _ in plan):
                return Verdict()
            # While one runs that is behind, the last word is not spoken, and need not be looked for.
            last = max(step for step, _ in plan if step <= trial.steps[-1])
            if not any(each.state == RUNNING and far[each.number] < last for each in others) and any(
                each.number == trial.number for each in self._race(everyone, far, plan)
            ):
                return Verdict()
        step = trial.steps[-1]
        return Verdict(PAUSE, f"at {step} of {self.max_steps} steps it is compared with the others")

    def resumed(self, trials: Sequence[Trial], exhausted: bool) -> tuple[int, ...]:
        """Those still in the race that have not come as far as the others, or all of it at its end."""
        everyone = own(trials)
        far = _far(everyone)
        if not (exhausted or max(far.values(), default=0) > self.compare_at):
            return ()
        going = self._race(everyone, far, self._comparisons(everyone, far))
        return tuple(each.number for each in going if each.state == PAUSED)

    def _race(
        self, everyone: Sequence[Trial], far: Mapping[int, int], plan: Sequence[tuple[int, int]]
    ) -> list[Trial]:
        """Who is to run now: those that are behind the others, or all that are left."""
        going = list(everyone)
        for step, count in plan:
            behind = [each for each in going if far[each.number] < step and each.state in OPEN]
            if behind:
                return behind
            going = [each for each in going if far[each.number] >= step]
            going = sorted((going[at] for at in self._places(going, step)[:count]), key=_number)
        return going

    def _comparisons(self, everyone: Sequence[Trial], far: Mapping[int, int]) -> list[tuple[int, int]]:
        """The steps at which trials are left behind, and how many go on from each."""
        first = self.compare_at
        counted = [far[each.number] for each in everyone if far[each.number] >= first or each.state in OPEN]
        if not counted:
            return []
        # Steps are counted in parts. What trials that ended before have run is spent as well.
        ended = sum(far.values()) - sum(counted)
        spent = ended / self._part + len(counted) * self._first
        budget = self.share * len(everyone) * self._parts - spent
        plan = _plan(len(counted), self._parts, self._first + 1, budget, self.top)
        return [
            (self._step(self._first + at), count)
            for at, (before, count) in enumerate(pairwise((len(counted), *plan)))
            if count < before
        ]

    def _places(self, trials: Sequence[Trial], step: int) -> list[int]:
        """The places in `trials` (by number) from the likeliest to come first to the least likely."""
        return list(_ranked(tuple(curve_until(each, step) for each in trials), self.max_steps))

    def _step(self, part: int) -> int:
        return min(part * self._part, self.max_steps)


@lru_cache(maxsize=1 << 12)
def _ranked(curves: tuple[tuple[tuple[int, ...], tuple[float, ...]], ...], at: int) -> tuple[int, ...]:
    """Places in `curves` (steps and losses) by what they come to at step `at`. Asked for again and again."""
    forecasts = [_forecasts(*each, at) for each in curves]
    columns = np.array(forecasts).reshape(len(curves), 1 + len(_WINDOWS)).T
    ranks = np.empty(columns.shape)
    for row, column in zip(ranks, columns, strict=True):
        row[np.argsort(column, kind="stable")] = np.arange(len(curves))
    # Between equal best places the mean of the three decides, then the least loss.
    best, mean = ranks.min(axis=0), ranks.mean(axis=0)
    return tuple(int(place) for place in np.lexsort((ranks[0], mean, best)))


@lru_cache(maxsize=1 << 14)
def _forecasts(steps: tuple[int, ...], losses: tuple[float, ...], at: int) -> tuple[float, ...]:
    """The forecasts of a loss; infinite where the last one is not finite. Asked for again and again."""
    if not losses or not math.isfinite(losses[-1]):
        return (math.inf,) * (1 + len(_WINDOWS))
    least = min(loss for loss in losses if math.isfinite(loss))
    return least, *(trend(steps, losses, at, window=window) for window in _WINDOWS)


def _far(trials: Sequence[Trial]) -> dict[int, int]:
    """By number, how far each has come."""
    return {each.number: reached(each) for each in trials}


def _number(trial: Trial) -> int:
    return trial.number


@lru_cache(maxsize=256)
def _plan(count: int, parts: int, begin: int, budget: float, top: int) -> tuple[int, ...]:
    """How many of `count` trials run in each part from `begin` to `parts`: as many as the budget allows.

    One runs to the end even where the budget does not allow it.
    """
    left = parts - begin + 1
    if left <= 0:
        return ()
    top = max(1, min(top, count, int(budget / left)))
    weights = np.arange(begin, parts + 1, dtype=np.float64) ** -_EXPONENT
    low, high = 0.0, count * float(parts) ** _EXPONENT
    found = np.full(left, top)
    for _ in range(60):
        middle = (low + high) / 2
        tried = np.rint(np.clip(middle * weights, top, count)).astype(np.int64)
        if tried.sum() <= budget + 1e-9:
            low, found = middle, tried
        else:
            high = middle
    return tuple(int(each) for each in found)
