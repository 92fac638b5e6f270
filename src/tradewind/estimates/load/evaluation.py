"""How good load forecasts are: rolling origins, root mean squared error, pinball loss, coverage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.errors import Misuse
from tradewind.estimates.load.interface import LoadForecaster


class Score(Struct, frozen=True):
    """How good the forecasts of one horizon were."""

    ahead: int
    """Intervals."""
    many: int
    """Forecasts scored."""
    rmse: float
    """Of the mean, in the unit of the rates."""
    pinball: float
    """Mean over the levels stated of the pinball loss (Koenker and Bassett, Econometrica 46(1), 1978)."""
    coverage: tuple[float, ...]
    """By level stated: the share of what came that was not above the quantile; the level itself is right."""


def origins_of(length: int, *, first: int, furthest: int, every: int) -> NDArray[np.int64]:
    """Moments, `every` so many intervals, that have `first` before them and `furthest` after them.

    Raises Misuse where there is none.
    """
    found = np.arange(first, length - furthest, every) if every > 0 else np.zeros(0, np.int64)
    if not len(found):
        raise Misuse(
            f"{length} intervals hold no origin", source="load evaluation", field="rates",
            fix=f"Give more than {first + furthest}.",
        )  # fmt: skip
    return found


def scores(
    forecaster: LoadForecaster,
    rates: NDArray[np.float64],
    at: float,
    interval: float,
    *,
    horizons: Sequence[int],
    origins: NDArray[np.int64],
    window: int,
) -> tuple[Score, ...]:
    """Every forecast made from the `window` rates before its origin, by horizon.

    `rates[0]` is the interval that begins at the moment `at`; an origin is the index of the first interval
    that is not known. The forecaster is handed a copy of the past and nothing else.
    """
    furthest = max(horizons)
    index = np.array([each - 1 for each in horizons])
    came = rates[origins[:, None] + index]
    mean = np.empty(came.shape)
    levels: tuple[float, ...] = ()
    quantiles: list[NDArray[np.float64]] = []
    for row, origin in enumerate(origins.tolist()):
        past = rates[max(0, origin - window) : origin].copy()
        told = forecaster.forecast(past, at + origin * interval, interval, furthest)
        mean[row] = np.array(told.mean)[index]
        levels = told.levels
        quantiles.append(np.array(told.quantiles)[:, index])
    stated = np.array(quantiles)
    out = []
    for column, ahead in enumerate(horizons):
        truth = came[:, column]
        losses = pinball(stated[:, :, column], truth, levels)
        covered = (truth[:, None] <= stated[:, :, column]).mean(axis=0)
        error = float(np.sqrt(((mean[:, column] - truth) ** 2).mean()))
        out.append(Score(ahead, len(truth), error, losses, tuple(covered.tolist())))
    return tuple(out)


def pinball(quantiles: NDArray[np.float64], came: NDArray[np.float64], levels: Sequence[float]) -> float:
    """Mean pinball loss of (N, L) quantiles at L levels against what came (N,).

    >>> pinball(np.array([[10.0]]), np.array([14.0]), (0.75,))
    3.0
    >>> pinball(np.array([[10.0]]), np.array([6.0]), (0.75,))
    1.0
    """
    missed = came[:, None] - quantiles
    tau = np.array(levels)
    return float(np.maximum(tau * missed, (tau - 1) * missed).mean())
