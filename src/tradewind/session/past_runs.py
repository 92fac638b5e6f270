"""What a run like the one at hand would have come to, had it begun at earlier moments of the market.

The same policy and controller run in virtual time from moments of the recorded past, so that waiting,
revocations and start-ups are in the estimate; the work is a speed model. Nothing after the present is seen.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.control.policy import AnyPolicy
from tradewind.errors import TradewindError
from tradewind.estimates.run_time import Interval
from tradewind.market.recorded import RecordedMarket
from tradewind.session.assembly import forecaster_of, modelled_work
from tradewind.session.spec import TrainSpec
from tradewind.session.trials import trial
from tradewind.training.view import Goal, Progress

LOOKBACK = 7 * 86_400.0
"""Seconds of the past that runs begin in."""
RUNS, FEWEST = 24, 6
"""How many runs, and how few are no picture of the market."""
FORESEEING_RUNS = 8
"""How many for a policy that reads forecasts, which takes a second or two a run."""


class PastRuns(Struct, frozen=True):
    """What they came to; the bounds leave out the best and the worst twentieth."""

    runs: int
    seconds: Interval
    cost: Interval
    """US dollars."""
    revocations: float
    """A run, on average."""


def past_runs(
    spec: TrainSpec,
    policy: AnyPolicy,
    market: RecordedMarket,
    goal: Goal,
    now: float,
    progress: Progress,
    span: float,
) -> PastRuns | None:
    """Runs of at most `span` seconds that would have ended before `now`; None where too few fit or end.

    `progress` is where the job stands, and how fast it is.
    """
    begin = max(now - LOOKBACK, max((each.start for each in market.history.prices.values()), default=now))
    count = FORESEEING_RUNS if getattr(policy, "foresees", False) else RUNS
    if begin >= now - span:
        return None
    past = market.until(now)
    ended = []
    for start in np.linspace(begin, now - span, count):
        moved = float(start) - now
        try:
            result = trial(
                past,
                _shifted(goal, moved),
                policy,
                modelled_work(spec, policy, progress),
                float(start),
                forecaster=forecaster_of(spec, policy, past, float(start)),
                until=now,
            )
        except TradewindError:
            continue  # nothing fitted then, or not in time
        if result.done:
            ended.append((result.seconds, result.cost, result.revocations))
    if len(ended) < FEWEST:
        return None
    seconds, costs, revocations = np.array(ended, np.float64).T
    return PastRuns(len(ended), _interval(seconds), _interval(costs), float(revocations.mean()))


def _interval(values: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(values, (0.05, 0.95))
    return Interval(float(low), float(values.mean()), float(high))


def _shifted(goal: Goal, by: float) -> Goal:
    """The goal with its deadline moved."""
    if goal.deadline is None or not math.isfinite(goal.deadline):
        return goal
    deadline = goal.deadline + by
    return msgspec.structs.replace(
        goal,
        deadline=deadline,
        workers=msgspec.structs.replace(goal.workers, deadline=deadline),
        state=msgspec.structs.replace(goal.state, deadline=deadline),
    )
