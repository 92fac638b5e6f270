"""CherryPick: Bayesian optimisation of a run's cost over configurations, a handful of runs.

Alipourfard, Liu, Chen, Venkataraman, Yu and Zhang, "CherryPick: adaptively unearthing the best cloud
configurations for big data analytics" (NSDI 2017): a Gaussian process with Matern 5/2 on the logarithm of
cost (noise multiplies), expected improvement times the probability that the deadline is met, three
quasi-random configurations to begin with, an end once six were run and the greatest expected improvement is
below a tenth. What the paper does not say: a run that fails or is cut counts as twice the dearest seen; and
as long as no run met the objective, the likeliest to meet it comes next.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from scipy.stats import norm, qmc

from tradewind.advice.configuration.interface import AdvisingView, Array, Prediction, Probe, Stop
from tradewind.advice.configuration.objective import COST
from tradewind.advice.configuration.plain_outlook import outlook
from tradewind.estimates.expected_improvement import log_expected_improvement
from tradewind.estimates.gaussian_process import GaussianProcess

_PENALTY = math.log(2.0)
_LEAST = 1e-6
"""Standard deviation, at least, of what is predicted."""


class CherryPick(Struct, frozen=True):
    """Expected improvement on log cost; O(n^3) of the runs for each suggestion.

    The defaults stop later than the paper does (`least=6, gain=0.1`), which is too early on measured tables.
    """

    starts: int = 3
    """Quasi-random configurations to begin with."""
    least: int = 10
    """Runs before it may end."""
    gain: float = 0.02
    """The expected relative improvement below which it ends."""

    @property
    def recommends_unmeasured(self) -> bool:
        """It recommends what it has run."""
        return False

    def next(self, view: AdvisingView) -> Probe | Stop:
        """The greatest expected improvement among what was not tried and can still be paid."""
        if not view.unseen:
            return Stop("Every configuration was tried.")
        prediction = self.predict(view)
        open_ = np.array(view.unseen)
        if view.budget is not None:
            cost = prediction.seconds * view.space.per_hour / 3600
            open_ = open_[view.spent + cost[open_] <= view.budget]
            if not len(open_):
                return Stop(f"No other run is expected to fit what is left of {view.budget:.2f} dollars.")
        if len(view.runs) < self.starts:
            return Probe(_spread(view, open_), f"quasi-random start {len(view.runs) + 1} of {self.starts}")
        best = view.best
        if best is None:
            number = int(open_[np.argmax(prediction.feasible[open_])])
            return Probe(number, "nothing has met the objective yet, and this is the likeliest to")
        gains = _improvements(prediction, math.log(view.objective.value(best))) * prediction.feasible
        number = int(open_[np.argmax(gains[open_])])
        if len(view.runs) >= self.least and gains[number] < self.gain:
            return Stop(
                f"{len(view.runs)} runs were made, and the next is expected to better the best by"
                f" {gains[number]:.1%}, less than {self.gain:.0%}."
            )
        return Probe(number, f"expected to better the best by {gains[number]:.1%}")

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
            feasible = norm.cdf((math.log(view.objective.deadline) - np.log(seconds)) / deviations)
        for run in view.runs:
            feasible[run.configuration] = float(view.objective.met(run))
        return Prediction(means, deviations, feasible, seconds)


def _process(rows: Array, numbers: list[int], targets: Array) -> tuple[Array, Array]:
    if not rows.shape[1]:
        return np.full(len(rows), targets.mean()), np.full(len(rows), max(float(targets.std()), _LEAST))
    means, variances = GaussianProcess.fitted(rows[numbers], targets).predict(rows)
    return means, np.sqrt(np.maximum(variances, _LEAST**2))


def _improvements(prediction: Prediction, best: float) -> Array:
    return np.exp(log_expected_improvement(prediction.logs, prediction.deviations, best))


def _spread(view: AdvisingView, open_: Array) -> int:
    """The open configuration nearest to the next point of a Sobol sequence, scrambled by the seed."""
    rows = view.space.rows
    if not rows.shape[1]:
        return int(np.random.default_rng((view.seed, len(view.runs))).choice(open_))
    points = qmc.Sobol(rows.shape[1], rng=np.random.default_rng(view.seed)).random_base2(6)
    wanted = points[len(view.runs)]
    return int(open_[np.argmin(((rows[open_] - wanted) ** 2).sum(axis=1))])
