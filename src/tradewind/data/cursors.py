"""Which rows a logical worker reads, and in what order: arithmetic, so that a cursor is one number.

An epoch is cut into blocks of `batch_size` rows. Their order is the data's own, or shuffled anew each epoch
from a seed; the block at place j goes to worker j mod `workers`. Neither depends on how many machines there
are, nor on who reads: the index of the next batch is all that must be kept to go on.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.errors import Misuse


class Place(Struct, frozen=True):
    """Rows `start` up to `stop` in an epoch."""

    epoch: int
    start: int
    stop: int


class Reading(Struct, frozen=True):
    """How one logical worker reads data of a known number of rows."""

    rows: int
    worker: int
    workers: int
    batch_size: int
    epochs: int = 1
    seed: int | None = None
    """Shuffles the blocks of each epoch; None keeps the data's own order."""

    @property
    def blocks(self) -> int:
        """How many blocks an epoch has."""
        return -(-self.rows // self.batch_size)

    @property
    def per_epoch(self) -> int:
        """How many batches this worker reads in an epoch."""
        return max(0, -(-(self.blocks - self.worker) // self.workers))

    @property
    def length(self) -> int:
        """How many batches this worker reads over all epochs."""
        return self.per_epoch * self.epochs

    def place(self, index: int) -> Place:
        """The rows of this worker's batch `index`, which lies between 0 and `length`."""
        epoch, turn = divmod(index, self.per_epoch)
        block = turn * self.workers + self.worker
        if self.seed is not None:
            block = int(_order(self.blocks, self.seed, epoch)[block])
        start = block * self.batch_size
        return Place(epoch, start, min(start + self.batch_size, self.rows))

    def rows_before(self, index: int) -> int:
        """How many rows the batches before `index` hold, over all epochs."""
        if self.per_epoch == 0:
            return 0
        index = min(index, self.length)
        short = self.blocks * self.batch_size - self.rows  # what the last block of the data lacks
        epochs, turns = divmod(index, self.per_epoch)
        total = index * self.batch_size
        last = self.blocks - 1
        if short:
            if self.seed is None:
                owned = last % self.workers == self.worker
                total -= short * (epochs if owned else 0)
                if owned and turns * self.workers + self.worker > last:
                    total -= short
            else:
                for epoch in range(epochs + (turns > 0)):
                    place = int(np.flatnonzero(_order(self.blocks, self.seed, epoch) == last)[0])
                    turn, owner = divmod(place, self.workers)
                    if owner == self.worker and (epoch < epochs or turn < turns):
                        total -= short
        return total


@lru_cache(maxsize=8)
def _order(blocks: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(blocks)


def check_reading(source: str, worker: int, workers: int, batch_size: int, epochs: int) -> None:
    """Raise Misuse unless the numbers make a reading."""
    for field, value, least in (("of", workers, 1), ("batch_size", batch_size, 1), ("epochs", epochs, 1)):
        if value < least:
            raise Misuse(
                f"{value} is below {least}", source=source, field=field, fix="Give a whole number above."
            )
    if not 0 <= worker < workers:
        raise Misuse(
            f"there is no worker {worker} of {workers}", source=source, field="worker",
            fix=f"Workers are numbered from 0 to {workers - 1}.",
        )  # fmt: skip
