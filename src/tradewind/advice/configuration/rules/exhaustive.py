"""Exhaustive search: every configuration once, by price. Nothing finds better, and nothing costs more."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from tradewind.advice.configuration.affordable import affordable
from tradewind.advice.configuration.interface import AdvisingView, Prediction, Probe, Stop
from tradewind.advice.configuration.plain_outlook import outlook


class Exhaustive(Struct, frozen=True):
    """Tries everything, the cheapest an hour first."""

    @property
    def recommends_unmeasured(self) -> bool:
        """There is nothing that it has not tried."""
        return False

    def next(self, view: AdvisingView) -> Probe | Stop:
        """The cheapest an hour that was not tried and can be paid."""
        open_ = affordable(view, self.predict(view))
        if isinstance(open_, Stop):
            return open_
        number = int(open_[np.argmin(view.space.per_hour[open_])])
        return Probe(number, f"{len(view.runs) + 1} of {len(view.space)}, by price")

    def predict(self, view: AdvisingView) -> Prediction:
        """What was measured, and its mean elsewhere."""
        return outlook(view)
