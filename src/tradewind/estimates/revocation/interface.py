"""What every model of revocation is: chances that fall in the delta and rise in the horizon."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tradewind.estimates.revocation.sights import Sights, Situations


class Model(Protocol):
    """Says how likely leases are revoked. Pure, and learned already."""

    name: str
    """As users write it, such as empirical."""

    def probabilities(self, cases: Situations, sights: Sights) -> NDArray[np.float64]:
        """(N, D, H) that a lease which begins in each case is revoked within each horizon."""
        ...


def monotone(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same (..., D, H) made falling in the delta and rising in the horizon, each moved as little to
    either side, and within 0 and 1."""
    for axis, rising in ((-2, False), (-1, True)):
        high = np.flip(np.maximum.accumulate(np.flip(probabilities, axis), axis=axis), axis)
        low = np.minimum.accumulate(probabilities, axis=axis)
        if rising:
            high = np.maximum.accumulate(probabilities, axis=axis)
            low = np.flip(np.minimum.accumulate(np.flip(probabilities, axis), axis=axis), axis)
        probabilities = 0.5 * (high + low)
    return np.clip(probabilities, 0.0, 1.0)
