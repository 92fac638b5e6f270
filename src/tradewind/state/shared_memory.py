"""A state on one machine whose tables lie in memory that its processes share.

Two ways to use it, and what each gives up:

- `InPlaceState` lets every process write the shared tables directly, with no lock (Niu et al., Hogwild!, NIPS
  2011). It is the fastest. Deltas that meet in one row may be lost, and a push that a kill cuts short stays
  half done: neither exactly once, nor repeatable.
- `SequencedState` takes every push in once in each partition, whoever is killed when. Under a partition's
  lock the pusher writes what the rows will be to a record beside the table, commits the record with one
  8-byte store, copies it to the table, and clears it. Copying twice does no harm: whoever next takes the lock
  of a pusher that died finishes a committed record, and ignores one that is not. A push to a whole table
  needs no copy: it is written to a second array of the table, and the commit makes that the current one.

Both are asynchronous: a pull sees what there is. Between two processes that only compute, neither beats one
process by more than the cores allow.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec
import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from tradewind.errors import Misuse, Temporary
from tradewind.state.shared_tables import (
    COMMITTED,
    COUNT,
    CURRENT,
    DUPLICATES,
    LAST,
    ORDER,
    WHOLE,
    WORKER,
    SharedTable,
    SharedTables,
)
from tradewind.state.stamp import Position
from tradewind.state.table import Layout, Rows

T = TypeVar("T")

_SEQUENCES = 2**24
"""Most pushes of one clock."""


@njit(cache=True, nogil=True)
def _deal(rows: Any, bounds: Any, order: Any, starts: Any) -> None:
    """Order the places of `rows` by partition: those of partition p are order[starts[p]:starts[p + 1]]."""
    partitions = bounds.shape[0] - 1
    home = np.empty(rows.shape[0], np.int32)
    counts = np.zeros(partitions + 1, np.int64)
    for i in range(rows.shape[0]):
        p = 0
        while rows[i] >= bounds[p + 1]:
            p += 1
        home[i] = p
        counts[p + 1] += 1
    for p in range(partitions):
        counts[p + 1] += counts[p]
    starts[:] = counts
    for i in range(rows.shape[0]):
        order[counts[home[i]]] = i
        counts[home[i]] += 1


@njit(cache=True, nogil=True)
def _take_rows(rows: Any, delta: Any, places: Any, record: Any, out: Any) -> None:
    """The rows of a push that lie at `places`, into a partition's record, and their deltas."""
    for k in range(places.shape[0]):
        i = places[k]
        record[k] = rows[i]
        for j in range(delta.shape[1]):
            out[k, j] = delta[i, j]


@njit(cache=True, nogil=True)
def _read_rows(values: Any, rows: Any, count: Any, out: Any) -> None:
    for k in range(count):
        for j in range(values.shape[1]):
            out[k, j] = values[rows[k], j]


@njit(cache=True, nogil=True)
def _gather(copies: Any, control: Any, bounds: Any, rows: Any, out: Any) -> None:
    for i in range(rows.shape[0]):
        p = 0
        while rows[i] >= bounds[p + 1]:
            p += 1
        current = control[p, CURRENT]
        for j in range(out.shape[1]):
            out[i, j] = copies[current, rows[i], j]


@njit(cache=True, nogil=True)
def _exchange(now: Any, then: Any, own: Any, base: Any) -> None:
    """then = now + (own - base), and own and base with it; flat arrays, `now` and `then` may be one."""
    for i in range(own.shape[0]):
        both = now[i] + (own[i] - base[i])
        then[i] = both
        own[i] = both
        base[i] = both


class _Held:
    """A partition's lock, with whatever its last holder left undone done."""

    __slots__ = ("_file", "_kind", "_partition", "_table")

    def __init__(self, tables: SharedTables, key: str, partition: int, kind: int) -> None:
        self._table, self._file = tables.table(key), tables.guards(key)[partition]
        self._partition, self._kind = partition, kind

    def __enter__(self) -> None:
        fcntl.flock(self._file, self._kind)
        while self._table.control[self._partition, COMMITTED]:
            # its holder died between the commit and the end; only alone may the rest be done
            if self._kind != fcntl.LOCK_EX:
                fcntl.flock(self._file, fcntl.LOCK_EX)
            if self._table.control[self._partition, COMMITTED]:
                self._table.finish(self._partition)
            if self._kind != fcntl.LOCK_EX:
                fcntl.flock(self._file, self._kind)

    def __exit__(self, *error: object) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)


class InPlaceState:
    """Implements `algorithms.interface.State`, but for its clause 4: pushes may be lost where they meet."""

    def __init__(self, tables: SharedTables) -> None:
        if tables.sequenced:
            raise Misuse(
                "in place, the records of sequenced tables would be void", field="tables",
                fix="Create them with sequenced=False.",
            )  # fmt: skip
        self.tables = tables

    def initialize(self, key: str, value: ArrayLike, *, aggregate: str = "add", **options: Any) -> None:
        """Register a table with its first value; Misuse if `key` exists."""
        self.tables.initialize(key, value, aggregate, **options)

    def live(self, key: str) -> NDArray[Any]:
        """The table itself: what a kernel writes to it, every process sees."""
        table = self.tables.table(key)
        array: NDArray[Any] = table.arrays[0, 0].reshape(table.layout.shape)
        return array

    def pull(self, key: str, rows: Rows | None = None) -> NDArray[Any]:
        """A copy of the table, or of those of its rows."""
        table = self.tables.table(key)
        if rows is None:
            return self.live(key).copy()
        rows = table.rows(rows)
        out = np.empty((len(rows), table.width), table.layout.dtype)
        _read_rows(table.arrays[0, 0], rows, len(rows), out)
        return out.reshape(len(rows), *table.layout.shape[1:])

    def push(self, key: str, delta: ArrayLike, rows: Rows | None = None) -> None:
        """Give `delta` to the table's aggregation, at once and without a lock."""
        table = self.tables.table(key)
        rows = None if rows is None else table.rows(rows)
        values = table.delta(delta, rows)
        arrays = table.arrays[:, 0]
        table.aggregation.kernel(
            arrays[0], table.every if rows is None else rows, values, *arrays[1:], *table.options
        )

    def exchange(self, key: str, own: NDArray[Any], base: NDArray[Any]) -> None:
        """Add to the table how `own` differs from `base`, and make both what the table then is; no lock.

        For a process that learns on a copy for a while: cores that write one table row by row take the cache
        lines of the rows that all of them need from each other, and lose more than they gain.
        """
        table = self.tables.table(key)
        flat = table.arrays[0, 0].reshape(-1)
        _exchange(flat, flat, *(table.own(array).reshape(-1) for array in (own, base)))

    def barrier(self) -> None:
        """Nothing: nobody waits for anybody."""


class SequencedState:
    """Implements `algorithms.interface.State` for one logical worker; asynchronous, each push taken in once.

    The worker is hosted by one process at a time: Temporary while another one lives that hosts it. A worker
    whose host died goes on at batch `position.clock`; those of its pushes of that batch that a partition has
    had are dropped there.
    """

    def __init__(self, tables: SharedTables, worker: int | None = None) -> None:
        if not tables.sequenced:
            raise Misuse("there is no room for records", field="tables", fix="Create with sequenced=True.")
        if worker is not None and not 0 <= worker < tables.workers:
            raise Misuse(
                f"there is no worker {worker}",
                field="worker",
                fix=f"Give a number from 0 to {tables.workers - 1}.",
            )
        self.tables, self.worker = tables, worker
        self.position = Position(0 if worker is None else worker, 0, 0, 0)
        self._clock = self._sequence = 0
        self._drawn = False
        self._scratch: dict[str, NDArray[Any]] = {}
        if worker is not None:
            try:
                fcntl.flock(tables.lock(f"worker-{worker}"), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Temporary(f"worker {worker} is hosted by another process") from None
            self._clock = int(tables.clocks[worker])
            self.position = Position(worker, 0, self._clock, 0)

    @property
    def clock(self) -> int:
        """Batches that this worker has finished."""
        return self._clock

    def initialize(self, key: str, value: ArrayLike, *, aggregate: str = "add", **options: Any) -> None:
        """Register a table with its first value; Misuse if `key` exists."""
        self.tables.initialize(key, value, aggregate, **options)

    def draw(self, batches: Iterable[T]) -> Iterator[T]:
        """The batches themselves, a clock each: asking for the next one ends the last one's clock."""
        for batch in batches:
            self.next_batch()
            yield batch
        if self._drawn:
            self._end()

    def next_batch(self) -> None:
        """A new batch begins; the clock of the one before ends, unless `barrier` has ended it."""
        if self._drawn:
            self._end()
        self._drawn = True

    def barrier(self) -> None:
        """End this worker's clock; asynchronous, so it waits for nobody."""
        self._end()

    def _end(self) -> None:
        self._clock, self._sequence, self._drawn = self._clock + 1, 0, False
        if self.worker is not None:
            self.tables.clocks[self.worker] = self._clock

    def pull(self, key: str, rows: Rows | None = None, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """A copy of the table, or of those of its rows; no push is seen in part within a partition.

        The whole table is copied into `out`, where one of its shape and dtype is given.
        """
        table = self.tables.table(key)
        layout, control = table.layout, table.control
        if rows is None:
            whole = np.empty((layout.rows, layout.width), layout.dtype) if out is None else out
            flat = whole.reshape(layout.rows, layout.width)
            for partition in range(table.partitions):
                with _Held(self.tables, key, partition, fcntl.LOCK_SH):
                    first, last = table.bounds[partition], table.bounds[partition + 1]
                    flat[first:last] = table.arrays[0, control[partition, CURRENT], first:last]
            return whole.reshape(layout.shape)
        rows = table.rows(rows)
        found = np.empty((len(rows), layout.width), layout.dtype)
        held = [_Held(self.tables, key, partition, fcntl.LOCK_SH) for partition in range(table.partitions)]
        try:
            for each in held:
                each.__enter__()
            _gather(table.arrays[0], control, table.bounds, rows, found)
        finally:
            for each in held:
                each.__exit__()
        return found.reshape(len(rows), *layout.shape[1:])

    def push(self, key: str, delta: ArrayLike, rows: Rows | None = None) -> None:
        """Give `delta` to the table's aggregation, once in each partition. Rows must be distinct."""
        if self.worker is None:
            raise Misuse("a reader hosts no worker", field="worker", fix="Give the state a worker's number.")
        table = self.tables.table(key)
        order = self._clock * _SEQUENCES + self._sequence
        if rows is None:
            values = table.delta(delta, None)
            self._sequence += 1
            for partition in range(table.partitions):
                with _Held(self.tables, key, partition, fcntl.LOCK_EX):
                    if self._fresh(table, partition, order):
                        self._prepare_whole(table, partition, values)
                        self._commit(table, partition, order, whole=True)
                        table.finish(partition)
            return
        rows = table.rows(rows)
        values = table.delta(delta, rows)
        self._sequence += 1
        places = np.empty(len(rows), np.int64)
        starts = np.empty(table.partitions + 1, np.int64)
        _deal(rows, table.bounds, places, starts)
        for partition in range(table.partitions):
            mine = places[starts[partition] : starts[partition + 1]]
            if len(mine):
                with _Held(self.tables, key, partition, fcntl.LOCK_EX):
                    if self._fresh(table, partition, order):
                        self._prepare_rows(table, partition, rows, values, mine)
                        self._commit(table, partition, order, whole=False)
                        table.finish(partition)

    def exchange(self, key: str, own: NDArray[Any], base: NDArray[Any]) -> None:
        """Push how `own` differs from `base`, pull the table into both: one pass over it, each push once.

        Only for a table whose aggregation is `add`. Where a partition had the push already, it is dropped and
        the pull alone is done.
        """
        if self.worker is None:
            raise Misuse("a reader hosts no worker", field="worker", fix="Give the state a worker's number.")
        table = self.tables.table(key)
        if table.layout.aggregate != "add":
            raise Misuse(
                f"{table.layout.aggregate} takes gradients, not differences", source=key, field="aggregate",
                fix="Use a table that adds.",
            )  # fmt: skip
        mine, bases = table.own(own), table.own(base)
        order = self._clock * _SEQUENCES + self._sequence
        self._sequence += 1
        ahead = self.worker * table.partitions // self.tables.workers  # so that workers do not queue up
        for turn in range(table.partitions):
            partition = (turn + ahead) % table.partitions
            first, last = int(table.bounds[partition]), int(table.bounds[partition + 1])
            with _Held(self.tables, key, partition, fcntl.LOCK_EX):
                now = int(table.control[partition, CURRENT])
                current = table.arrays[0, now, first:last].reshape(-1)
                parts = mine[first:last].reshape(-1), bases[first:last].reshape(-1)
                if self._fresh(table, partition, order):
                    table.control[partition, COUNT] = 1 - now
                    _exchange(current, table.arrays[0, 1 - now, first:last].reshape(-1), *parts)
                    self._commit(table, partition, order, whole=True)
                    table.finish(partition)
                else:
                    parts[0][:] = current
                    parts[1][:] = current

    def _fresh(self, table: SharedTable, partition: int, order: int) -> bool:
        control = table.control[partition]
        assert self.worker is not None
        if order > control[LAST + self.worker]:
            return True
        control[DUPLICATES] += 1
        return False

    def _prepare_whole(self, table: SharedTable, partition: int, delta: NDArray[Any]) -> None:
        """Write what the partition will be to its other array."""
        first, last = int(table.bounds[partition]), int(table.bounds[partition + 1])
        now = int(table.control[partition, CURRENT])
        table.control[partition, COUNT] = 1 - now
        old, new = table.arrays[:, now, first:last], table.arrays[:, 1 - now, first:last]
        if table.layout.aggregate == "add":
            np.add(old[0], delta[first:last], out=new[0])
            return
        new[:] = old
        every = table.every[: last - first]
        table.aggregation.kernel(new[0], every, delta[first:last], *new[1:], *table.options)

    def _prepare_rows(
        self, table: SharedTable, partition: int, rows: Rows, delta: NDArray[Any], mine: NDArray[np.int64]
    ) -> None:
        """Write what the rows will be to the partition's record."""
        first, last = int(table.bounds[partition]), int(table.bounds[partition + 1])
        count = len(mine)
        record, news = table.record_rows[first:last], table.records[:, first:last]
        scratch = self._scratch.get(table.layout.dtype)
        if scratch is None or scratch.size < count * table.width:
            scratch = np.empty(2 * count * table.width, table.layout.dtype)
            self._scratch[table.layout.dtype] = scratch
        given = scratch[: count * table.width].reshape(count, table.width)
        _take_rows(rows, delta, mine, record, given)
        now = int(table.control[partition, CURRENT])
        for kind in range(len(news)):
            _read_rows(table.arrays[kind, now], record, count, news[kind])
        table.aggregation.kernel(news[0], table.every[:count], given, *news[1:], *table.options)
        table.control[partition, COUNT] = count

    def _commit(self, table: SharedTable, partition: int, order: int, whole: bool) -> None:
        """From the last store on, the push is taken in, whatever happens to this process."""
        control = table.control[partition]
        control[WORKER], control[ORDER], control[WHOLE] = self.worker, order, whole
        control[COMMITTED] = 1

    def snapshot(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """All tables, their slots and every worker's clock, as named arrays and a JSON header.

        For `restore_tables`. Exact while no worker is in the middle of a batch.
        """
        arrays: dict[str, NDArray[Any]] = {"clocks": np.array(self.tables.clocks)}
        layouts = self.tables.layouts()
        for key in layouts:
            table = self.tables.table(key)
            for partition in range(table.partitions):
                with _Held(self.tables, key, partition, fcntl.LOCK_SH):
                    first, last = table.bounds[partition], table.bounds[partition + 1]
                    now = table.control[partition, CURRENT]
                    arrays[f"{key}/{partition}"] = table.arrays[:, now, first:last].copy()
        header = {"workers": self.tables.workers, "partitions": self.tables.partitions}
        return arrays, {**header, "layouts": msgspec.to_builtins(list(layouts.values()))}

    def dropped(self) -> int:
        """How many times a partition dropped a push that it had had."""
        keys = self.tables.layouts()
        return sum(int(self.tables.table(key).control[:, DUPLICATES].sum()) for key in keys)


def restore_tables(
    arrays: Mapping[str, NDArray[Any]],
    header: Mapping[str, Any],
    directory: str | os.PathLike[str] | None = None,
) -> SharedTables:
    """New sequenced tables as `SequencedState.snapshot` found them; every worker goes on at its clock."""
    tables = SharedTables.create(
        workers=header["workers"], sequenced=True, partitions=header["partitions"], directory=directory
    )
    tables.clocks[:] = arrays["clocks"]
    for layout in msgspec.convert(header["layouts"], list[Layout]):
        options = {name: np.asarray(value) for name, value in layout.options.items()}
        tables.initialize(layout.key, np.zeros(layout.shape, layout.dtype), layout.aggregate, **options)
        table = tables.table(layout.key)
        for partition in range(table.partitions):
            first, last = table.bounds[partition], table.bounds[partition + 1]
            table.arrays[:, 0, first:last] = arrays[f"{layout.key}/{partition}"]
        table.control[:, LAST : LAST + tables.workers] = arrays["clocks"] * _SEQUENCES - 1
    return tables
