"""Selecta: latent factors of workloads and configurations foretell run time from two reference runs.

Klimovic, Litz and Kozyrakis, "Selecta: heterogeneous cloud storage configuration for data analytics" (ATC
2018): a table of run times, workloads by configurations (machine type and storage), is completed by latent
factors with biases; a new workload is run on two reference configurations and gets the factors that explain
these. The least of run time or cost is chosen.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from tradewind.advice.configuration.corpus_table import log_seconds
from tradewind.advice.configuration.interface import AdvisingView, Array, Prediction, Probe, Stop
from tradewind.advice.configuration.one_shot import (
    believed,
    measured_logs,
    next_reference,
    spread_by_price,
    without_corpus,
)
from tradewind.estimates.collaborative_filtering import LatentFactors, latent_factors

_PRIOR = 0.3
"""Standard deviation of the logarithm of run time that a column is off by before any was seen."""


class Selecta(Struct, frozen=True):
    """Two reference runs, the cheapest and the dearest on which others work, then a forecast of all."""

    references: int = 2
    rank: int = 2
    penalty: float = 0.1

    @property
    def recommends_unmeasured(self) -> bool:
        """It runs references only."""
        return True

    def next(self, view: AdvisingView) -> Probe | Stop:
        """The next reference."""
        return next_reference(view, spread_by_price(view), self.references, self.predict)

    def predict(self, view: AdvisingView) -> Prediction:
        """The completed row; its spread is how wrong the same completion is for the others."""
        own, table = measured_logs(view), log_seconds(view.space, view.corpus)
        if not np.isfinite(own).any() or not np.isfinite(table).any():
            return without_corpus(view)
        model = latent_factors(table, rank=self.rank, penalty=self.penalty, seed=view.seed)
        return believed(view, model.row(own), completion_spread(model, table, np.isfinite(own)))


def completion_spread(model: LatentFactors, table: Array, there: Array) -> Array:
    """(n,) root mean square of how wrong rows (W, n) are if completed from the entries that are `there`.

    The columns' factors have seen the rows, so that it is on the low side; one prior error is counted in.
    """
    squares, counts = np.full(table.shape[1], _PRIOR**2), np.ones(table.shape[1])
    for row in table:
        masked = np.where(there, row, np.nan)
        if not np.isfinite(masked).any():
            continue
        wrong = row - model.row(masked)
        known = np.isfinite(wrong)
        squares[known] += wrong[known] ** 2
        counts[known] += 1
    return np.sqrt(squares / counts)
