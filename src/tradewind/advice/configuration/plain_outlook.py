"""The beliefs of an advisor that has no model of its own: what was seen, everywhere."""

from __future__ import annotations

import numpy as np

from tradewind.advice.configuration.interface import AdvisingView, Prediction


def outlook(view: AdvisingView) -> Prediction:
    """Whole runs' mean and spread everywhere; the share that met the objective, with one more of each.

    What was measured is believed as measured. Without a whole run, a second at each configuration's price.
    """
    n = len(view.space)
    whole = [run for run in view.runs if run.whole]
    seconds = np.full(n, float(np.exp(np.mean([np.log(run.seconds) for run in whole]))) if whole else 1.0)
    values = np.array([np.log(view.objective.value(run)) for run in whole])
    logs = np.full(n, values.mean() if whole else 0.0)
    deviations = np.full(n, values.std(ddof=1) if len(whole) > 1 else 1.0)
    met = [view.objective.met(run) for run in view.runs]
    feasible = np.full(n, (sum(met) + 1) / (len(met) + 2))
    for run in view.runs:
        here = run.configuration
        feasible[here] = float(view.objective.met(run))
        if run.whole:
            logs[here], deviations[here], seconds[here] = np.log(view.objective.value(run)), 0.05, run.seconds
    return Prediction(logs, deviations, feasible, seconds)
