"""Transfer: a network taught on other workloads' runs, of which the last layers learn the new one.

Moradi and others (IM 2019; `estimates.transfer_network`): the source environment is the corpus, of which
the network learns from a configuration to the logarithm of run time over the workload's mean; the target is
the new workload, after a handful of runs. How many layers are kept is chosen by leaving runs out.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from tradewind.advice.configuration.corpus_table import log_seconds, telling_columns
from tradewind.advice.configuration.interface import AdvisingView, Prediction, Probe, Stop
from tradewind.advice.configuration.one_shot import (
    believed,
    by_chance,
    measured_logs,
    next_reference,
    without_corpus,
)
from tradewind.estimates.transfer_network import chosen_transfer, taught

_LEAST = 0.1
"""Standard deviation of the logarithm of what is foretold, at least."""


class Transfer(Struct, frozen=True):
    """Six runs that chance chooses, then a forecast of all."""

    references: int = 6
    width: int = 32
    rounds: int = 300
    """Of teaching at the source; at the target a third as many."""

    @property
    def recommends_unmeasured(self) -> bool:
        """It runs samples only."""
        return True

    def next(self, view: AdvisingView) -> Probe | Stop:
        """The next sample."""
        return next_reference(view, by_chance(view), self.references, self.predict)

    def predict(self, view: AdvisingView) -> Prediction:
        """The network's output; its spread is its error over the samples left out."""
        own, table = measured_logs(view), log_seconds(view.space, view.corpus)
        there = np.isfinite(own)
        if not there.any() or not np.isfinite(table).any():
            return without_corpus(view)
        columns = telling_columns(view.space)
        table = table[np.isfinite(table).any(axis=1)]
        around = table - np.nanmean(table, axis=1, keepdims=True)
        known = np.isfinite(around).any(axis=0)
        # All workloads have the same inputs, so that the squares are least at their mean.
        targets = np.nanmean(around[:, known], axis=0)
        source = taught(columns[known], targets, width=self.width, rounds=self.rounds, seed=view.seed)
        _, network, wrong = chosen_transfer(
            source, columns[there], own[there], rounds=max(self.rounds // 3, 1), seed=view.seed
        )
        return believed(view, network.predict(columns), np.full(len(own), max(wrong, _LEAST)))
