"""What a trial is likely to cost, by what others did."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tradewind.estimates.gaussian_process import GaussianProcess
from tradewind.tuning.columns import Columns
from tradewind.tuning.trial import COMPLETED, RUNNING, WAITING, Trial

Array = NDArray[np.float64]

_LEAST = 3
"""Finished trials below which no cost is foretold."""
_SURE = 1.645
"""Deviations of the logarithm below which 19 trials in 20 stay."""


class TrialCosts:
    """A Gaussian process of the logarithm of what finished trials cost, and what a budget leaves.

    A stopped trial's cost is that of all its steps at the pace that it had; a trial without a cost above 0
    tells nothing. What running trials will still cost is taken off the budget beforehand.

    Args:
        columns: of the space.
        trials: foreign ones among them tell what trials cost, but are paid for already.
        price: "dollars" or "seconds".
        budget: of that price in all, or None.
    """

    def __init__(self, columns: Columns, trials: Sequence[Trial], price: str, budget: float | None) -> None:
        rows, logs, running = [], [], []
        longest = max(
            (each.steps[-1] for each in trials if each.state == COMPLETED and each.steps), default=0
        )
        spent = 0.0
        for each in trials:
            paid = each.dollars if price == "dollars" else each.seconds
            if not math.isfinite(paid):
                paid = 0.0
            if not each.foreign:
                spent += paid
            if not columns.space.fits(each.setting):
                continue
            if each.state in (WAITING, RUNNING) and not each.foreign:
                running.append((columns.row(each.setting), paid))
            if paid > 0 and each.state == COMPLETED:
                rows.append(columns.row(each.setting))
                logs.append(math.log(paid))
            elif paid > 0 and each.steps and longest > 0 < each.steps[-1]:
                rows.append(columns.row(each.setting))
                logs.append(math.log(paid * max(longest / each.steps[-1], 1.0)))
        self._process = (
            GaussianProcess.fitted(np.array(rows), np.array(logs)) if len(rows) >= _LEAST else None
        )
        self.left = math.inf
        """Of the budget, when all that runs has ended."""
        self.weight = 1.0
        """How much log cost counts against log improvement: what is left of the budget, as a share of it."""
        if budget is not None:
            self.left = budget - spent
            if self._process is not None and running:
                expected = np.exp(self.logarithms(np.array([row for row, _ in running]))[0])
                self.left -= float(np.maximum(expected - [paid for _, paid in running], 0.0).sum())
            self.weight = min(max(self.left / budget, 0.0), 1.0)

    def logarithms(self, rows: Array) -> tuple[Array, Array]:
        """Means and deviations (m,) of the logarithm of the cost at rows (m, width); 0 if none is known."""
        if self._process is None:
            return np.zeros(len(rows)), np.zeros(len(rows))
        means, variances = self._process.predict(rows)
        return means, np.sqrt(variances + self._process.noise * self._process.scale**2)

    def slope(self, row: Array) -> tuple[float, Array]:
        """The mean at one row (width,), and its gradient."""
        if self._process is None:
            return 0.0, np.zeros(row.size)
        means, _, slopes, _ = self._process.slopes(self._process.scaled_points(row)[0])
        return float(means[0]), slopes[0] / self._process.lengths

    def affordable(self, rows: Array) -> NDArray[np.bool_]:
        """(m,) which rows cost less than what is left, 19 times in 20."""
        if self._process is None or math.isinf(self.left):
            return np.full(len(rows), self.left > 0)
        if self.left <= 0:
            return np.zeros(len(rows), np.bool_)
        means, deviations = self.logarithms(rows)
        return np.asarray(means + _SURE * deviations <= math.log(self.left))
