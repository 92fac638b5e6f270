"""Arrow: Bayesian optimisation that looks at what the machines did, not only at how long they took.

Hsu, Nair, Freeh and Menzies, "Arrow: low-level augmented Bayesian optimization for finding the best cloud VM"
(ICDCS 2018): extremely randomized trees learn, from every ordered pair of configurations that were run, what
the second took from the features of the first, the low-level metrics of its run, and the features of the
second. What is not run yet is predicted once from each run; the mean is believed, and the spread between them
is the doubt. 101 trees of depth 5. What the paper does not say: the target is the logarithm of the objective,
a run that fails or is cut counts as twice the dearest seen, and the search ends as our CherryPick does.
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
from tradewind.estimates.random_trees import RandomTrees

_PENALTY = math.log(2.0)
_LEAST = 0.02
"""Standard deviation, at least, of what is predicted: runs that are repeated differ by a few per cent."""
_CHANCE = 2
"""Sets its chance apart from that of others with the same seed."""


class Arrow(Struct, frozen=True):
    """Pairs of runs by extra trees; O(runs^2) rows to learn from, O(runs x configurations) to predict.

    Metrics count where every run tells of them; otherwise features stand alone, and the reasons say so.
    """

    starts: int = 3
    """Quasi-random configurations to begin with."""
    least: int = 10
    """Runs before it may end."""
    gain: float = 0.02
    """The expected relative improvement below which it ends."""
    trees: int = 101
    depth: int = 5

    @property
    def recommends_unmeasured(self) -> bool:
        """It recommends what it has run."""
        return False

    def next(self, view: AdvisingView) -> Probe | Stop:
        """The greatest expected improvement among what was not tried and can still be paid."""
        note = "" if _seen(view) else ", by features alone: no metrics of the machines are told"
        return greatest_improvement(
            view, self.predict(view), starts=self.starts, least=self.least, gain=self.gain, note=note
        )

    def predict(self, view: AdvisingView) -> Prediction:
        """Of what was run, what was measured; of all else, what the runs say of it, each for itself."""
        if not any(run.whole for run in view.runs) or len(view.probed) < 2:
            return outlook(view)
        logs = np.log([view.objective.value(run) for run in view.runs])
        logs[[not run.whole for run in view.runs]] = logs.max() + _PENALTY
        numbers = np.array([run.configuration for run in view.runs])
        rows, metrics = view.space.rows, _columns(view)
        sources = np.hstack([rows[numbers], metrics])
        first, second = np.nonzero(numbers[:, None] != numbers[None, :])
        learned = RandomTrees.fitted(
            np.hstack([sources[first], rows[numbers[second]]]), logs[second], trees=self.trees,
            depth=self.depth, random_cuts=True, seed=(view.seed, len(view.runs), _CHANCE),
        )  # fmt: skip
        n = len(rows)
        asked = np.hstack([np.repeat(sources, n, axis=0), np.tile(rows, (len(sources), 1))])
        said = learned.each(asked).mean(axis=0).reshape(len(sources), n)
        means, deviations = said.mean(axis=0), np.maximum(said.std(axis=0), _LEAST)
        for number, value in zip(numbers, logs, strict=True):
            means[number], deviations[number] = value, _LEAST
        seconds = np.exp(means)
        if view.objective.minimize == COST:
            seconds = seconds * 3600 / view.space.per_hour
        feasible = np.ones(n)
        if view.objective.deadline is not None:
            feasible = ndtr((math.log(view.objective.deadline) - np.log(seconds)) / deviations)
        for run in view.runs:
            feasible[run.configuration] = float(view.objective.met(run))
        return Prediction(means, deviations, feasible, seconds)


def _seen(view: AdvisingView) -> tuple[str, ...]:
    """The metrics that every run tells of, by name."""
    if not view.runs:
        return ()
    shared = set.intersection(*(set(run.metrics) for run in view.runs))
    return tuple(sorted(shared))


def _columns(view: AdvisingView) -> Array:
    names = _seen(view)
    return np.array([[run.metrics[name] for name in names] for run in view.runs]).reshape(
        len(view.runs), len(names)
    )
