"""Sobol's sequence: points that fill the cube more evenly than drawn ones (Sobol, 1967).

Scrambled by the seed (Owen, "Scrambling Sobol and Niederreiter-Xing points", Journal of Complexity 14, 1998).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from tradewind.errors import Misuse
from tradewind.tuning.space import Space
from tradewind.tuning.trial import Setting, Trial


def sobol_points(seed: int, dimensions: int, first: int, many: int) -> NDArray[np.float64]:
    """(many, dimensions) of the sequence that `seed` scrambles, from number `first` on."""
    if dimensions > qmc.Sobol.MAXDIM:
        raise Misuse(
            f"{dimensions} parameters are more than the sequence has", source="space",
            fix=f"Search at most {qmc.Sobol.MAXDIM}, or at random.",
        )  # fmt: skip
    sequence = qmc.Sobol(dimensions, scramble=True, rng=np.random.Generator(np.random.PCG64(seed)))
    if first:
        sequence.fast_forward(first)
    # By powers of two, for anything else brings a warning that is not ours to pass on.
    room = 1 << max(many - 1, 0).bit_length()
    return np.asarray(sequence.random(room)[:many], np.float64)


class SobolSearch:
    """Implements `Searcher`; the number of a trial and `seed` alone say what it tries."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def propose(self, space: Space, trials: Sequence[Trial], number: int) -> Setting | None:
        """Point `number` of the sequence."""
        return space.setting(sobol_points(self.seed, len(space), number, 1)[0])
