"""Quasar's classification: how a workload takes to more machines, larger ones and other kinds, one by one.

Delimitrou and Kozyrakis, "Quasar: resource-efficient and QoS-aware cluster management" (ASPLOS 2014), section
3: four tables of workloads by scale-up (cores and memory of a machine), scale-out (machines), heterogeneity
(kind of platform) and interference are completed by latent factors, two entries of a new workload's row being
profiled in each. Here the first three, of logarithms of run time: of the corpus each table has the workload's
own effects of that aspect, fitted by ridge regression over all its runs. Interference is left out, for runs
say nothing of who else was there. The profile is one run that chance chooses, and one for each aspect in
which it alone differs.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from tradewind.advice.configuration.corpus_table import log_seconds
from tradewind.advice.configuration.interface import AdvisingView, Array, Prediction, Probe, Stop
from tradewind.advice.configuration.one_shot import (
    believed,
    by_chance,
    measured_logs,
    next_reference,
    without_corpus,
)
from tradewind.advice.configuration.space import MACHINES, MEMORY, VCPUS, ConfigurationSpace
from tradewind.estimates.collaborative_filtering import latent_factors

_RIDGE = 0.1
_LEAST = 0.1
"""Standard deviation of the logarithm of what is foretold, at least."""


class Quasar(Struct, frozen=True):
    """One profiled run and one more for each aspect, then a forecast of all."""

    rank: int = 2
    penalty: float = 0.1

    @property
    def recommends_unmeasured(self) -> bool:
        """It runs profiles only."""
        return True

    def next(self, view: AdvisingView) -> Probe | Stop:
        """The next profile."""
        levels = _levels(view.space)
        order = by_chance(view)
        return next_reference(view, _profile(levels, order), 1 + len(levels), self.predict)

    def predict(self, view: AdvisingView) -> Prediction:
        """The effects of the three aspects, completed from the profile, upon the level of its runs."""
        own, table = measured_logs(view), log_seconds(view.space, view.corpus)
        there = np.isfinite(own)
        if not there.any() or not np.isfinite(table).any():
            return without_corpus(view)
        table = table[np.isfinite(table).any(axis=1)]
        levels = _levels(view.space)
        first = next(run.configuration for run in view.runs if run.whole)
        known = [_effects(row, levels) for row in table] if levels else []
        logs = np.full(len(own), own[first])
        for aspect, level in enumerate(levels):
            model = latent_factors(
                np.array([each[aspect] for each in known]), rank=self.rank, penalty=self.penalty,
                seed=view.seed,
            )  # fmt: skip
            effect = model.row(_profiled(own, levels, aspect, first))
            logs += effect[level] - effect[level[first]]
        spread = float(np.nanstd(table - np.nanmean(table, axis=1, keepdims=True)) / 2)
        return believed(view, logs, np.full(len(logs), max(spread, _LEAST)))


def _levels(space: ConfigurationSpace) -> list[Array]:
    """(n,) of each aspect that the space has: which level a configuration is at."""
    kinds: list[list[object]] = [
        [tuple(each.features.get(name) for name in (VCPUS, MEMORY)) for each in space.configurations],
        [each.features.get(MACHINES) for each in space.configurations],
        [
            tuple(value for name, value in each.features.items() if name not in (VCPUS, MEMORY, MACHINES))
            for each in space.configurations
        ],
    ]
    found = []
    for values in kinds:
        distinct = {
            value: number for number, value in enumerate(dict.fromkeys(str(value) for value in values))
        }
        if len(distinct) > 1:
            found.append(np.array([distinct[str(value)] for value in values]))
    return found


def _profile(levels: list[Array], order: list[int]) -> list[int]:
    """The order, its first followed by those that differ from it in one aspect alone where there are any."""
    first, rest = order[0], order[1:]
    chosen = [first]
    for aspect in range(len(levels)):
        others = [each for each in range(len(levels)) if each != aspect]
        fits = (
            number
            for number in rest
            if levels[aspect][number] != levels[aspect][first]
            and all(levels[each][number] == levels[each][first] for each in others)
            and number not in chosen
        )
        if (found := next(fits, None)) is not None:
            chosen.append(found)
    return chosen + [number for number in rest if number not in chosen]


def _effects(row: Array, levels: list[Array]) -> list[Array]:
    """Of each aspect (L,) the effects that explain what a workload's row (n,) has; NaN at levels it lacks."""
    known = np.isfinite(row)
    counts = [int(level.max()) + 1 for level in levels]
    coded = np.column_stack(
        [np.eye(count)[level[known]] for level, count in zip(levels, counts, strict=True)]
    )
    target = row[known] - row[known].mean()
    found = np.linalg.solve(coded.T @ coded + _RIDGE * np.eye(coded.shape[1]), coded.T @ target)
    found[coded.sum(axis=0) == 0] = np.nan
    return np.split(found, np.cumsum(counts)[:-1])


def _profiled(own: Array, levels: list[Array], aspect: int, first: int) -> Array:
    """(L,) what the runs say that differ from the first in that aspect alone; the first's level is nought."""
    alike = np.isfinite(own)
    for number, level in enumerate(levels):
        if number != aspect:
            alike &= level == level[first]
    found = np.full(int(levels[aspect].max()) + 1, np.nan)
    for run in np.flatnonzero(alike):
        found[levels[aspect][run]] = own[run] - own[first]
    return found
