"""How good forecasts are: the figures that SageMaker's DeepAR reports, and those of the M4 competition.

Salinas et al. (2020), section 4, for the quantile losses; Makridakis, Spiliotis and Assimakopoulos,
International Journal of Forecasting 36 (2020), section 2, for sMAPE and MASE. Fractions, not percent. Steps
whose value is missing are left out. 0 is best of all but `coverage`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

METRICS = ("mean_weighted_quantile_loss", "smape", "mase", "rmse", "nd", "coverage")


def weighted_quantile_losses(
    actual: NDArray[Any], quantiles: NDArray[Any], levels: Sequence[float]
) -> NDArray[np.float64]:
    """By level (Q,): twice the pinball losses over the sum of |actual|; (n, H) and (n, H, Q)."""
    short = actual[..., None].astype(np.float64) - quantiles
    level = np.asarray(levels, np.float64)
    total = np.nansum(np.maximum(level * short, (level - 1) * short), axis=(0, 1))
    return np.asarray(2 * total / _positive(np.nansum(np.abs(actual), dtype=np.float64)))


def smape(actual: NDArray[Any], forecast: NDArray[Any]) -> float:
    """The mean over series of the mean of 2 |y - f| / (|y| + |f|); no error where both are zero."""
    y, f = actual.astype(np.float64), forecast.astype(np.float64)
    size = np.abs(y) + np.abs(f)
    return _mean_of_means(2 * np.abs(y - f) / np.where(size > 0, size, 1))


def mase(
    actual: NDArray[Any], forecast: NDArray[Any], history: NDArray[Any], lengths: NDArray[Any], season: int
) -> float:
    """The mean of mean absolute errors, each over that of the seasonal naive forecast in its history (n, T).

    Series whose history does not change from season to season, or is shorter, are left out; NaN if all are.
    """
    found = []
    for row in range(len(actual)):
        past = history[row, : int(lengths[row])].astype(np.float64)
        errors = np.abs(past[season:] - past[:-season])
        errors = errors[~np.isnan(errors)]
        own = np.abs(actual[row].astype(np.float64) - forecast[row])
        own = own[~np.isnan(own)]
        if len(errors) and errors.mean() > 0 and len(own):
            found.append(own.mean() / errors.mean())
    return float(np.mean(found)) if found else float("nan")


def rmse(actual: NDArray[Any], mean: NDArray[Any]) -> float:
    """The root of the mean squared error of mean forecasts."""
    squares = np.square(actual.astype(np.float64) - mean)
    return float(np.sqrt(np.nansum(squares) / max(int((~np.isnan(squares)).sum()), 1)))


def nd(actual: NDArray[Any], forecast: NDArray[Any]) -> float:
    """The sum of absolute errors over the sum of |actual|."""
    errors = np.nansum(np.abs(actual.astype(np.float64) - forecast))
    return float(errors / _positive(np.nansum(np.abs(actual), dtype=np.float64)))


def coverage(actual: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> float:
    """The share of values that lie within [low, high]."""
    there = ~np.isnan(actual)
    inside = (actual >= low) & (actual <= high) & there
    return float(inside.sum() / max(int(there.sum()), 1))


def seasonal_naive(
    history: NDArray[Any], lengths: NDArray[Any], season: int, steps: int
) -> NDArray[np.float64]:
    """The last season over and over, (n, steps); of a shorter history its last value, of none zero."""
    found = np.zeros((len(history), steps))
    for row in range(len(history)):
        past = history[row, : int(lengths[row])]
        if len(past):
            last = past[-season:] if len(past) >= season else past[-1:]
            found[row] = last[np.arange(steps) % len(last)]
    return found


def _mean_of_means(errors: NDArray[np.float64]) -> float:
    there = ~np.isnan(errors)
    rows = there.any(axis=1)
    means = np.where(there, errors, 0)[rows].sum(axis=1) / there[rows].sum(axis=1)
    return float(means.mean()) if len(means) else float("nan")


def _positive(total: float) -> float:
    return float(total) if total > 0 else 1.0
