"""Quantiles of a forecast from the errors that the same rule made before: split conformal prediction.

Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005, section 4.1; the weighing by
likeness and age follows Barber, Candes, Ramdas and Tibshirani, "Conformal prediction beyond
exchangeability", 2023, section 3. Errors are taken relative to the level of the load, so that those of the
night say something of the day.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import Misuse
from tradewind.estimates.load.interface import LoadForecast

LEVELS = (0.1, 0.5, 0.75, 0.9, 0.95, 0.99)
"""Probabilities at which quantiles are stated."""
DAY = 86_400.0
_ORIGINS = 600
"""Past moments, evenly spread, whose errors are looked at."""
_AGE = 4 * DAY
"""Seconds after which an error counts for half."""

Predict = Callable[[NDArray[np.float64], NDArray[np.int64], int], NDArray[np.float64]]
"""(rates, origins (N,), steps ahead) -> (N,) the rate expected so many steps after each origin, from nothing
but the rates up to it."""


def checked(rates: NDArray[np.float64], interval: float, steps: int) -> NDArray[np.float64]:
    """The rates as finite numbers of 0 or more. Raises Misuse for others, for none, and for no steps."""
    known = np.ascontiguousarray(rates, np.float64)
    if known.ndim != 1 or not len(known):
        raise Misuse("no row of numbers", source="load forecast", field="rates", fix="Give one or more.")
    if not (np.isfinite(known).all() and known.min() >= 0):
        raise Misuse(
            "not every rate is finite and 0 or more", source="load forecast", field="rates", fix="Mask them."
        )
    if not (np.isfinite(interval) and interval > 0):
        raise Misuse(f"{interval!r} s", source="load forecast", field="interval", fix="Give 60 for minutes.")
    if steps < 1:
        raise Misuse(f"{steps!r} steps", source="load forecast", field="steps", fix="Ask for 1 or more.")
    return known


def levels_of_load(rates: NDArray[np.float64], span: int = 15) -> NDArray[np.float64]:
    """The mean of the last `span` rates at every moment: what errors are taken relative to; never 0."""
    return trailing_mean(rates, span) + 0.02 * float(rates.mean()) + 1e-9


def trailing_mean(rates: NDArray[np.float64], span: int) -> NDArray[np.float64]:
    """At every moment the mean of the `span` rates up to it, or of as many as there are."""
    sums = np.concatenate(([0.0], np.cumsum(rates)))
    ends = np.arange(1, len(rates) + 1)
    starts = np.maximum(ends - span, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def forecast_by(
    predict: Predict, rates: NDArray[np.float64], at: float, interval: float, steps: int, *, after: int = 0
) -> LoadForecast:
    """What `predict` says now, with quantiles from what it said before; `after` rates must precede an origin.

    Before there is a past error, every quantile is the mean.
    """
    known = checked(rates, interval, steps)
    last = len(known) - 1
    level = levels_of_load(known)
    stride = max(1, (last - after) // _ORIGINS)
    origins = np.arange(last, after - 1, -stride)
    mean = np.empty(steps)
    quantiles = np.empty((len(LEVELS), steps))
    weights = likeness(level[origins], np.asarray((last - origins) * interval, np.float64))
    nodes = nodes_of(steps)
    for ahead in nodes:
        mean[ahead - 1] = float(predict(known, np.array([last]), ahead)[0])
        seen = origins + ahead <= last
        past = origins[seen]
        errors = (known[past + ahead] - predict(known, past, ahead)) / level[past]
        quantiles[:, ahead - 1] = mean[ahead - 1] + level[last] * of_errors(errors, weights[seen])
    return told(mean, quantiles, nodes, at, interval)


def nodes_of(steps: int) -> list[int]:
    """The steps at which something is reckoned; between them it is interpolated.

    >>> nodes_of(10)
    [1, 2, 3, 4, 6, 9, 10]
    """
    nodes, ahead = [], 1
    while ahead < steps:
        nodes.append(ahead)
        ahead = max(ahead + 1, round(ahead * 1.5))
    return [*nodes, steps]


def likeness(level: NDArray[np.float64], ages: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of past errors: the more like the level of now, `level[0]`, and the younger, the more.

    `ages` are in seconds."""
    apart = np.abs(np.log(level / level[0]))
    return np.asarray(np.exp2(-ages / _AGE) * (np.exp(-apart) + 0.02), np.float64)


def of_errors(errors: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted quantiles at LEVELS; the conformal correction counts one error more, as large as the largest.

    None yet: 0 at every level.
    """
    if not len(errors):
        return np.zeros(len(LEVELS))
    order = np.argsort(errors, kind="stable")
    summed = np.cumsum(weights[order])
    ranks = np.searchsorted(summed, np.array(LEVELS) * (summed[-1] + summed[-1] / len(errors)))
    return np.asarray(errors[order[np.minimum(ranks, len(errors) - 1)]], np.float64)


def told(
    mean: NDArray[np.float64],
    quantiles: NDArray[np.float64],
    nodes: list[int],
    at: float,
    interval: float,
) -> LoadForecast:
    """The forecast with what lies between the nodes; nothing is below 0, and quantiles do not cross."""
    steps = np.arange(1, len(mean) + 1)
    known = np.array(nodes)
    mean = np.maximum(np.interp(steps, known, mean[known - 1]), 0.0)
    rows = [np.interp(steps, known, row[known - 1]) for row in quantiles]
    risen = np.maximum.accumulate(np.maximum(np.array(rows), 0.0), axis=0)
    return LoadForecast(at, interval, tuple(mean.tolist()), LEVELS, tuple(map(tuple, risen.tolist())))
