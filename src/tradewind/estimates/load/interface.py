"""A forecast of load, and who makes one."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray


class LoadForecast(Struct, frozen=True):
    """Requests a second to come, in intervals of equal length from `at` on."""

    at: float
    interval: float
    """Seconds."""
    mean: tuple[float, ...]
    """Expected rate in each interval."""
    levels: tuple[float, ...]
    """Probabilities, ascending, such as 0.5, 0.9, 0.99."""
    quantiles: tuple[tuple[float, ...], ...]
    """[level][interval] rate that is not exceeded with that probability."""


class LoadForecaster(Protocol):
    """Forecasts load from its past. Pure: equal questions get equal answers; it knows nothing but `rates`."""

    name: str
    """As users write it, such as seasonal_naive."""

    def forecast(self, rates: NDArray[np.float64], at: float, interval: float, steps: int) -> LoadForecast:
        """The next `steps` intervals after `at`, where `rates` are those before it, the oldest first.

        `at` is a moment (seconds since 1970, UTC), so that hours of the day and days of the week are known.
        """
        ...
