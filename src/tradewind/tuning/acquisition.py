"""What a trial promises: the logarithm of expected improvement, less that of what it costs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from tradewind.estimates.expected_improvement import log_expected_improvement, log_h
from tradewind.estimates.gaussian_process import GaussianProcess
from tradewind.tuning.columns import Columns
from tradewind.tuning.observations import Observations
from tradewind.tuning.trial_costs import TrialCosts

Array = NDArray[np.float64]

_ROUNDS = 3
_VALUES = 24
"""Values of a whole number or a choice that one step of a local search compares."""


class Promise:
    """The mean over a process's futures, which are its sets of targets.

    In each future, what must be bettered is the least mean at the trials there; noise makes the least loss
    that was measured too good.
    """

    def __init__(
        self, columns: Columns, process: GaussianProcess, seen: Observations, costs: TrialCosts | None
    ) -> None:
        self._columns, self._process, self._costs = columns, process, costs
        self._extra = seen.extra
        rows = seen.rows[seen.own][:, : columns.width] if seen.own.any() else seen.rows[:, : columns.width]
        rows = np.concatenate([rows, seen.pending[:, : columns.width]])
        self._best = process.moments(process.scaled_points(self._widened(rows)))[0].min(axis=1)

    def at(self, rows: Array) -> Array:
        """(m,) for rows (m, width); minus infinity where the cost cannot be paid."""
        means, variances = self._process.moments(self._process.scaled_points(self._widened(rows)))
        deviations = np.sqrt(variances)
        logs = np.stack(
            [log_expected_improvement(m, deviations, b) for m, b in zip(means, self._best, strict=True)]
        )
        most = logs.max(axis=0)
        found = np.asarray(most + np.log(np.exp(logs - most).mean(axis=0)))
        if self._costs is not None:
            found = found - self._costs.weight * self._costs.logarithms(rows)[0]
            found[~self._costs.affordable(rows)] = -np.inf
        return found

    def climbed(self, unit: Array) -> tuple[Array, float]:
        """The point (d,) of the unit cube to which promise rises from one, and the promise there."""
        columns = self._columns
        best, score = unit, float(self.at(columns.rows(unit))[0])
        for _ in range(_ROUNDS if columns.stepped else 1):
            before = score
            if columns.smooth:
                best, score = self._better(self._risen(best)[None], best, score)
            for at in columns.stepped:
                others = columns.values(at, _VALUES, float(best[at]))
                moved = np.repeat(best[None], len(others), axis=0)
                moved[:, at] = others
                best, score = self._better(moved, best, score)
            if score <= before:
                break
        return best, score

    def _better(self, units: Array, best: Array, score: float) -> tuple[Array, float]:
        scores = self.at(self._columns.rows(units))
        at = int(scores.argmax())
        return (units[at], float(scores[at])) if scores[at] > score else (best, score)

    def _risen(self, unit: Array) -> Array:
        """The top of the hill in the reals that have a place; the rest stays."""
        columns, process = self._columns, self._process
        placed = columns.placed(unit[None])[0]
        chosen = [at for at in columns.smooth if placed[at]]
        if not chosen:
            return unit
        where = [columns.starts[at] for at in chosen]
        scaled = process.scaled_points(self._widened(columns.rows(unit)))[0]
        tops = process.scaled_points(np.ones((1, scaled.size)))[0]

        def against(free: Array) -> tuple[float, Array]:
            scaled[where] = free
            value, slope = self._slope(scaled)
            return -value, -slope[where]

        found = minimize(
            against, scaled[where], jac=True, method="L-BFGS-B",
            bounds=[(0.0, tops[at]) for at in where], options={"maxiter": 50, "ftol": 1e-7},
        )  # fmt: skip
        scaled[where] = found.x
        risen = unit.copy()
        risen[chosen] = process.unscaled_points(scaled[None])[0][where]
        return risen

    def _slope(self, scaled: Array) -> tuple[float, Array]:
        """Promise at one scaled point (width + extra,), and its gradient."""
        means, variance, to_means, to_variance = self._process.slopes(scaled)
        deviation = math.sqrt(variance)
        to_deviation = to_variance / (2.0 * deviation)
        logs, slopes = np.empty(len(means)), np.empty((len(means), scaled.size))
        for s in range(len(means)):
            z = (self._best[s] - means[s]) / deviation
            logs[s], steep = log_h(z)
            slopes[s] = -steep * (to_means[s] + z * to_deviation) / deviation
        most = float(logs.max())
        shares = np.exp(logs - most)
        value = most + math.log(shares.mean()) + math.log(deviation)
        slope = shares @ slopes / shares.sum() + to_deviation / deviation
        if self._costs is not None:
            row = self._process.unscaled_points(scaled[None])[0][: self._columns.width]
            cost, steep_costs = self._costs.slope(row)
            value -= self._costs.weight * cost
            slope[: row.size] -= self._costs.weight * steep_costs * self._process.stretches(row)
        return value, slope

    def _widened(self, rows: Array) -> Array:
        """With the columns of other studies, in none of which the rows are."""
        return np.concatenate([rows, np.zeros((len(rows), self._extra))], axis=1)
