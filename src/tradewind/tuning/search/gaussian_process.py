"""Bayesian optimisation: tries what may improve most, by a Gaussian process of what was tried.

Snoek, Larochelle and Adams, "Practical Bayesian optimization of machine learning algorithms" (NIPS 2012):
expected improvement, per dollar if wished (section 3.2), over futures of what still runs (section 3.3).
Cost cooling after Lee, Perrone, Archambeau and Seeger, "Cost-aware Bayesian optimization" (2020). As
Perrone et al., "Amazon SageMaker automatic model tuning" (KDD 2021), earlier studies enter with targets that
are standardised study by study.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import Misuse
from tradewind.estimates.gaussian_process import GaussianProcess
from tradewind.tuning.acquisition import Promise
from tradewind.tuning.columns import Columns
from tradewind.tuning.observations import Observations, observed
from tradewind.tuning.search.sobol import sobol_points
from tradewind.tuning.space import Space
from tradewind.tuning.trial import Setting, Trial
from tradewind.tuning.trial_costs import TrialCosts

Array = NDArray[np.float64]

_MOST = 1024
"""Observations that a proposal conditions upon: the best half, and the newest of the rest."""
_STARTS = 4
"""Points from which promise is climbed."""


class GaussianProcessSearch:
    """Implements `Searcher`.

    The first `initial` trials are a Sobol sequence. After them a Gaussian process is fitted to all trials and
    log expected improvement is maximised: over `candidates` points, most of the same sequence and the rest
    around the best trials, and from the best of these by L-BFGS-B in the reals and by comparing values in
    what is not. Nothing is proposed that has been.

    - Pending trials (waiting, running) count as `fantasies` futures drawn from the process together, over
      which improvement is averaged: a believed mean would forget how unsure they are.
    - Of a stopped or paused trial the last loss counts, less what finished trials gained in the middle after
      the same step, but never as better than the best that finished: what was stopped is censored.
    - A failed trial, or a loss that is not finite, counts as the worst that was seen.
    - Foreign trials that fit the space count too, standardised within their study, with a column for each
      study, so that the process can learn how much a study tells. Those of studies named in `identical` are
      as this one's own.
    - Losses go through the power transform of Yeo and Johnson (2000) before all this.

    Args:
        seed: what chance draws from, with the number of the trial.
        initial: trials before the process is asked, earlier studies' counted.
        price: "dollars" or "seconds" to seek improvement per dollar or second, by a second process of the
            logarithm of what trials cost; "" to leave it aside.
        budget: of that price for all trials together. The nearer its end, the less cost counts against
            improvement (it is cooled), and what is predicted beyond what is left, 19 times in 20, is not
            proposed. None comes when nothing else remains.
        identical: earlier studies with the same data and algorithm.
        candidates: points compared.
        fantasies: futures of pending trials.

    Cost: O(n^3) some dozen times for n <= 256 trials, O(candidates n^2) once; 0.1 s at n = 100, d = 10.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        initial: int = 10,
        price: str = "",
        budget: float | None = None,
        identical: Sequence[str] = (),
        candidates: int = 1024,
        fantasies: int = 16,
    ) -> None:
        for name, value, least in (
            ("initial", initial, 1),
            ("candidates", candidates, 1),
            ("fantasies", fantasies, 1),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise Misuse(
                    f"{value!r} is too few", source="search", field=name, fix=f"Give {least} or more."
                )
        if price not in ("", "dollars", "seconds"):
            raise Misuse(
                f"{price!r} is no price", source="search", field="price", fix="Give dollars or seconds."
            )
        if budget is not None and not (price and math.isfinite(budget) and budget > 0):
            raise Misuse(
                f"{budget!r} of price {price!r} cannot be kept", source="search", field="budget",
                fix="Give an amount above 0 and price=\"dollars\" or \"seconds\".",
            )  # fmt: skip
        self.seed, self.initial, self.price, self.budget = seed, initial, price, budget
        self.identical, self.candidates, self.fantasies = tuple(identical), candidates, fantasies

    def propose(self, space: Space, trials: Sequence[Trial], number: int) -> Setting | None:
        """The setting from which most is expected; None when all are taken or none can be paid for."""
        columns = Columns(space)
        seen = observed(columns, trials, self.identical, _MOST)
        costs = TrialCosts(columns, trials, self.price, self.budget) if self.price else None
        if costs is not None and costs.left <= 0:
            return None
        if seen.started < self.initial or not len(seen.losses):
            point = sobol_points(self.seed, len(space), number, 1)
            return self._first(
                columns, np.concatenate([point, self._around(columns, seen, number)]), seen, costs
            )
        process = GaussianProcess.fitted(seen.rows, seen.losses, warped=seen.bent)
        promise = Promise(columns, self._futures(process, seen, number), seen, costs)
        units = self._around(columns, seen, number)
        rows = columns.rows(units)
        scores = promise.at(rows)
        scores[seen.taken(rows)] = -np.inf
        found: tuple[float, Array] | None = None
        for start in _apart(rows, scores):
            for unit, score in ((units[start], scores[start]), promise.climbed(units[start])):
                if (found is None or score > found[0]) and not seen.taken(columns.rows(unit))[0]:
                    found = float(score), unit
        return self._first(columns, units, seen, costs) if found is None else space.setting(found[1])

    def _around(self, columns: Columns, seen: Observations, number: int) -> Array:
        """(m, d) a Sobol set, and points around the best trials in ever smaller steps."""
        d = len(columns.space)
        sobol = sobol_points(self.seed + 1_000_003 * (number + 1), d, 0, self.candidates)
        if not len(seen.units):
            return sobol
        chance = np.random.Generator(np.random.PCG64([self.seed, number, 1]))
        many = max(self.candidates // 4, 1)
        centres = seen.units[np.arange(many) % min(len(seen.units), 4)]
        spread = 10.0 ** chance.uniform(-3.0, -0.7, (many, 1))
        moved = np.clip(centres + spread * chance.normal(size=(many, d)), 0.0, 1.0)
        # Half of them leave most coordinates as they are, which is how a better one is found among many.
        stay = (chance.random((many, d)) > max(0.2, 2.0 / d)) & (np.arange(many) % 2 == 0)[:, None]
        return np.concatenate([sobol, np.where(stay, centres, moved)])

    def _futures(self, process: GaussianProcess, seen: Observations, number: int) -> GaussianProcess:
        """The process after pending trials end in each of some ways."""
        if not len(seen.pending):
            return process
        means, covariance = process.joint(seen.pending)
        values, vectors = np.linalg.eigh(covariance)
        chance = np.random.Generator(np.random.PCG64([self.seed, number, 2]))
        # Drawn in pairs of opposites, so that the mean future is the mean.
        drawn = chance.normal(size=((self.fantasies + 1) // 2, len(means)))
        drawn = np.concatenate([drawn, -drawn])[: self.fantasies]
        return process.conditioned(seen.pending, means + drawn * np.sqrt(np.maximum(values, 0.0)) @ vectors.T)

    def _first(
        self, columns: Columns, units: Array, seen: Observations, costs: TrialCosts | None
    ) -> Setting | None:
        """The first of the points (m, d) that is not taken and can be paid for, else any of the space."""
        space, rows = columns.space, columns.rows(units)
        fit = ~seen.taken(rows)
        if costs is not None:
            fit &= costs.affordable(rows)
        if fit.any():
            return space.setting(units[int(fit.argmax())])
        if columns.smooth:
            return None if costs is not None else space.setting(units[0])
        for setting in space.grid(1):
            row = columns.row(setting)[None]
            if not seen.taken(row)[0] and (costs is None or costs.affordable(row)[0]):
                return setting
        return None


def _apart(rows: Array, scores: Array) -> list[int]:
    """The best of the points (m, width) that lie apart, the best first."""
    found: list[int] = []
    for at in np.argsort(-scores, kind="stable"):
        if scores[at] == -np.inf or len(found) == _STARTS:
            break
        if all(np.abs(rows[at] - rows[other]).max() > 0.05 for other in found):
            found.append(int(at))
    return found
