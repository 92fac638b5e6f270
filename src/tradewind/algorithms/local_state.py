"""A state for one worker in this process: what scikit-learn's face learns in.

The tables are plain arrays and a push is taken in at once; there is nobody else to be consistent with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradewind.algorithms.aggregation import aggregation_called, hyperparameters
from tradewind.errors import Misuse, suggestion

T = TypeVar("T")


class LocalState:
    """Implements `State`; `pull` of a whole table gives a view that must not be written to."""

    def __init__(self) -> None:
        self.tables: dict[str, NDArray[Any]] = {}
        self._kinds: dict[str, tuple[str, list[NDArray[Any]], tuple[NDArray[Any], ...]]] = {}
        self._clock = 0

    @property
    def worker(self) -> int | None:
        """The only one."""
        return 0

    @property
    def workers(self) -> int:
        """One."""
        return 1

    @property
    def clock(self) -> int:
        """Batches that were finished, over all calls of `draw`."""
        return self._clock

    def draw(self, batches: Iterable[T]) -> Iterator[T]:
        """The batches themselves, a clock each."""
        for batch in batches:
            yield batch
            self._clock += 1

    def initialize(self, key: str, value: ArrayLike, *, aggregate: str = "add", **options: Any) -> None:
        """Register a table; Misuse if `key` exists. `sparse=n` makes n rows that each begin as `value`."""
        if key in self.tables:
            raise Misuse("the table exists", source=key, fix="Choose another key.")
        first = np.asarray(value)
        if first.dtype.kind in "bui":
            first = first.astype(np.int64)
        rows = int(options.pop("sparse", 0))
        table = np.array(np.broadcast_to(first, (rows, *first.shape)) if rows else first, order="C")
        flat = _flat(table)
        kind = aggregation_called(aggregate, table.dtype)
        numbers = hyperparameters(aggregate, options, flat.shape[1], table.dtype)
        self.tables[key] = table
        self._kinds[key] = aggregate, [np.zeros_like(flat) for _ in kind.slots], numbers

    def pull(self, key: str, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """The table, or a copy of those of its rows."""
        table = self._table(key)
        return table if rows is None else table[rows]

    def push(self, key: str, delta: ArrayLike, rows: NDArray[np.int64] | None = None) -> None:
        """Give `delta` to the table's aggregation."""
        table = self._table(key)
        flat = _flat(table)
        at = np.arange(len(flat)) if rows is None else np.asarray(rows, np.int64)
        given = np.ascontiguousarray(delta, table.dtype).reshape(len(at), flat.shape[1])
        aggregate, slots, numbers = self._kinds[key]
        aggregation_called(aggregate, table.dtype).kernel(flat, at, given, *slots, *numbers)

    def barrier(self) -> None:
        """Nobody is waited for."""

    def _table(self, key: str) -> NDArray[Any]:
        if key not in self.tables:
            raise Misuse(f"there is no table {key!r}", field="key", fix=suggestion(key, self.tables))
        return self.tables[key]


def _flat(table: NDArray[Any]) -> NDArray[Any]:
    """A table seen as rows (n, width)."""
    return table.reshape(len(table) if table.ndim else 1, -1)
