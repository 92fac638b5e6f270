"""Load forecasters by name."""

from __future__ import annotations

from tradewind.errors import Misuse, suggestion
from tradewind.estimates.load.interface import LoadForecaster
from tradewind.estimates.load.linear_weighted import LinearWeighted
from tradewind.estimates.load.lstm import Lstm
from tradewind.estimates.load.moving_average import MovingAverage
from tradewind.estimates.load.persistence import Persistence
from tradewind.estimates.load.seasonal_naive import SeasonalNaive
from tradewind.estimates.load.seasonal_regression import SeasonalRegression

_MAKERS = {
    maker.name: maker
    for maker in (Persistence, SeasonalNaive, MovingAverage, LinearWeighted, Lstm, SeasonalRegression)
}
NAMES = tuple(_MAKERS)
"""As users write them."""


def load_forecaster(name: str) -> LoadForecaster:
    """The forecaster of that name, as it is by default. Raises Misuse for an unknown one."""
    maker = _MAKERS.get(name)
    if maker is None:
        raise Misuse(
            f"no load forecast {name!r}", source="load_forecaster", field="name", fix=suggestion(name, NAMES)
        )
    return maker()
