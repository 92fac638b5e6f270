"""The State protocol in one process, as plainly as it can be written."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradewind.algorithms.aggregation import aggregation_called, hyperparameters


class ReferenceState:
    """Tables in a dictionary; synchronized, pushes wait for the barrier and are summed table by table."""

    def __init__(self, synchronized: bool = False) -> None:
        self.synchronized = synchronized
        self.tables: dict[str, NDArray[Any]] = {}
        self.kinds: dict[str, tuple[str, dict[str, Any], list[NDArray[Any]]]] = {}
        self.waiting: list[tuple[str, NDArray[Any], NDArray[np.int64] | None]] = []
        self.pushes = 0
        self.worker, self.workers, self.clock = 0, 1, 0

    def initialize(self, key: str, value: ArrayLike, *, aggregate: str = "add", **options: Any) -> None:
        assert key not in self.tables
        self.tables[key] = np.array(value)
        kind = aggregation_called(aggregate, self.tables[key].dtype)
        slots = [np.zeros_like(self.tables[key]) for _ in kind.slots]
        self.kinds[key] = (aggregate, options, slots)

    def pull(self, key: str, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        return self.tables[key].copy() if rows is None else self.tables[key][rows]

    def push(self, key: str, delta: ArrayLike, rows: NDArray[np.int64] | None = None) -> None:
        self.pushes += 1
        given = np.array(delta)
        if self.synchronized:
            self.waiting.append((key, given, rows))
        else:
            self._take_in(key, given, rows)

    def barrier(self) -> None:
        waiting, self.waiting = self.waiting, []
        self.clock += 1
        for each in waiting:
            self._take_in(*each)

    def _take_in(self, key: str, delta: NDArray[Any], rows: NDArray[np.int64] | None) -> None:
        table = self.tables[key]
        assert rows is None or len(np.unique(rows)) == len(rows)
        name, options, slots = self.kinds[key]
        flat = table.reshape(len(table), -1)
        numbers = hyperparameters(name, options, flat.shape[1], table.dtype)
        at = np.arange(len(table)) if rows is None else rows
        delta = np.ascontiguousarray(delta, table.dtype).reshape(len(at), -1)
        beside = [slot.reshape(flat.shape) for slot in slots]
        aggregation_called(name, table.dtype).kernel(flat, at, delta, *beside, *numbers)
