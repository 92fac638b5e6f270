"""The decay-curve rule: stop what, by the finished trials' curves, will hardly beat the best.

Google Vizier (Golovin et al., KDD 2017, section 3.2.1) regresses the final value on the curve so far with a
Gaussian process and stops a trial when the probability of exceeding the best is very low. Here a curve up to
a step is four numbers (its loss now, its least, its late mean, and where its trend leads), and what is
regressed is the way from the loss now to the final one. Losses go through asinh about the median of the
finals, in interquartile ranges, so that a diverged trial does not set the scale. Length and noise are those
of a small grid with the greatest likelihood; the amplitude is integrated out, so the prediction is Student's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky
from scipy.special import stdtr

from tradewind.estimates.learning_curve import trend
from tradewind.tuning.interface import STOP, Verdict
from tradewind.tuning.stopping.crossing import (
    checked_count,
    checked_share,
    checked_steps,
    crossed,
    curve_until,
    own,
    reached,
)
from tradewind.tuning.trial import FAILED, Trial

_LENGTHS = (1.0, 2.0, 4.0, 8.0)
_NOISES = (0.01, 0.1, 1.0)
"""Of the variance, against that of the signal."""
_MOST = 64
"""Finished trials, the latest, that the regression sees: it costs the cube of their number."""


class DecayCurve:
    """Implements `Stopper`. A verdict depends on which trials have finished, not on their order.

    Args:
        max_steps: the steps of a whole trial.
        chance: of beating the best final loss, below which a trial is stopped.
        least: how many trials must have finished.
        warm_up: the share of the steps in which nothing is stopped.
        checks: into how many equal parts a trial's steps are divided; it is judged between them.
    """

    def __init__(
        self, max_steps: int, *, chance: float = 0.01, least: int = 5, warm_up: float = 0.1, checks: int = 10
    ) -> None:
        self.max_steps = checked_steps(max_steps, "DecayCurve")
        self.chance = checked_share(chance, "DecayCurve", "chance")
        self.least = checked_count(least, 3, "DecayCurve", "least")
        self.warm_up = checked_share(warm_up, "DecayCurve", "warm_up", zero=True)
        self.checks = checked_count(checks, 2, "DecayCurve", "checks")

    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        """Stop a trial whose chance to beat the best is below `chance`."""
        if not trial.steps:
            return Verdict()
        step = trial.steps[-1]
        if step <= self.warm_up * self.max_steps or reached(trial) >= self.max_steps:
            return Verdict()
        if not any(
            crossed(trial, math.ceil(at * self.max_steps / self.checks)) for at in range(1, self.checks)
        ):
            return Verdict()
        finished = [each for each in own(trials) if each.number != trial.number and self._finished(each)]
        if len(finished) < self.least:
            return Verdict()
        finished = finished[-_MOST:]
        if not math.isfinite(trial.losses[-1]):
            return Verdict(STOP, f"at step {step} its loss is {trial.losses[-1]}")
        finals = np.array([_final(each) for each in finished])
        x, y, best = self._regression(finished, finals, trial, step)
        chance = _chance_below(x[:-1], y, x[-1], best - x[-1, 0])
        if chance >= self.chance:
            return Verdict()
        return Verdict(
            STOP,
            f"at step {step} it beats the best, {finals.min():.6g}, with a chance of {chance:.2g}, "
            f"by {len(finished)} finished curves",
        )

    def resumed(self, trials: Sequence[Trial], exhausted: bool) -> tuple[int, ...]:
        """None: this rule pauses nothing."""
        return ()

    def _finished(self, trial: Trial) -> bool:
        return (
            trial.state != FAILED and reached(trial) >= self.max_steps and math.isfinite(_final(trial))
        )  # fmt: skip

    def _regression(
        self, finished: Sequence[Trial], finals: NDArray[np.float64], trial: Trial, step: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Features (n + 1, 4), the trial's last; how far each final is from the loss then (n,); the best."""
        middle = float(np.median(finals))
        spread = float(np.subtract(*np.quantile(finals, [0.75, 0.25]))) or float(np.ptp(finals)) or 1.0
        raw = np.array([_features(*curve_until(each, step), self.max_steps) for each in [*finished, trial]])
        x = np.arcsinh((raw - middle) / spread)
        final = np.arcsinh((finals - middle) / spread)
        return x, final - x[:-1, 0], float(final.min())


@lru_cache(maxsize=4096)
def _features(steps: tuple[int, ...], losses: tuple[float, ...], at: int) -> tuple[float, ...]:
    """What a curve is to the regression; a finished one is asked for again and again."""
    known = [loss for loss in losses if math.isfinite(loss)] or [0.0]
    late = known[-max(1, len(known) // 3) :]
    led = trend(steps, losses, at, window=0.5)
    return known[-1], min(known), sum(late) / len(late), led if math.isfinite(led) else known[-1]


def _final(trial: Trial) -> float:
    return trial.losses[-1] if trial.final is None else trial.final


def _chance_below(
    x: NDArray[np.float64], y: NDArray[np.float64], new: NDArray[np.float64], bound: float
) -> float:
    """The probability that a Gaussian process of `y` (n,) on `x` (n, d) is below `bound` at `new` (d,)."""
    scale = x.std(axis=0)
    scale[scale == 0] = 1.0
    x, new = (x - x.mean(axis=0)) / scale, (new - x.mean(axis=0)) / scale
    # Errors of curves that hardly moved must not vanish: they are as sure as the others are.
    size = float(np.sqrt(np.mean(y**2))) or 1e-12
    y, bound = y / size, bound / size
    apart = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    away = ((x - new) ** 2).sum(axis=1)
    n, best = len(y), -math.inf
    place = error = 0.0
    for length in _LENGTHS:
        kernel, cross = np.exp(-0.5 * apart / length**2), np.exp(-0.5 * away / length**2)
        for noise in _NOISES:
            factor = cholesky(kernel + noise * np.eye(n), lower=True, check_finite=False)
            solved = cho_solve((factor, True), y, check_finite=False)
            amplitude = (float(y @ solved) + 0.1) / n
            likelihood = -0.5 * n * math.log(amplitude) - float(np.log(np.diag(factor)).sum())
            if likelihood > best:
                best = likelihood
                place = float(cross @ solved)
                left = 1.0 + noise - float(cross @ cho_solve((factor, True), cross, check_finite=False))
                error = math.sqrt(amplitude * max(left, 1e-12))
    return float(stdtr(n, (bound - place) / error))
