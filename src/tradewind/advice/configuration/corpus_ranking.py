"""How good each configuration was for other workloads: the plainest thing to learn from them."""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct

from tradewind.advice.configuration.interface import AdvisingView, Array, Prediction
from tradewind.advice.configuration.objective import COST, Objective
from tradewind.advice.configuration.plain_outlook import outlook
from tradewind.advice.configuration.runs import Corpus

_PENALTY = math.log(2.0)
_LEAST = 0.05
"""Standard deviation, at least, of what is predicted."""


class CorpusRanking(Struct, frozen=True):
    """Of each of n configurations, over the workloads that ran on it."""

    logs: Array
    """(n,) mean of the log of its objective over the workload's best; the worst of all where none ran."""
    deviations: Array
    """(n,) standard deviation of the same between workloads."""
    whole: Array
    """(n,) share of workloads with a run that came to its end there, one more counted of either kind."""
    order: tuple[int, ...]
    """All configurations, the best first; what ran nowhere comes last."""


def corpus_ranking(corpus: Corpus, objective: Objective, n: int) -> CorpusRanking | None:
    """The ranking; None where no workload of the corpus came to an end anywhere.

    What failed or was cut counts as twice the dearest of its workload. Deadlines are this workload's own and
    say nothing of others.
    """
    table = np.full((max(len(corpus.workloads), 1), n), np.nan)
    ended, ran = np.zeros(n), np.zeros(n)
    for row, name in zip(table, sorted(corpus.workloads), strict=False):
        runs = corpus.workloads[name]
        sums, counts, tried = np.zeros(n), np.zeros(n), np.zeros(n, np.bool_)
        for run in runs:
            tried[run.configuration] = True
            if run.whole:
                sums[run.configuration] += math.log(objective.value(run))
                counts[run.configuration] += 1
        if not counts.any():
            continue
        known = counts > 0
        row[known] = sums[known] / counts[known]
        row[tried & ~known] = row[known].max() + _PENALTY
        row -= row[known].min()
        ran += tried
        ended += known
    known = ran > 0
    if not known.any():
        return None
    means, deviations = np.zeros(n), np.zeros(n)
    means[known] = np.nanmean(table[:, known], axis=0)
    deviations[known] = np.nanstd(table[:, known], axis=0)
    worst, widest = means[known].max(), deviations[known].max()
    means[~known], deviations[~known] = worst, widest
    order = np.lexsort((np.arange(n), means, ~known))
    return CorpusRanking(
        means, np.maximum(deviations, _LEAST), (ended + 1) / (ran + 2), tuple(int(each) for each in order)
    )


def ranked_prediction(view: AdvisingView, logs: Array, deviations: Array, whole: Array) -> Prediction:
    """The ranking at this workload's level, which its own runs tell; a second at the median price before.

    `logs`, `deviations` and `whole` (n,) are those of a ranking.
    """
    plain = outlook(view)
    ended = [run for run in view.runs if run.whole]
    if ended:
        level = float(np.mean([np.log(view.objective.value(run)) - logs[run.configuration] for run in ended]))
    else:
        level = math.log(view.objective.of(1.0, float(np.median(view.space.per_hour))))
    means, spreads, feasible = level + logs, deviations.copy(), whole.copy()
    seconds = np.exp(means)
    if view.objective.minimize == COST:
        seconds = seconds * 3600 / view.space.per_hour
    for run in view.runs:
        here = run.configuration
        feasible[here] = plain.feasible[here]
        if run.whole:
            means[here], spreads[here] = plain.logs[here], plain.deviations[here]
            seconds[here] = plain.seconds[here]
    return Prediction(means, spreads, feasible, seconds)
