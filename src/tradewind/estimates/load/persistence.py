"""Load stays as it is: the forecast that every other one must beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tradewind.estimates.load.interface import LoadForecast
from tradewind.estimates.load.past_errors import forecast_by


class Persistence:
    """The last rate, for every step; quantiles from its own past errors."""

    name = "persistence"

    def forecast(self, rates: NDArray[np.float64], at: float, interval: float, steps: int) -> LoadForecast:
        """The next `steps` intervals after `at`. Raises Misuse for rates that are none."""
        return forecast_by(_last, rates, at, interval, steps)


def _last(rates: NDArray[np.float64], origins: NDArray[np.int64], ahead: int) -> NDArray[np.float64]:
    return rates[origins]
