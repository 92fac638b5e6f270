"""Our own advisor: what other workloads teach, what may fail, and whether one more run pays for itself.

Beliefs of run time are those of `tradewind.estimates.workload_prior` and `workload_posterior`, of failures
those of `feasibility`; price is known, so that cost follows from time. The next probe is the one with the
greatest expected gain, and is ended where it can no longer be the best; the search ends where neither that
gain, over all the runs to come, nor that of a probe after it covers what the probe is expected to cost.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.special import ndtr

from tradewind.advice.configuration.affordable import affordable
from tradewind.advice.configuration.corpus_table import log_seconds, outcomes, safe_columns, telling_columns
from tradewind.advice.configuration.interface import AdvisingView, Array, Prediction, Probe, Stop
from tradewind.advice.configuration.objective import COST
from tradewind.advice.configuration.space import ConfigurationSpace
from tradewind.advice.configuration.worth import gains, money, two_steps
from tradewind.errors import Misuse
from tradewind.estimates.completion import Feasibility, feasibility
from tradewind.estimates.workload_posterior import WorkloadPosterior, conditioned
from tradewind.estimates.workload_prior import workload_prior
from tradewind.market.measured_runs import FAILED, STOPPED, TIMED_OUT

_NEAR = 0.01
"""Share of the greatest worth, within which the seed chooses."""
_HOPELESS = 0.2
"""Probability of being the better one, below which what runs now is not worth a probe."""
_SEEN_TO_WORK = 0.95
"""Probability that what came to its end once does so again, at least."""


class Tradewind(Struct, frozen=True):
    """Expected gain under beliefs learned from other workloads; stops where no probe pays.

    Without a corpus it begins from what is usual of prices. The seed chooses among probes of nearly the same
    worth. O(J n (k + m)) for n configurations, k runs, m that are looked beyond and J some dozen settings;
    O(n^2) for each setting when a corpus or a space is new. Raises Misuse on fewer than one probe or one to
    look beyond.
    """

    probes: int | None = None
    """How many to make, whether they pay or not; None for as many as pay."""
    cut: bool = True
    """Whether a probe is ended where it can no longer be the best."""
    ahead: int = 24
    """How many of the most gainful probes are looked beyond."""

    def __post_init__(self) -> None:
        for field in ("probes", "ahead"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise Misuse(f"{value!r} are too few", source="tradewind", field=field, fix="Give 1 or more.")

    @property
    def recommends_unmeasured(self) -> bool:
        """It recommends what it has run, where something has worked."""
        return False

    def predict(self, view: AdvisingView) -> Prediction:
        """Beliefs of the objective and of failure; nothing that did not meet the objective is feasible."""
        return _Belief.of(view).prediction(view)

    def next(self, view: AdvisingView) -> Probe | Stop:
        """The probe that is worth most, or why none is made."""
        belief = _Belief.of(view)
        prediction = belief.prediction(view)
        limits = self._limits(view)
        open_ = affordable(view, _cut(prediction, limits))
        if isinstance(open_, Stop):
            return open_
        if self.probes is not None and len(view.runs) >= self.probes:
            return Stop(f"{len(view.runs)} probes were made, as many as were asked for.")
        best = view.best
        if best is None:
            return _first(view, belief, prediction, open_, limits)
        bar = math.log(view.objective.value(best))
        gain = belief.gains(bar)
        top = open_[np.argsort(-(gain * prediction.feasible)[open_], kind="stable")[: self.ahead]]
        current = _current(view, belief, prediction, open_, bar)
        if self.probes is None:
            worth = two_steps(
                gain, prediction.logs, belief.course.variance, belief.course.covariances(top), top,
                prediction.feasible, open_, bar, belief.course.noise, view.recurrences,
            )  # fmt: skip
            if worth.max() <= 0 and current is None:
                at = int(top[np.argmax(worth)])
                return Stop(_over(view, prediction, float(gain[at]), at, bar))
            if worth.max() <= 0:
                number, why = current, "it runs now, and is to be compared with"
            else:
                number = _chosen(view, top, worth, _NEAR * float(worth.max()))
                why = f"expected to better the best by {gain[number]:.1%}"
        elif current is not None and len(view.runs) == self.probes - 1:
            number, why = current, "it runs now, and is to be compared with"
        else:
            worth = (gain * prediction.feasible)[top]
            number = _chosen(view, top, worth, _NEAR * float(worth.max()))
            why = f"expected to better the best by {gain[number]:.1%}"
        assert number is not None
        return _probe(number, f"{why}; it works with probability {prediction.feasible[number]:.2f}", limits)

    def _limits(self, view: AdvisingView) -> Array:
        """(n,) seconds after which a run can no longer be the best, or in time; infinite for never."""
        limits = np.full(len(view.space), math.inf)
        if not self.cut:
            return limits
        if view.best is not None:
            limits = np.full(len(view.space), view.objective.value(view.best))
            if view.objective.minimize == COST:
                limits = limits * 3600 / view.space.per_hour
        return np.asarray(np.minimum(limits, view.objective.deadline or math.inf))


class _Belief(Struct, frozen=True):
    """All that is believed after some runs, in the unit of the objective."""

    course: WorkloadPosterior
    shift: Array
    """(n,) what is added to log seconds to make them the logarithm of the objective."""
    feasible: Array
    limit: float
    """Seconds after which any run is ended, as far as is known."""

    @classmethod
    def of(cls, view: AdvisingView) -> _Belief:
        space = view.space
        prior = workload_prior(telling_columns(space), space.per_hour, log_seconds(space, view.corpus))
        ended = [run for run in view.runs if run.whole]
        early = [run for run in view.runs if run.status in (STOPPED, TIMED_OUT)]
        course = conditioned(
            prior,
            np.array([run.configuration for run in ended], np.int64),
            np.log([run.seconds for run in ended]),
            np.array([run.configuration for run in early], np.int64),
            np.log([run.seconds for run in early]),
        )
        told = [run for run in view.runs if run.whole or run.status == FAILED]
        feasible = _learned_feasibility(space, outcomes(space, view.corpus).tobytes()).given(
            np.array([run.configuration for run in told], np.int64),
            np.array([run.whole for run in told], np.bool_),
        )
        limit = _limit(view)
        in_time = min(limit, view.objective.deadline or math.inf)
        if in_time < math.inf:
            feasible = feasible * course.within(np.full(len(space), math.log(in_time)))
        shift = np.log(space.per_hour / 3600) if view.objective.minimize == COST else np.zeros(len(space))
        return cls(course, shift, feasible, limit)

    def prediction(self, view: AdvisingView) -> Prediction:
        feasible = np.clip(self.feasible, 0.0, 1.0)
        for run in view.runs:
            if view.objective.met(run):
                feasible[run.configuration] = max(feasible[run.configuration], _SEEN_TO_WORK)
        for run in view.runs:
            if not view.objective.met(run):
                feasible[run.configuration] = 0.0
        mean = self.course.mean
        return Prediction(mean + self.shift, np.sqrt(self.course.variance), feasible, np.exp(mean))

    def gains(self, bar: float) -> Array:
        """(n,) the share of the best so far, of logarithm `bar`, that a whole run is expected to save."""
        course = self.course
        each = gains(course.means + self.shift, np.sqrt(course.variances), bar)
        return np.asarray(course.weights @ each)

    def better(self, number: int, bar: float) -> float:
        """The probability that a whole run is better than the best so far."""
        course = self.course
        above = (bar - self.shift[number] - course.means[:, number]) / np.sqrt(course.variances[:, number])
        return float(course.weights @ ndtr(above))


@lru_cache(maxsize=64)
def _learned_feasibility(space: ConfigurationSpace, outcomes: bytes) -> Feasibility:
    """What other workloads' outcomes (W, n) teach; it is the same for every probe of a search."""
    return feasibility(*safe_columns(space), np.frombuffer(outcomes).reshape(-1, len(space)))


def _limit(view: AdvisingView) -> float:
    """The time limit as it was told, or as runs here or of other workloads met it."""
    if view.time_limit is not None:
        return view.time_limit
    every = (view.runs, *view.corpus.workloads.values())
    return min((run.seconds for runs in every for run in runs if run.status == TIMED_OUT), default=math.inf)


def _cut(prediction: Prediction, limits: Array) -> Prediction:
    seconds = np.minimum(prediction.seconds, limits)
    return Prediction(prediction.logs, prediction.deviations, prediction.feasible, seconds)


def _first(
    view: AdvisingView, belief: _Belief, prediction: Prediction, open_: NDArray[np.int64], limits: Array
) -> Probe:
    """The least expected price for the probability of working that it buys: nothing has worked yet."""
    ends = np.minimum(limits, belief.limit)
    spread = belief.course.variance + belief.course.noise
    price = np.minimum(prediction.logs + 0.5 * spread, np.log(ends) + belief.shift)
    worth = np.log(np.maximum(prediction.feasible, 1e-6)) - price
    number = _chosen(view, open_, worth[open_], _NEAR)
    low, high = (
        money(view, math.exp(prediction.logs[number] + z * prediction.deviations[number]))
        for z in (-1.645, 1.645)
    )
    found = (
        "nothing has worked yet, and this is" if view.runs else "nothing was tried yet, and this is believed"
    )
    why = (
        f"{found} the best to begin with: {low} to {high} a run,"
        f" and it works with probability {prediction.feasible[number]:.2f}"
    )
    return _probe(number, why, limits)


def _current(
    view: AdvisingView, belief: _Belief, prediction: Prediction, open_: NDArray[np.int64], bar: float
) -> int | None:
    """What runs now, if it can be tried and is not hopeless."""
    current = view.current
    if current is None or current not in open_:
        return None
    likely = belief.better(current, bar) * float(prediction.feasible[current])
    return current if likely >= _HOPELESS else None


def _chosen(view: AdvisingView, numbers: NDArray[np.int64], worth: Array, near: float) -> int:
    """The one that the seed has first, by name, of those whose worth is nearly the greatest."""
    names = [view.space[int(number)].name for number in numbers]
    order = np.random.default_rng(view.seed).permutation(len(view.space))
    ranks = dict(zip(sorted(each.name for each in view.space.configurations), order, strict=True))
    best = float(worth.max())
    near_best = [at for at in range(len(numbers)) if worth[at] >= best - near]
    return int(numbers[min(near_best, key=lambda at: ranks[names[at]])])


def _probe(number: int, reason: str, limits: Array) -> Probe:
    limit = float(limits[number])
    return Probe(number, reason, limit if limit < math.inf else None)


def _over(view: AdvisingView, prediction: Prediction, gain: float, number: int, bar: float) -> str:
    """Why no other run is made, with the figures."""
    best = math.exp(bar)
    saved = view.recurrences * gain * float(prediction.feasible[number]) * best
    told = (
        f"The most promising other, {view.space[number].name}, is expected to save {money(view, saved)} over"
        f" {view.recurrences:g} more runs, and to take {money(view, best * (1 - gain))} to try: it does not"
        " pay."
    )
    if view.current is not None and view.current not in view.probed:
        now = view.space[view.current].name
        told += f" {now}, which runs now, was not tried: it is hardly the better one."
    return told
