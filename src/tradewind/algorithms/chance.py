"""Chance that belongs to a batch: drawn again the same wherever the batch is read again."""

from __future__ import annotations

import numpy as np

from tradewind.algorithms.interface import State


def chance_of(seed: int, state: State, purpose: int = 0) -> np.random.Generator:
    """The generator of the batch at hand, by the job's seed, the worker and its clock.

    Two purposes of one batch have generators of their own. Philox: Salmon et al., SC 2011.
    """
    worker = 0 if state.worker is None else state.worker
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, worker, state.clock, purpose))))
