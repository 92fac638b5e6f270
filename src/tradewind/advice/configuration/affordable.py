"""What is left to try: not tried yet, and expected to cost no more than is left of the budget."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tradewind.advice.configuration.interface import AdvisingView, Prediction, Stop


def affordable(view: AdvisingView, prediction: Prediction) -> NDArray[np.int64] | Stop:
    """Their numbers, rising, at least one; otherwise why there is none."""
    if not view.unseen:
        return Stop("Every configuration was tried.")
    open_: NDArray[np.int64] = np.array(view.unseen)
    if view.budget is None:
        return open_
    if view.spent >= view.budget:
        return Stop(f"The budget of {view.budget:.2f} dollars is spent.")
    dollars = prediction.seconds * view.space.per_hour / 3600
    open_ = open_[view.spent + dollars[open_] <= view.budget]
    if not len(open_):
        return Stop(f"No other run is expected to fit what is left of {view.budget:.2f} dollars.")
    return open_
