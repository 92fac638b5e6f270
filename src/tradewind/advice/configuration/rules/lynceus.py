"""Lynceus: where the search has a budget, improvement is weighed against what it costs to look for it.

Casimiro, Didona, Romano, Rodrigues, Zwaenepoel and Garlan, "Lynceus: cost-efficient tuning and provisioning
of data analytic jobs" (ICDCS 2020, arXiv 1905.02119), after the code beside it
(marialcasimiro/Lynceus-ICDCS): bagged random trees; expected improvement times the probability to end in
time; of those whose cost stays within the budget with 99 % probability, the greatest improvement for a
dollar over this probe and the best ones after it, foreseen by Gauss-Hermite quadrature; a run is ended once
it has cost as much as the best, and counts as the mean of what is believed above that.

Ours: costs by their logarithm and one probe foreseen, not two, unless told otherwise (see `published`); it
looks ahead for the best few by improvement for a dollar only; a run that fails counts as twice the dearest;
without a budget it ends as our CherryPick does.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.special import ndtr

from tradewind.advice.configuration.first_probes import latin_probe
from tradewind.advice.configuration.interface import AdvisingView, Array, Prediction, Probe, Stop
from tradewind.advice.configuration.objective import COST
from tradewind.advice.configuration.plain_outlook import outlook
from tradewind.estimates.expected_improvement import log_expected_improvement
from tradewind.estimates.random_trees import RandomTrees
from tradewind.market.measured_runs import FAILED

_POINTS, _WEIGHTS = np.polynomial.hermite.hermgauss(3)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_SHARE = 0.03
"""Part of the space that is tried before there is a model."""
_AGREED = 0.02
"""Standard deviation, at least, of a log cost: runs that are repeated differ by a few per cent."""
_DOUBT = 10.0
"""Times the mean that the deviation of a raw cost is where all trees agree, as in the published code."""
_TINY = 1e-12
_CHANCE = 5
"""Sets its chance apart from that of others with the same seed."""


class Lynceus(Struct, frozen=True):
    """Improvement for a dollar, within a budget, looking ahead.

    O(trees x runs log runs + trees x configurations) for each model; a suggestion makes
    1 + top (3 + 9 + ... to the horizon) of them.
    """

    logs: bool = True
    """Whether the model is of the logarithm of cost."""
    horizon: int = 1
    """Probes that are foreseen after the next."""
    starts: int | None = None
    """Latin hypercube probes to begin with; None for 3 % of the space, three at least."""
    top: int = 20
    """Candidates for which it looks ahead."""
    discount: float = 0.9
    """What a gain is worth one probe later."""
    sure: float = 2.326
    """Standard deviations above its mean at which a probe must still be within the budget."""
    trees: int = 10
    cuts: bool = True
    """Whether a probe ends once it has cost as much as the best."""
    least: int = 10
    """Runs before it may end where there is no budget; twice the first ones, if those are more."""
    gain: float = 0.02
    """The expected relative improvement below which it then ends; 0 for never."""

    @classmethod
    def published(cls) -> Lynceus:
        """As in the paper: raw costs, two probes foreseen, an end where the budget has one."""
        return cls(logs=False, horizon=2, gain=0.0)

    @property
    def recommends_unmeasured(self) -> bool:
        """It recommends what it has run."""
        return False

    def next(self, view: AdvisingView) -> Probe | Stop:
        """The greatest foreseen improvement for a dollar."""
        if not view.unseen:
            return Stop("Every configuration was tried.")
        open_ = np.array(view.unseen)
        whole = any(run.whole for run in view.runs)
        starts = self.starts or max(3, math.ceil(_SHARE * len(view.space)))
        search = _Search(self, view) if whole else None
        if view.budget is not None:
            if view.spent >= view.budget:
                return Stop(f"The budget of {view.budget:.2f} dollars is spent.")
            if search is not None:
                belief = search.belief()
                # The first ones are to teach the model: of those no certainty is asked.
                high = belief.means if len(view.runs) < starts else belief.high(self.sure)
                open_ = open_[view.spent + search.dollars(high)[open_] < view.budget]
            else:
                dollars = outlook(view).seconds * view.space.per_hour / 3600
                open_ = open_[view.spent + dollars[open_] <= view.budget]
            if not len(open_):
                return Stop(f"No other run is sure to fit what is left of {view.budget:.2f} dollars.")
        limit = self._limit(view)
        if len(view.runs) < starts or search is None:
            number = latin_probe(view, open_, starts)
            reason = f"Latin hypercube start {len(view.runs) + 1} of {max(starts, len(view.runs) + 1)}"
            return Probe(number, reason, _of(limit, number))
        gains, number = search.chosen(open_)
        enough = view.budget is None and len(view.runs) >= max(self.least, 2 * starts)
        if enough and gains[open_].max() < self.gain:
            return Stop(
                f"{len(view.runs)} runs were made, and the next is expected to better the best by"
                f" {gains[open_].max():.1%}, less than {self.gain:.0%}."
            )
        cost = float(search.dollars(search.belief().means)[number])
        reason = f"expected to better the best by {gains[number]:.1%} for {cost:.3g} dollars"
        return Probe(number, reason, _of(limit, number))

    def predict(self, view: AdvisingView) -> Prediction:
        """The trees' mean and their disagreement."""
        if not any(run.whole for run in view.runs):
            return outlook(view)
        search = _Search(self, view)
        belief = search.belief()
        if self.logs:
            logs, deviations = belief.means, belief.deviations
        else:
            means = np.maximum(belief.means, _TINY)
            deviations = np.maximum(np.sqrt(np.log1p((belief.deviations / means) ** 2)), _AGREED)
            logs = np.log(means)
        logs, deviations, feasible = logs.copy(), deviations.copy(), search.in_time(belief).copy()
        for run in view.runs:
            here = run.configuration
            feasible[here] = float(view.objective.met(run))
            if run.whole:
                logs[here], deviations[here] = math.log(view.objective.value(run)), _AGREED
        seconds = np.exp(logs)
        if view.objective.minimize == COST:
            seconds = seconds * 3600 / view.space.per_hour
        return Prediction(logs, deviations, feasible, seconds)

    def _limit(self, view: AdvisingView) -> Array | None:
        """(n,) seconds after which a run can no longer be the best, or in time."""
        limits = np.full(len(view.space), view.objective.deadline or math.inf)
        if view.best is not None:
            value = view.objective.value(view.best)
            seconds = value / (view.space.per_hour / 3600 if view.objective.minimize == COST else 1.0)
            limits = np.minimum(limits, seconds)
        return limits if self.cuts and np.isfinite(limits).all() else None


class _Belief(Struct, frozen=True):
    """Means (n,) and deviations (n,) of what the model is of: the objective, or its logarithm."""

    means: Array
    deviations: Array

    def high(self, sure: float) -> Array:
        return self.means + sure * self.deviations


class _Search:
    """One suggestion's models: that of the runs as they are, and those of runs that are foreseen."""

    def __init__(self, advisor: Lynceus, view: AdvisingView) -> None:
        self._with, self._view, self._rows = advisor, view, view.space.rows
        self._looks = int(math.log2(max(self._rows.shape[1], 1))) + 1
        dollars = view.objective.minimize == COST
        self._units = np.ones(len(view.space)) if dollars else view.space.per_hour / 3600
        self._numbers = np.array([run.configuration for run in view.runs])
        self._targets = self._told()
        self._models: _Belief | None = None

    def belief(self) -> _Belief:
        """By the runs that were made."""
        if self._models is None:
            self._models = self._fitted(self._numbers, self._targets)
        return self._models

    def dollars(self, targets: Array) -> Array:
        """(n,) of a probe of each, where the model's target there is that."""
        values = np.exp(np.minimum(targets, 700.0)) if self._with.logs else np.maximum(targets, _TINY)
        return np.asarray(np.maximum(values * self._units, _TINY))

    def in_time(self, belief: _Belief) -> Array:
        """(n,) the probability that a run ends by the deadline and the time limit."""
        limits = [each for each in (self._view.objective.deadline, self._view.time_limit) if each is not None]
        if not limits:
            return np.ones(len(self._rows))
        bound = np.array([self._view.objective.of(min(limits), price) for price in self._view.space.per_hour])
        bound = np.log(bound) if self._with.logs else bound
        return np.asarray(ndtr((bound - belief.means) / belief.deviations))

    def chosen(self, open_: NDArray[np.int64]) -> tuple[Array, int]:
        """Relative improvements (n,) expected of each, and which comes next among those open."""
        belief, best = self.belief(), self._best()
        gains = self._gains(belief, best)
        relative = gains if self._with.logs else gains / max(best, _TINY)
        worth = gains / self.dollars(belief.means)
        candidates = open_[np.argsort(-worth[open_], kind="stable")[: self._with.top]]
        if self._with.horizon < 1:
            return relative, int(candidates[0])
        left = math.inf if self._view.budget is None else self._view.budget - self._view.spent
        scores = []
        for number in candidates:
            state = (self._numbers, self._targets, belief, best, left, set(open_.tolist()))
            gain, cost = self._foreseen(int(number), *state, self._with.horizon)
            scores.append(gain / cost)
        return relative, int(candidates[int(np.argmax(scores))])

    def _foreseen(
        self, number: int, numbers: NDArray[np.int64], targets: Array, belief: _Belief, best: float,
        left: float, open_: set[int], horizon: int,
    ) -> tuple[float, float]:  # fmt: skip
        """What probing `number`, and the best after it, gains and costs."""
        gain = float(self._gains(belief, best)[number])
        cost = float(self.dollars(belief.means)[number])
        if horizon == 0 or len(open_) < 2:
            return gain, cost
        rest = open_ - {number}
        among = np.array(sorted(rest))
        for point, weight in zip(_POINTS, _WEIGHTS, strict=True):
            came = float(belief.means[number] + math.sqrt(2.0) * belief.deviations[number] * point)
            if not self._with.logs:
                came = max(came, _TINY)
            remains = left - float(self.dollars(np.full(len(self._rows), came))[number])
            more, known = np.append(numbers, number), np.append(targets, came)
            then = self._fitted(more, known)
            paid = among[self.dollars(then.high(self._with.sure))[among] < remains]
            if not len(paid):
                continue
            lowest = min(best, came)
            after = int(paid[np.argmax(self._gains(then, lowest)[paid])])
            later, dearer = self._foreseen(after, more, known, then, lowest, remains, rest, horizon - 1)
            gain += self._with.discount * weight * later
            cost += self._with.discount * weight * dearer
        return gain, cost

    def _gains(self, belief: _Belief, best: float) -> Array:
        found = np.exp(log_expected_improvement(belief.means, belief.deviations, best))
        return np.asarray(found * self.in_time(belief))

    def _best(self) -> float:
        """The cheapest that met the objective; without one, three deviations above the dearest."""
        if self._view.best is None:
            return float(self._targets.max() + 3 * self.belief().deviations.max())
        value = self._view.objective.value(self._view.best)
        return math.log(value) if self._with.logs else value

    def _fitted(self, numbers: NDArray[np.int64], targets: Array) -> _Belief:
        seed = (self._view.seed, len(self._view.runs), _CHANCE)
        trees = RandomTrees.fitted(
            self._rows[numbers],
            targets,
            trees=self._with.trees,
            looks=self._looks,
            bootstrap=True,
            seed=seed,
        )
        means, deviations = trees.predict(self._rows)
        if self._with.logs:
            return _Belief(means, np.maximum(deviations, _AGREED))
        agreed = _DOUBT * np.maximum(np.abs(means), _TINY)
        return _Belief(means, np.where(deviations > 0, np.maximum(deviations, _TINY), agreed))

    def _told(self) -> Array:
        """(runs,) what the model learns of each; of those that were cut, the mean above where they were."""
        runs, objective = self._view.runs, self._view.objective
        values = np.array([objective.value(run) for run in runs])
        targets = np.log(values) if self._with.logs else values
        whole = np.array([run.whole for run in runs])
        failed = np.array([run.status == FAILED for run in runs])
        most = targets.max()
        targets[failed] = most + math.log(2.0) if self._with.logs else 2 * most
        cut = ~whole & ~failed
        if cut.any():
            belief = self._fitted(self._numbers[whole], targets[whole])
            numbers = self._numbers[cut]
            means, deviations = belief.means[numbers], belief.deviations[numbers]
            targets[cut] = truncated_means(means, deviations, targets[cut])
        return targets


def truncated_means(means: Array, deviations: Array, above: Array) -> Array:
    """E[Y | Y > above] of normal Y, (k,): what a run that was cut there is worth."""
    z = (above - means) / deviations
    # phi(z) / (1 - Phi(z)), by the improvement that the same z has the other way round where both vanish.
    with np.errstate(under="ignore"):
        density, tail = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi), ndtr(-z)
    # Beyond thirty deviations the mean is above by less than a thirtieth of one.
    hazard = np.where(z > 30.0, z + 1.0 / np.maximum(z, 1.0), density / np.maximum(tail, 1e-300))
    return np.asarray(np.maximum(means + deviations * hazard, above))


def _of(limits: Array | None, number: int) -> float | None:
    return None if limits is None else float(limits[number])
