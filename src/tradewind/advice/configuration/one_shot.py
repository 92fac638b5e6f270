"""What advisors share that foretell everything from a few reference runs: which runs, and what they believe.

They look at runs of other workloads first, so their references are the configurations that most of those
ran on to the end; where a reference fails, another one takes its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from tradewind.advice.configuration.affordable import affordable
from tradewind.advice.configuration.corpus_table import safe_columns
from tradewind.advice.configuration.interface import AdvisingView, Array, Prediction, Probe, Stop
from tradewind.advice.configuration.objective import COST
from tradewind.advice.configuration.plain_outlook import outlook
from tradewind.advice.configuration.runs import Run
from tradewind.estimates.completion import feasibility
from tradewind.market.measured_runs import FAILED, TIMED_OUT

_TRIES = 2
"""Times as many runs as references are made at most, where some fail."""
_BAD = (FAILED, TIMED_OUT)
"""Ends of runs that speak against a configuration."""
_MEASURED = 0.05
"""Standard deviation of the logarithm of what was measured once."""


def whole_runs(view: AdvisingView) -> tuple[Run, ...]:
    """The probes that came to their end."""
    return tuple(run for run in view.runs if run.whole)


def spread_by_price(view: AdvisingView) -> list[int]:
    """Configurations in an order in which references serve: the cheapest an hour, the dearest, and between.

    Those on which fewer of the other workloads came to their end come after all others.
    """
    fared = _ended(view)
    known = np.isfinite(fared)
    share = (np.where(known, fared, 0.0).sum(axis=0) + 1) / (known.sum(axis=0) + 1)
    price = np.log(view.space.per_hour)
    left = [int(number) for number in np.flatnonzero(share >= np.quantile(share, 0.5) - 1e-9)]
    rest = [number for number in range(len(price)) if number not in set(left)]
    order: list[int] = []
    while left:
        if not order:
            chosen = min(left, key=lambda number: (price[number], number))
        else:
            far = np.abs(price[left][:, None] - price[order]).min(axis=1)
            chosen = left[int(np.argmax(far))]
        order.append(chosen)
        left.remove(chosen)
    return order + sorted(rest, key=lambda number: (-share[number], number))


def by_chance(view: AdvisingView) -> list[int]:
    """The same configurations in an order that chance gives."""
    first = spread_by_price(view)
    half = (len(first) + 1) // 2
    chance = np.random.default_rng(view.seed)
    return [*chance.permutation(first[:half]).tolist(), *chance.permutation(first[half:]).tolist()]


def next_reference(
    view: AdvisingView, order: Sequence[int], wanted: int, predict: Callable[[AdvisingView], Prediction]
) -> Probe | Stop:
    """The next of the references, until so many came to their end or twice as many were tried.

    `predict` is asked what runs will cost where there is a budget.
    """
    whole = len(whole_runs(view))
    if whole >= wanted:
        return Stop(f"{whole} reference runs came to their end; all else is foretold from them.")
    if len(view.runs) >= _TRIES * wanted:
        return Stop(f"Of {len(view.runs)} reference runs only {whole} came to their end.")
    open_ = affordable(view, outlook(view) if view.budget is None else predict(view))
    if isinstance(open_, Stop):
        return open_
    number = next(each for each in order if each in open_)
    return Probe(number, f"reference run {whole + 1} of {wanted}")


def end_probability(view: AdvisingView) -> Array:
    """(n,) probabilities that a run ends whole, by what ended badly here and elsewhere.

    They are those of `estimates.completion`, but where no run of this workload had as little of what a run
    may lack: there no more than the share of other workloads that came to their end.
    """
    safe, others = safe_columns(view.space)
    ended = _ended(view)
    told = [run for run in view.runs if run.whole or run.status in _BAD]
    where = np.array([run.configuration for run in told], np.int64)
    found = feasibility(safe, others, ended).given(where, np.array([run.whole for run in told], np.bool_))
    known = np.isfinite(ended)
    share = (np.where(known, ended, 0.0).sum(axis=0) + 1) / (known.sum(axis=0) + 1)
    fitted = safe[[run.configuration for run in told if run.whole]]
    enough = np.asarray((safe[:, None] >= fitted - 1e-9).all(axis=2))
    shown = enough.any(axis=1) & (safe.shape[1] > 0)
    return np.where(shown, found, np.minimum(found, share))


def _ended(view: AdvisingView) -> Array:
    """(W, n) 1 where another workload came to its end, 0 where all was bad, NaN where there was none."""
    found = np.full((len(view.corpus.workloads), len(view.space)), np.nan)
    for row, name in zip(found, sorted(view.corpus.workloads), strict=True):
        for run in view.corpus.workloads[name]:
            if run.whole:
                row[run.configuration] = 1.0
            elif run.status in _BAD and row[run.configuration] != 1.0:
                row[run.configuration] = 0.0
    return found


def believed(view: AdvisingView, logs: Array, deviations: Array, ends: Array | None = None) -> Prediction:
    """A prediction from the logarithms (n,) of seconds; what was measured is believed as measured."""
    end = (end_probability(view) if ends is None else ends).copy()
    deviations = np.maximum(deviations, _MEASURED)
    in_time = np.ones(len(logs))
    if view.objective.deadline is not None:
        in_time = norm.cdf((math.log(view.objective.deadline) - logs) / deviations)
    values = logs + np.log(view.space.per_hour / 3600) if view.objective.minimize == COST else logs.copy()
    told = Prediction(values, deviations.copy(), end * in_time, np.exp(logs))
    for run in view.runs:
        here = run.configuration
        told.feasible[here] = float(view.objective.met(run))
        if run.whole:
            told.logs[here] = math.log(view.objective.value(run))
            told.deviations[here], told.seconds[here] = _MEASURED, run.seconds
    return told


def measured_logs(view: AdvisingView) -> Array:
    """(n,) logarithms of the seconds of whole runs, NaN elsewhere."""
    found = np.full(len(view.space), np.nan)
    for run in whole_runs(view):
        found[run.configuration] = math.log(run.seconds)
    return found


def shared_rows(table: Array, there: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(W,) which rows of a table (W, n) have every entry that is `there` (n,) in another row."""
    return np.asarray(np.isfinite(table[:, there]).all(axis=1))


def without_corpus(view: AdvisingView) -> Prediction:
    """What is believed with nothing to learn from: what was measured, and its mean elsewhere."""
    return outlook(view)
