"""Tables in memory that the processes of a machine share: files, mapped by everyone, and their locks.

They lie in a directory of /dev/shm (any directory does). Locks are the kernel's, which lets go of them when
their holder dies. The directory goes when its creator closes it, or after a crash with the next
`SharedTables.create`: nobody then holds the lock that every user of it holds.
"""

from __future__ import annotations

import fcntl
import json
import math
import mmap
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from tradewind.algorithms.aggregation import aggregation_called, hyperparameters
from tradewind.errors import Misuse, suggestion
from tradewind.state.partition import range_bounds
from tradewind.state.table import Layout, Rows, layout_of

_PREFIX = "tradewind-state-"
_PAGE = 4096
COMMITTED, WHOLE, WORKER, ORDER, COUNT, CURRENT, DUPLICATES, LAST = range(8)
"""A partition's control words: whether its record is committed, whether that is of the whole partition, whose
it is, its place in that worker's order, how many rows it has (of a whole one: which array becomes current),
which of the two arrays is current, how many pushes were dropped as duplicates; and from `LAST` on the last
place taken in of each worker."""

_open: weakref.WeakSet[SharedTables] = weakref.WeakSet()


@njit(cache=True, nogil=True)
def write_rows(values: Any, rows: Any, count: Any, new: Any) -> None:
    """Copy the first `count` rows of `new` to values[rows]."""
    for k in range(count):
        for j in range(values.shape[1]):
            values[rows[k], j] = new[k, j]


class SharedTable:
    """One table's arrays in shared memory, and what lies beside them."""

    def __init__(self, path: Path, layout: Layout, workers: int, partitions: int, sequenced: bool) -> None:
        self.layout = layout
        dtype = np.dtype(layout.dtype)
        self.aggregation = aggregation_called(layout.aggregate, dtype)
        self.options = hyperparameters(layout.aggregate, layout.options, layout.width, dtype)
        rows, width, copies = layout.rows, layout.width, 2 if sequenced else 1
        self.partitions = max(1, min(partitions, rows))
        self.bounds = np.asarray(range_bounds(rows, self.partitions), np.int64)
        kinds = 1 + len(self.aggregation.slots)
        record = rows if sequenced else 0
        words = -(-(LAST + workers) // 8) * 8  # whole cache lines, so that partitions do not share one
        shapes: list[tuple[Any, tuple[int, ...]]] = [
            (np.int64, (self.partitions, words)),
            (np.int64, (record,)),
            (dtype, (kinds, copies, rows, width)),
            (dtype, (kinds, record, width)),
        ]
        places, size = [], 0
        for kind, shape in shapes:
            places.append(size)
            size += -(-math.prod(shape) * np.dtype(kind).itemsize // _PAGE) * _PAGE
        self.control, self.record_rows, self.arrays, self.records = (
            np.frombuffer(buffer, kind, math.prod(shape), place).reshape(shape)
            for buffer in [_mapped(path, size)]
            for (kind, shape), place in zip(shapes, places, strict=True)
        )
        self.every = np.arange(rows)

    @property
    def width(self) -> int:
        """Values in a row."""
        return self.layout.width

    def finish(self, partition: int) -> None:
        """Carry a committed record out. Done twice, or by another process, it comes to the same."""
        control = self.control[partition]
        if control[WHOLE]:
            control[CURRENT] = control[COUNT]
        else:
            first, last = int(self.bounds[partition]), int(self.bounds[partition + 1])
            rows, now = self.record_rows[first:last], int(control[CURRENT])
            for kind in range(len(self.records)):
                write_rows(self.arrays[kind, now], rows, control[COUNT], self.records[kind, first:last])
        control[LAST + control[WORKER]] = control[ORDER]
        control[COMMITTED] = 0

    def rows(self, given: Rows) -> Rows:
        """`given` as whole numbers; Misuse unless they are rows of the table."""
        rows = np.ascontiguousarray(given)
        if rows.ndim != 1 or (rows.dtype.kind not in "iu" and rows.size):
            raise Misuse(
                "rows must be whole numbers (n,)", source=self.layout.key, field="rows", fix="Convert them."
            )
        rows = rows.astype(np.int64, copy=False)
        if len(rows) and (int(rows.min()) < 0 or int(rows.max()) >= self.layout.rows):
            wrong = rows[(rows < 0) | (rows >= self.layout.rows)][0]
            raise Misuse(
                f"no row {wrong} in a table of {self.layout.rows}", source=self.layout.key, field="rows",
                fix=f"Give rows from 0 to {self.layout.rows - 1}.",
            )  # fmt: skip
        return rows

    def own(self, array: NDArray[Any]) -> NDArray[Any]:
        """A caller's whole copy of the table as rows (n, width), not copied; Misuse unless it is one."""
        layout = self.layout
        if (
            array.shape != layout.shape
            or array.dtype != np.dtype(layout.dtype)
            or not array.flags.c_contiguous
        ):
            raise Misuse(
                f"{array.dtype} {array.shape} is no copy of the table", source=layout.key, field="own",
                fix="Give what pull answered.",
            )  # fmt: skip
        return array.reshape(layout.rows, layout.width)

    def delta(self, given: ArrayLike, rows: Rows | None) -> NDArray[Any]:
        """`given` as rows (n, width) of the table's type; Misuse unless it fits."""
        layout = self.layout
        delta = np.asarray(given)
        shape = layout.shape if rows is None else (len(rows), *layout.shape[1:])
        if delta.shape != shape:
            raise Misuse(
                f"a delta of shape {delta.shape}, not {shape}", source=layout.key, field="delta",
                fix="Push what the table holds, for the rows named.",
            )  # fmt: skip
        if delta.size and not np.can_cast(delta.dtype, np.dtype(layout.dtype), "same_kind"):
            raise Misuse(
                f"{delta.dtype} into a table of {layout.dtype}", source=layout.key, field="delta",
                fix="Convert it yourself if that is meant.",
            )  # fmt: skip
        count = layout.rows if rows is None else len(rows)
        return np.ascontiguousarray(delta, layout.dtype).reshape(count, layout.width)


def _mapped(path: Path, size: int) -> mmap.mmap:
    """The file's memory, shared by everyone who maps it; made if it is absent."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(descriptor).st_size < size:
            os.posix_fallocate(descriptor, 0, size)  # now, not as a SIGBUS later
        # all pages at once: a fault each costs more than the copying does
        flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
        return mmap.mmap(descriptor, size, flags)
    except OSError as error:
        raise Misuse(
            f"no room for {size >> 20} MiB of shared memory ({error.strerror})", source=str(path),
            fix="Give a directory with more room.",
        ) from None  # fmt: skip
    finally:
        os.close(descriptor)


class SharedTables:
    """A directory of shared tables: what `InPlaceState` and `SequencedState` work on.

    Made by `create`, opened by any other process of the machine by `attach`. One thread uses one at a time.
    """

    def __init__(self, path: Path, *, owner: bool) -> None:
        self.path, self.owner = path, owner
        settings = json.loads((path / "settings.json").read_text())
        self.workers: int = settings["workers"]
        self.partitions: int = settings["partitions"]
        self.sequenced: bool = settings["sequenced"]
        self._tables: dict[str, SharedTable] = {}
        self._locks: dict[str, int] = {}
        self._guards: dict[str, tuple[int, ...]] = {}
        # held as long as anyone lives who uses the directory; see `_sweep`
        fcntl.flock(self.lock("users"), fcntl.LOCK_SH)
        self.clocks: NDArray[np.int64] = np.frombuffer(_mapped(path / "clocks", _PAGE), np.int64)[
            : self.workers
        ]
        self._pid = os.getpid()
        _open.add(self)

    @classmethod
    def create(
        cls,
        *,
        workers: int,
        sequenced: bool,
        partitions: int = 2,
        directory: str | os.PathLike[str] | None = None,
    ) -> SharedTables:
        """New tables for logical workers 0 to `workers` - 1, under `directory` (/dev/shm, if there is one).

        `sequenced` makes room for the records of `SequencedState`. What crashed jobs left there is removed.
        """
        if not 1 <= workers <= _PAGE // 8 or partitions < 1:
            raise Misuse(
                f"{workers} workers, {partitions} partitions",
                field="workers",
                fix=f"Give 1 to {_PAGE // 8}, and 1.",
            )
        root = Path(directory or ("/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()))
        _sweep(root)
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        settings = {"workers": workers, "partitions": partitions, "sequenced": sequenced}
        partial = path / ".settings"
        partial.write_text(json.dumps(settings))
        os.replace(partial, path / "settings.json")
        return cls(path, owner=True)

    @classmethod
    def attach(cls, path: str | os.PathLike[str]) -> SharedTables:
        """The tables that another process made at `path`; Misuse if there are none."""
        if not (Path(path) / "settings.json").exists():
            raise Misuse("there are no shared tables here", source=str(path), fix="Give a live job's path.")
        return cls(Path(path), owner=False)

    def close(self) -> None:
        """Let go; may be called twice. The creator removes the tables; those who have them open keep them."""
        self._tables.clear()
        for descriptor in self._locks.values():
            os.close(descriptor)
        self._locks.clear()
        self._guards.clear()
        if self.owner and self._pid == os.getpid():
            shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self) -> SharedTables:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def initialize(self, key: str, value: ArrayLike, aggregate: str = "add", **options: Any) -> None:
        """Register a dense table with its first value; Misuse if `key` exists."""
        layout, rows = layout_of(key, value, aggregate, **options)
        if layout.sparse:
            raise Misuse("shared tables are dense", source=key, field="sparse", fix="Leave it out.")
        lock = self.lock("catalogue")
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            known = self._catalogue()
            if key in known:
                raise Misuse(f"the table {key!r} exists", field="key", fix="Initialize each table once.")
            path = self.path / f"table-{len(known)}"
            path.unlink(missing_ok=True)  # of one who died before it was entered
            table = SharedTable(path, layout, self.workers, self.partitions, self.sequenced)
            table.arrays[0, 0] = rows
            table.control[:, LAST:] = -1
            partial = self.path / ".catalogue"
            partial.write_bytes(msgspec.json.encode([*known.values(), layout]))
            os.replace(partial, self.path / "catalogue.json")
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)

    def layouts(self) -> dict[str, Layout]:
        """The tables that there are."""
        return self._catalogue()

    def table(self, key: str) -> SharedTable:
        """A table's arrays; Misuse if there is none of that name."""
        if self._pid != os.getpid():
            raise Misuse("shared tables do not go through a fork", field="tables", fix="Attach in the child.")
        if key not in self._tables:
            known = self._catalogue()
            if key not in known:
                fix = suggestion(key, known) if known else "Initialize it first."
                raise Misuse(f"there is no table {key!r}", field="key", fix=fix)
            path = self.path / f"table-{list(known).index(key)}"
            self._tables[key] = SharedTable(path, known[key], self.workers, self.partitions, self.sequenced)
        return self._tables[key]

    def _catalogue(self) -> dict[str, Layout]:
        try:
            content = (self.path / "catalogue.json").read_bytes()
        except FileNotFoundError:
            return {}
        return {layout.key: layout for layout in msgspec.json.decode(content, type=list[Layout])}

    def lock(self, name: str) -> int:
        """An open file to lock; one of this object's own, since the kernel's locks belong to the opening."""
        if name not in self._locks:
            path = self.path / f"{name}.lock"
            self._locks[name] = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        return self._locks[name]

    def guards(self, key: str) -> tuple[int, ...]:
        """The files to lock, one a partition of a table."""
        if key not in self._guards:
            place = list(self._catalogue()).index(key)
            names = (f"table-{place}-{partition}" for partition in range(self.table(key).partitions))
            self._guards[key] = tuple(self.lock(name) for name in names)
        return self._guards[key]

    def _forked(self) -> None:
        """In a forked child: let go of the parent's locks, which would otherwise outlive the parent."""
        for descriptor in self._locks.values():
            os.close(descriptor)
        self._locks.clear()
        self._guards.clear()


def _release_in_child() -> None:
    for tables in list(_open):
        tables._forked()


os.register_at_fork(after_in_child=_release_in_child)


def _sweep(root: Path) -> None:
    """Remove the directories under `root` that no living process has open."""
    for path in root.glob(_PREFIX + "*"):
        try:
            descriptor = os.open(path / "users.lock", os.O_RDWR)
        except OSError:
            continue  # being made, or removed, or another user's
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)
        shutil.rmtree(path, ignore_errors=True)
