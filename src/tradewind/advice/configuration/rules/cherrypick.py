"""CherryPick: Bayesian optimisation of a run's cost over configurations, a handful of runs.

Alipourfard, Liu, Chen, Venkataraman, Yu and Zhang, "CherryPick: adaptively unearthing the best cloud
configurations for big data analytics" (NSDI 2017): a Gaussian process with Matern 5/2 on the logarithm of
cost (noise multiplies), expected improvement times the probability that the deadline is met, three
quasi-random configurations to begin with, an end once six were run and the greatest expected improvement is
below a tenth. What the paper does not say: a run that fails or is cut counts as twice the dearest seen.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from scipy.special import ndtr

from tradewind.advice.configuration.greatest_improvement import greatest_improvement
from tradewind.advice.configuration.interface import AdvisingView, Array, Prediction, Probe, Stop
from tradewind.advice.configuration.objective import COST
from tradewind.advice.configuration.plain_outlook import outlook
from tradewind.estimates.gaussian_process import GaussianProcess

_PENALTY = math.log(2.0)
_LEAST = 1e-6
"""Standard deviation, at least, of what is predicted."""


class CherryPick(Struct, frozen=True):
    """Expected improvement on log cost; O(n^3) of the runs for each suggestion.

    The defaults stop later than the paper does (see `published`), which is too early on measured tables.
    """

    starts: int = 3
    """Quasi-random configurations to begin with."""
    least: int = 10
    """Runs before it may end."""
    gain: float = 0.02
    """The expected relative improvement below which it ends."""

    @classmethod
    def published(cls) -> CherryPick:
        """As in the paper: an end after six runs where less than a tenth is expected."""
        return cls(least=6, gain=0.1)

    @property
    def recommends_unmeasured(self) -> bool:
        """It recommends what it has run."""
        return False

    def next(self, view: AdvisingView) -> Probe | Stop:
        """The greatest expected improvement among what was not tried and can still be paid."""
        return greatest_improvement(
            view, self.predict(view), starts=self.starts, least=self.least, gain=self.gain
        )

    def predict(self, view: AdvisingView) -> Prediction:
        """The process's mean and spread of the log objective; time follows from cost by the price."""
        whole = [run.whole for run in view.runs]
        if not any(whole):
            return outlook(view)
        logs = np.log([view.objective.value(run) for run in view.runs])
        logs[~np.array(whole)] = logs.max() + _PENALTY
        means, deviations = _process(view.space.rows, [run.configuration for run in view.runs], logs)
        seconds = np.exp(means)
        if view.objective.minimize == COST:
            seconds = seconds * 3600 / view.space.per_hour
        feasible = np.ones(len(means))
        if view.objective.deadline is not None:
            feasible = ndtr((math.log(view.objective.deadline) - np.log(seconds)) / deviations)
        for run in view.runs:
            feasible[run.configuration] = float(view.objective.met(run))
        return Prediction(means, deviations, feasible, seconds)


def _process(rows: Array, numbers: list[int], targets: Array) -> tuple[Array, Array]:
    if not rows.shape[1]:
        return np.full(len(rows), targets.mean()), np.full(len(rows), max(float(targets.std()), _LEAST))
    means, variances = GaussianProcess.fitted(rows[numbers], targets).predict(rows)
    return means, np.sqrt(np.maximum(variances, _LEAST**2))
