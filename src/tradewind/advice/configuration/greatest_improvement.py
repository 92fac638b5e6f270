"""The loop that advisors of expected improvement share; they differ in what they believe.

Alipourfard and others, "CherryPick" (NSDI 2017), section 3: a few quasi-random configurations to begin with,
then the greatest expected improvement times the probability that the deadline is met, and an end when that
is small. What they do not say: as long as no run met the objective, the likeliest to meet it comes next.
"""

from __future__ import annotations

import math

import numpy as np

from tradewind.advice.configuration.affordable import affordable
from tradewind.advice.configuration.first_probes import sobol_probe
from tradewind.advice.configuration.interface import AdvisingView, Prediction, Probe, Stop
from tradewind.estimates.expected_improvement import log_expected_improvement


def greatest_improvement(
    view: AdvisingView, prediction: Prediction, *, starts: int, least: int, gain: float, note: str = ""
) -> Probe | Stop:
    """The next probe by what is predicted; `note` is added to its reason.

    The first `starts` are quasi-random. An end comes once `least` runs were made and no improvement of
    `gain`, relative, is expected of another.
    """
    open_ = affordable(view, prediction)
    if isinstance(open_, Stop):
        return open_
    if len(view.runs) < starts:
        return Probe(sobol_probe(view, open_), f"quasi-random start {len(view.runs) + 1} of {starts}{note}")
    best = view.best
    if best is None:
        chances = prediction.feasible[open_]
        likeliest = open_[chances >= chances.max() - 1e-12]
        return Probe(
            sobol_probe(view, likeliest), f"nothing has met the objective yet; the likeliest to{note}"
        )
    gains = relative_gains(prediction, math.log(view.objective.value(best)))
    number = int(open_[np.argmax(gains[open_])])
    if len(view.runs) >= least and gains[number] < gain:
        return Stop(
            f"{len(view.runs)} runs were made, and the next is expected to better the best by"
            f" {gains[number]:.1%}, less than {gain:.0%}."
        )
    return Probe(number, f"expected to better the best by {gains[number]:.1%}{note}")


def relative_gains(prediction: Prediction, best: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(n,) expected fall of the logarithm of the objective below `best`, times the probability to meet it."""
    gains = log_expected_improvement(prediction.logs, prediction.deviations, best)
    return np.asarray(np.exp(gains) * prediction.feasible)
