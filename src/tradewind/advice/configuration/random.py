"""Random probes: what any advisor must beat."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from tradewind.advice.configuration.interface import AdvisingView, Prediction, Probe, Stop
from tradewind.advice.configuration.plain_outlook import outlook


class Random(Struct, frozen=True):
    """Tries configurations in an order that chance gives, so many of them."""

    probes: int = 10

    @property
    def recommends_unmeasured(self) -> bool:
        """It knows nothing of what it has not tried."""
        return False

    def next(self, view: AdvisingView) -> Probe | Stop:
        """The next in the order of `view.seed` that was not tried."""
        order = np.random.default_rng(view.seed).permutation(len(view.space))
        left = [int(number) for number in order if number not in view.probed]
        if not left:
            return Stop("Every configuration was tried.")
        if len(view.runs) >= self.probes:
            return Stop(f"{len(view.runs)} probes were made, as many as were asked for.")
        if view.budget is not None and view.spent >= view.budget:
            return Stop(f"The budget of {view.budget:.2f} dollars is spent.")
        return Probe(left[0], "chance")

    def predict(self, view: AdvisingView) -> Prediction:
        """The mean of what was seen, and its spread, everywhere."""
        return outlook(view)
