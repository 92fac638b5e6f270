"""Every model of revocation, learned by its name from rows of a history."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import Misuse, suggestion
from tradewind.estimates.revocation import base_rate, boosted, empirical, hour_of_day, lstm
from tradewind.estimates.revocation.experience import Experience
from tradewind.estimates.revocation.interface import Model


class Learner(Protocol):
    """How a model is learned."""

    def __call__(self, experience: Experience, rows: NDArray[np.int64], *, seed: int = 0) -> Model:
        """The model of those rows of the grid; the same for the same seed."""
        ...


_LEARNERS: dict[str, Learner] = {
    "base_rate": base_rate.learn,
    "boosted": boosted.learn,
    "empirical": empirical.learn,
    "hour_of_day": hour_of_day.learn,
    "lstm": lstm.learn,
}
NAMES = tuple(_LEARNERS)
"""The models of revocation, as users write them."""


def learn(name: str, experience: Experience, rows: NDArray[np.int64], *, seed: int = 0) -> Model:
    """The model of that name, of those rows of the grid. Misuse for an unknown name, MissingExtra for lstm
    without torch."""
    if name not in _LEARNERS:
        raise Misuse(f"no forecast {name!r}", source="forecast", field="name", fix=suggestion(name, NAMES))
    return _LEARNERS[name](experience, rows, seed=seed)
