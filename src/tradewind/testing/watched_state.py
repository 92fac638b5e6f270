"""A state in one process that sees what an algorithm does to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.local_state import LocalState


class Watched:
    """A state in this process that notes what is done to it, batch by batch.

    Pushes are also given to `shadow`, so that a table that was written to otherwise shows.
    """

    def __init__(self) -> None:
        self.state, self.shadow = LocalState(), LocalState()
        self.pushed: list[list[str]] = []
        """By batch, the tables that were pushed to, and `barrier`."""
        self.sizes: dict[str, int] = {}
        """The rows of each table."""

    worker: int | None = 0
    workers = 1

    @property
    def clock(self) -> int:
        """Batches that were finished."""
        return self.state.clock

    def draw(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches themselves, a clock each."""
        for batch in self.state.draw(batches):
            self.pushed.append([])
            yield batch

    def initialize(self, key: str, value: ArrayLike, *, aggregate: str = "add", **options: Any) -> None:
        """Register a table."""
        self.sizes[key] = int(options.get("sparse", len(np.atleast_1d(value))))
        for each in (self.state, self.shadow):
            each.initialize(key, np.array(value), aggregate=aggregate, **options)

    def pull(self, key: str, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """The table, or some of its rows."""
        return self.state.pull(key, rows)

    def entries(self, key: str) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """The rows of a sparse table that were ever pushed to, and their values."""
        return self.state.entries(key)

    def push(self, key: str, delta: ArrayLike, rows: NDArray[np.int64] | None = None) -> None:
        """Give `delta` to the table's aggregation; its rows must be distinct and there."""
        if rows is not None:
            assert len(np.unique(rows)) == len(rows), f"the rows pushed to {key} are not distinct"
            there = (rows >= 0) & (rows < self.sizes[key])
            assert np.all(there), f"rows pushed to {key} are not there"
        assert self.pushed, f"{key} was pushed to before a batch was drawn"
        self.pushed[-1].append(key)
        given = np.array(delta)
        for each in (self.state, self.shadow):
            each.push(key, given.copy(), rows)

    def barrier(self) -> None:
        """Nobody is waited for."""
        self.pushed[-1].append("barrier")
