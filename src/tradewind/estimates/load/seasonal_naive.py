"""Load is what it was a season ago: the other forecast that every one must beat."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import Misuse
from tradewind.estimates.load.interface import LoadForecast
from tradewind.estimates.load.past_errors import DAY, forecast_by


class SeasonalNaive:
    """The rate of the same moment one `season` (seconds) before; the last rate until one season is known."""

    name = "seasonal_naive"

    def __init__(self, season: float = DAY) -> None:
        if not 0 < season < math.inf:
            raise Misuse(f"{season!r} s", source=self.name, field="season", fix="Give 86400 for a day.")
        self.season = season

    def forecast(self, rates: NDArray[np.float64], at: float, interval: float, steps: int) -> LoadForecast:
        """The next `steps` intervals after `at`. Raises Misuse for rates that are none."""
        period = max(1, round(self.season / interval))

        def before(known: NDArray[np.float64], origins: NDArray[np.int64], ahead: int) -> NDArray[np.float64]:
            # More than a season ahead, the season before that stands in.
            back = period * -(-ahead // period)
            there = origins + ahead - back
            return np.where(there >= 0, known[np.maximum(there, 0)], known[origins])

        return forecast_by(before, rates, at, interval, steps, after=min(period, max(len(rates) - 2, 0)))
