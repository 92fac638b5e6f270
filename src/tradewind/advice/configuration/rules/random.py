"""Random probes: what any advisor must beat."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from tradewind.advice.configuration.affordable import affordable
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
        """The next in the order of `view.seed` that was not tried and can be paid."""
        open_ = affordable(view, self.predict(view))
        if isinstance(open_, Stop):
            return open_
        if len(view.runs) >= self.probes:
            return Stop(f"{len(view.runs)} probes were made, as many as were asked for.")
        order = np.random.default_rng(view.seed).permutation(len(view.space))
        left = set(open_.tolist())
        return Probe(next(int(number) for number in order if int(number) in left), "chance")

    def predict(self, view: AdvisingView) -> Prediction:
        """The mean of what was seen, and its spread, everywhere."""
        return outlook(view)
