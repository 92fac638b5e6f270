"""Load is the mean of the last minutes: the predictive scaling policy that Tributary compares with first.

Harlap et al., "Tributary: spot-dancing for elastic services with latency SLOs", ATC 2018 (its moving-window
average).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import Misuse
from tradewind.estimates.load.interface import LoadForecast
from tradewind.estimates.load.past_errors import forecast_by, trailing_mean


class MovingAverage:
    """The mean over the last `window` seconds, for every step."""

    name = "moving_average"

    def __init__(self, window: float = 600.0) -> None:
        if not 0 < window < math.inf:
            raise Misuse(f"{window!r} s", source=self.name, field="window", fix="Give 600 for ten minutes.")
        self.window = window

    def forecast(self, rates: NDArray[np.float64], at: float, interval: float, steps: int) -> LoadForecast:
        """The next `steps` intervals after `at`. Raises Misuse for rates that are none."""
        span = max(1, round(self.window / interval))
        known = np.asarray(rates, np.float64)
        means = trailing_mean(known, span) if known.ndim == 1 and len(known) else known
        return forecast_by(lambda _, origins, ahead: means[origins], known, at, interval, steps)
