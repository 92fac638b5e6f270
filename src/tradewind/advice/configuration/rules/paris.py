"""PARIS: a forest foretells run time on every machine type from a fingerprint taken on a few.

Yadwadkar, Hariharan, Gonzalez, Smith and Katz, "Selecting the best VM across multiple public clouds: a
data-driven performance modeling approach" (SoCC 2017): workloads of a suite are run everywhere once; a new
one is run on two reference types, and from its run times and resource counters there and the features of a
target type a random forest gives the mean and high quantiles of its run time. Here the suite is the corpus,
the target is the logarithm of run time over that of the first reference, and the spread is that of the
samples in the leaves. Counters go in where runs have them.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor

from tradewind.advice.configuration.corpus_table import log_seconds, telling_columns
from tradewind.advice.configuration.interface import AdvisingView, Array, Prediction, Probe, Stop
from tradewind.advice.configuration.one_shot import (
    believed,
    measured_logs,
    next_reference,
    shared_rows,
    spread_by_price,
    without_corpus,
)
from tradewind.advice.configuration.runs import Run

_LEAF = 2
"""Samples in a leaf at least, so that leaves have a spread."""


class Paris(Struct, frozen=True):
    """Two reference runs, the cheapest and the dearest on which others work, then a forecast of all."""

    references: int = 2
    trees: int = 100

    @property
    def recommends_unmeasured(self) -> bool:
        """It runs references only."""
        return True

    def next(self, view: AdvisingView) -> Probe | Stop:
        """The next reference."""
        return next_reference(view, spread_by_price(view), self.references, self.predict)

    def predict(self, view: AdvisingView) -> Prediction:
        """The forest's mean and spread, taught by the workloads that ran on the same references."""
        own, table = measured_logs(view), log_seconds(view.space, view.corpus)
        there = np.isfinite(own)
        usable = shared_rows(table, there)
        if not there.any() or not usable.any():
            return without_corpus(view)
        names = [name for name, use in zip(sorted(view.corpus.workloads), usable, strict=True) if use]
        where = np.flatnonzero(there)
        here = {run.configuration: run for run in view.runs if run.whole}
        seen = _common_metrics([here, *(_by_number(view.corpus.workloads[name]) for name in names)], where)
        columns = telling_columns(view.space)
        rows, targets = [], []
        for name, times in zip(names, table[usable], strict=True):
            print_ = _fingerprint(times, _by_number(view.corpus.workloads[name]), where, seen)
            known = np.isfinite(times)
            rows.append(np.column_stack([np.tile(print_, (known.sum(), 1)), columns[known]]))
            targets.append(times[known] - times[where[0]])
        forest = ExtraTreesRegressor(self.trees, min_samples_leaf=_LEAF, random_state=view.seed)
        forest.fit(np.vstack(rows), np.concatenate(targets))
        asked = np.column_stack([np.tile(_fingerprint(own, here, where, seen), (len(columns), 1)), columns])
        means, deviations = _pooled(forest, asked)
        return believed(view, means + own[where[0]], deviations)


def _by_number(runs: tuple[Run, ...]) -> dict[int, Run]:
    return {run.configuration: run for run in runs if run.whole}


def _common_metrics(workloads: list[dict[int, Run]], where: NDArray[np.intp]) -> list[str]:
    """Counters that every workload has on every reference."""
    sets = [set(runs[int(number)].metrics) for runs in workloads for number in where]
    return sorted(set.intersection(*sets))


def _fingerprint(times: Array, runs: dict[int, Run], where: NDArray[np.intp], seen: list[str]) -> Array:
    counters = [runs[int(number)].metrics[name] for number in where for name in seen]
    return np.array([times[where[0]], *(times[where[1:]] - times[where[0]]), *counters])


def _pooled(forest: ExtraTreesRegressor, rows: Array) -> tuple[Array, Array]:
    """(k,) mean and deviation over the samples of the leaves that rows fall into, trees alike."""
    single = np.asarray(rows, np.float32)
    means, variances = [], []
    for tree in forest.estimators_:
        leaves = tree.tree_.apply(single)
        means.append(tree.tree_.value[leaves, 0, 0])
        variances.append(np.maximum(tree.tree_.impurity[leaves], 0.0))
    between = np.var(means, axis=0)
    return np.mean(means, axis=0), np.sqrt(between + np.mean(variances, axis=0))
