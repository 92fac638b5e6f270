"""The order in which scikit-learn's face reads rows in an epoch; a job's data has one of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tradewind.algorithms.batch import Batch, batch_of


def shuffled(batch: Batch, seed: int, epoch: int) -> Batch:
    """The rows of a batch, now of that epoch, in an order that belongs to it and the seed."""
    chance = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, epoch))))
    order = chance.permutation(len(batch))
    labels, weights = batch.labels, batch.weights
    found = batch_of(
        batch.matrix()[order],
        None if labels is None else labels[order],
        None if weights is None else weights[order],
    )
    return replace(found, epoch=epoch)
