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

_MOST_DENSE = 1 << 24
"""Values up to which a sparse table is kept as a dense one: 64 MB of float32."""


class LocalState:
    """Implements `State`; `pull` of a whole table gives a view that must not be written to."""

    def __init__(self) -> None:
        self.tables: dict[str, NDArray[Any]] = {}
        self._kinds: dict[str, tuple[str, list[NDArray[Any]], tuple[NDArray[Any], ...]]] = {}
        self._touched: dict[str, NDArray[np.bool_]] = {}
        self._vast: dict[str, _Vast] = {}
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
        if rows * max(first.size, 1) > _MOST_DENSE:
            aggregation_called(aggregate, first.dtype)
            numbers = hyperparameters(aggregate, options, first.size, first.dtype)
            self._vast[key] = _Vast(rows, first, aggregate, numbers)
            self.tables[key] = self._vast[key].values
            return
        if rows:
            self._touched[key] = np.zeros(rows, np.bool_)
        if rows and not first.any():
            table = np.zeros((rows, *first.shape), first.dtype)  # takes memory where it is written to
        else:
            table = np.array(np.broadcast_to(first, (rows, *first.shape)) if rows else first, order="C")
        flat = _flat(table)
        kind = aggregation_called(aggregate, table.dtype)
        numbers = hyperparameters(aggregate, options, flat.shape[1], table.dtype)
        self.tables[key] = table
        self._kinds[key] = aggregate, [np.zeros_like(flat) for _ in kind.slots], numbers

    def pull(self, key: str, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """The table, or a copy of those of its rows."""
        table = self._table(key)
        if key in self._vast:
            if rows is None:
                raise Misuse(
                    "a vast sparse table has no whole", source=key, field="rows",
                    fix="Pull the rows that you need, or entries().",
                )  # fmt: skip
            return self._vast[key].pull(np.asarray(rows, np.int64))
        return table if rows is None else table[rows]

    def push(self, key: str, delta: ArrayLike, rows: NDArray[np.int64] | None = None) -> None:
        """Give `delta` to the table's aggregation."""
        table = self._table(key)
        if key in self._vast:
            self._vast[key].push(np.asarray(rows, np.int64), delta)
            self.tables[key] = self._vast[key].values
            return
        if key in self._touched:
            self._touched[key][slice(None) if rows is None else rows] = True
        flat = _flat(table)
        at = np.arange(len(flat)) if rows is None else np.asarray(rows, np.int64)
        given = np.ascontiguousarray(delta, table.dtype).reshape(len(at), flat.shape[1])
        aggregate, slots, numbers = self._kinds[key]
        aggregation_called(aggregate, table.dtype).kernel(flat, at, given, *slots, *numbers)

    def barrier(self) -> None:
        """Nobody is waited for."""

    def entries(self, key: str) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """The rows of a sparse table that were ever pushed to, ascending, and their values."""
        table = self._table(key)
        if key in self._vast:
            rows = np.array(sorted(self._vast[key].places), np.int64)
            return rows, self._vast[key].pull(rows)
        rows = np.flatnonzero(self._touched[key]) if key in self._touched else np.arange(len(table))
        return rows, table[rows]

    def _table(self, key: str) -> NDArray[Any]:
        if key not in self.tables:
            raise Misuse(f"there is no table {key!r}", field="key", fix=suggestion(key, self.tables))
        return self.tables[key]


class _Vast:
    """A sparse table of which only the rows that were pushed to take memory."""

    def __init__(
        self, rows: int, first: NDArray[Any], aggregate: str, numbers: tuple[NDArray[Any], ...]
    ) -> None:
        self.rows, self.places = rows, dict[int, int]()
        self._first, self._numbers = first, numbers
        self._kind = aggregation_called(aggregate, first.dtype)
        self._room = np.empty((64, max(first.size, 1)), first.dtype)
        self._slots = [np.zeros_like(self._room) for _ in self._kind.slots]

    @property
    def values(self) -> NDArray[Any]:
        """The rows that there are, in the order in which they were first pushed to."""
        return self._room[: len(self.places)].reshape(-1, *self._first.shape)

    def pull(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """A copy of those rows."""
        self._check(rows)
        found = np.array([self.places.get(row, -1) for row in rows.tolist()], np.int64)
        out = np.array(np.broadcast_to(self._first, (len(rows), *self._first.shape)))
        out[found >= 0] = self.values[found[found >= 0]]
        return out

    def push(self, rows: NDArray[np.int64], delta: ArrayLike) -> None:
        """Give `delta` to the aggregation of those rows."""
        self._check(rows)
        at = np.array([self.places.setdefault(row, len(self.places)) for row in rows.tolist()], np.int64)
        new = np.array(at >= self._begun)
        while len(self.places) > len(self._room):
            self._room = np.concatenate([self._room, np.empty_like(self._room)])
            self._slots = [np.concatenate([slot, np.zeros_like(slot)]) for slot in self._slots]
        self._room[at[new]] = self._first.reshape(-1)
        self._begun = len(self.places)
        given = np.ascontiguousarray(delta, self._room.dtype).reshape(len(at), self._room.shape[1])
        self._kind.kernel(self._room, at, given, *self._slots, *self._numbers)

    _begun = 0
    """How many rows hold values."""

    def _check(self, rows: NDArray[np.int64]) -> None:
        if rows.size and not 0 <= int(rows.min()) <= int(rows.max()) < self.rows:
            raise Misuse(f"rows outside of 0 to {self.rows - 1}", field="rows", fix="Name rows of the table.")


def _flat(table: NDArray[Any]) -> NDArray[Any]:
    """A table seen as rows (n, width)."""
    return table.reshape(len(table) if table.ndim else 1, -1)
