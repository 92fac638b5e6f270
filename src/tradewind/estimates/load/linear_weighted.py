"""Load is a weighted mean of the last minutes, the newest the heaviest: Tributary's second predictive policy.

Harlap et al., "Tributary: spot-dancing for elastic services with latency SLOs", ATC 2018 (its linear-weighted
moving average).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import Misuse
from tradewind.estimates.load.interface import LoadForecast
from tradewind.estimates.load.past_errors import forecast_by


class LinearWeighted:
    """The mean over the last `window` seconds with weights n, n - 1, ..., 1 from the newest back."""

    name = "linear_weighted"

    def __init__(self, window: float = 600.0) -> None:
        if not 0 < window < math.inf:
            raise Misuse(f"{window!r} s", source=self.name, field="window", fix="Give 600 for ten minutes.")
        self.window = window

    def forecast(self, rates: NDArray[np.float64], at: float, interval: float, steps: int) -> LoadForecast:
        """The next `steps` intervals after `at`. Raises Misuse for rates that are none."""
        span = max(1, round(self.window / interval))

        def weighted(known: NDArray[np.float64], origins: NDArray[np.int64], _: int) -> NDArray[np.float64]:
            back = np.arange(span)
            there = origins[:, None] - back
            weights = np.where(there >= 0, span - back, 0.0)
            return np.asarray(
                (known[np.maximum(there, 0)] * weights).sum(axis=1) / weights.sum(axis=1), np.float64
            )

        return forecast_by(weighted, rates, at, interval, steps)
