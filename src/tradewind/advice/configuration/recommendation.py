"""What to run on, as far as is known: how sure that is, beside what runs now, and what speaks against it."""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct

from tradewind.advice.configuration.interface import AdvisingView, Advisor, Prediction
from tradewind.advice.configuration.objective import COST
from tradewind.market.measured_runs import STOPPED

SURE = 0.9
"""Probability of coming to its end in time, below which a recommendation says so."""
_NINETY = 1.6449
"""Standard deviations to either side that hold nine tenths of a normal distribution."""


class Recommendation(Struct, frozen=True):
    """One configuration, and what is to be expected of it."""

    configuration: int
    name: str
    measured: bool
    """Whether it was tried; otherwise it is a prediction."""
    value: float
    """The objective: US dollars or seconds of a run."""
    low: float
    high: float
    """Between which nine runs of ten are believed to be."""
    seconds: float
    dollars: float
    """Of one run."""
    feasible: float
    """The probability that a run comes to its end, and in time."""
    saving: float | None
    """The share that is saved against what runs now; negative if it is dearer; None if unknown."""
    spent: float
    """Dollars of all probes."""
    warnings: tuple[str, ...]
    """What speaks against it, in words."""


def recommended(view: AdvisingView, advisor: Advisor) -> Recommendation | None:
    """The best that is known; None where nothing is, and nothing is likely to work.

    What was measured and met the objective comes before what is only predicted, unless the advisor stands
    by its predictions and expects better of one that is as likely to work.
    """
    prediction = advisor.predict(view)
    best = view.best
    chosen = best.configuration if best else None
    if chosen is None or advisor.recommends_unmeasured:
        # At one half nothing is known, and then nothing is recommended.
        likely = prediction.feasible >= SURE if best else prediction.feasible > 0.5
        if chosen is not None:
            likely[chosen] = True
        for run in view.runs:
            if not view.objective.met(run) and run.configuration != chosen:
                likely[run.configuration] = False
        if not likely.any():
            return None
        chosen = int(np.argmin(np.where(likely, prediction.logs, np.inf)))
    return _told(view, prediction, chosen)


def _told(view: AdvisingView, prediction: Prediction, chosen: int) -> Recommendation:
    configuration = view.space[chosen]
    runs = [run for run in view.runs if run.configuration == chosen and view.objective.met(run)]
    spread = math.exp(_NINETY * float(prediction.deviations[chosen]))
    if runs:
        seconds = float(np.mean([run.seconds for run in runs]))
        dollars = float(np.mean([run.dollars for run in runs]))
        value = float(np.mean([view.objective.value(run) for run in runs]))
    else:
        seconds = float(prediction.seconds[chosen])
        dollars = seconds * configuration.per_hour / 3600
        value = math.exp(float(prediction.logs[chosen]))
    feasible = float(prediction.feasible[chosen])
    now = _now(view, prediction)
    saving = None if now is None else 1 - value / now
    return Recommendation(
        chosen, configuration.name, bool(runs), value, value / spread, value * spread, seconds, dollars,
        feasible, saving, view.spent, _warnings(view, prediction, chosen, bool(runs), saving),
    )  # fmt: skip


def _now(view: AdvisingView, prediction: Prediction) -> float | None:
    """What the user pays or waits now: measured, or believed if its run was ended early or never made.

    None where it is unknown or does not work.
    """
    if view.current is None:
        return None
    runs = [run for run in view.runs if run.configuration == view.current]
    if met := [view.objective.value(run) for run in runs if view.objective.met(run)]:
        return float(np.mean(met))
    if any(run.status != STOPPED for run in runs):
        return None
    return math.exp(float(prediction.logs[view.current]))


def _warnings(
    view: AdvisingView, prediction: Prediction, chosen: int, measured: bool, saving: float | None
) -> tuple[str, ...]:
    found = []
    if not measured:
        found.append("It was not tried: the figures are a prediction.")
    if (feasible := float(prediction.feasible[chosen])) < SURE:
        found.append(f"A run is believed to come to its end in time with probability {feasible:.2f} only.")
    deadline = view.objective.deadline
    if deadline is not None and prediction.seconds[chosen] > deadline:
        found.append(
            f"It is expected to take {prediction.seconds[chosen]:.0f} s, of {deadline:.0f} s allowed."
        )
    if view.current is not None and chosen != view.current:
        now = view.space[view.current].name
        ends = {run.status for run in view.runs if run.configuration == view.current}
        if not ends:
            found.append(f"{now}, which runs now, was not tried: the saving is predicted.")
        elif ends == {STOPPED}:
            found.append(f"{now}, which runs now, was ended early as no better: the saving is predicted.")
    if saving is not None and saving < 0:
        what = "dearer" if view.objective.minimize == COST else "slower"
        found.append(f"It is {what} than what runs now, which does not do what is asked.")
    return tuple(found)
