"""Random search: every setting drawn by itself (Bergstra and Bengio, JMLR 13, 2012)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tradewind.tuning.space import Space
from tradewind.tuning.trial import Setting, Trial


class RandomSearch:
    """Implements `Searcher`; the number of a trial and `seed` alone say what it tries."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def propose(self, space: Space, trials: Sequence[Trial], number: int) -> Setting | None:
        """A point drawn evenly from the unit cube."""
        return space.setting(np.random.Generator(np.random.PCG64([self.seed, number])).random(len(space)))
