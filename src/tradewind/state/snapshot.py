"""A state at rest: plain arrays and a header of plain JSON values; who keeps it on disk is not our affair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.errors import Corrupt, Misuse
from tradewind.state.consistency import BulkSynchronous, Consistency
from tradewind.state.partition import Routing, partitions_of, range_bounds
from tradewind.state.table import Layout

FORMAT = 1
"""The version of what `Snapshot.header` and the names of its arrays mean."""


class WorkerRecord(Struct, frozen=True):
    """Where a logical worker stood."""

    clock: int
    """Batches of its part that are in the tables: the durable read cursor."""
    sequence: int
    """Pushes of the next batch that are in as well; 0 in bulk-synchronous mode."""
    left: bool = False
    """Whether it had finished its part."""
    forsaken: bool = False
    """Whether it was given up."""
    tenure: int = 0
    """How many hosts it had had."""


class Part(Struct, frozen=True):
    """What one server's part of a merged snapshot knew of the workers."""

    owned: tuple[int, ...]
    """The partitions that it held."""
    workers: tuple[WorkerRecord, ...]


class Header(Struct, frozen=True):
    """What of a state is not an array."""

    version: int
    epoch: int
    rounds: int
    """Bulk-synchronous rounds that are in."""
    consistency: Consistency
    partitions: int
    owned: tuple[int, ...]
    """The partitions that the arrays hold."""
    tables: tuple[Layout, ...]
    workers: tuple[WorkerRecord, ...]
    pushes: int
    """Pushes taken in since the job began."""
    config: dict[str, Any] = {}
    """The caller's own: the job's settings, the schema of its data."""
    parts: tuple[Part, ...] = ()
    """Where the workers stood on each server, if not everywhere alike; `workers` has the least of them."""


class Snapshot(Struct, frozen=True, eq=False):
    """All of a state, or one server's part of it.

    The arrays of table k are `k/values`, `k/slot.NAME`, and for a sparse table `k/rows` and `k/default`; a
    dense table's rows lie partition after partition, (rows, width).
    """

    header: Header
    arrays: dict[str, NDArray[Any]]

    def plain(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """The arrays, and the header as plain JSON values."""
        return self.arrays, msgspec.to_builtins(self.header)

    def positions(self) -> tuple[int, ...]:
        """Every worker's read cursor: the batches of its part that are in."""
        return tuple(worker.clock for worker in self.header.workers)


def snapshot_of(arrays: dict[str, NDArray[Any]], header: dict[str, Any]) -> Snapshot:
    """The snapshot that `plain` took apart; Corrupt if it is none, Misuse if a later version wrote it."""
    version = header.get("version")
    if isinstance(version, int) and version > FORMAT:
        raise Misuse(
            f"a snapshot of format {version}; this Tradewind reads up to {FORMAT}",
            field="version",
            fix="Use the newer version that wrote it.",
        )
    try:
        head = msgspec.convert(header, Header)
    except msgspec.ValidationError as problem:
        raise Corrupt(f"this is no snapshot of a state: {problem}") from problem
    for layout in head.tables:
        names = {f"{layout.key}/values"} | ({f"{layout.key}/rows"} if layout.sparse else set())
        for name in names:
            if name not in arrays:
                raise Corrupt(f"the snapshot lacks the array {name}")
        values = arrays[f"{layout.key}/values"]
        if str(values.dtype) != layout.dtype or values.ndim != 2 or values.shape[1] != layout.width:
            raise Corrupt(f"{layout.key} is {values.dtype} {values.shape}, its header says {layout}")
        if not layout.sparse:
            sizes = np.diff(range_bounds(layout.rows, head.partitions))
            rows = int(sizes[list(head.owned)].sum())
            if len(values) != rows:
                raise Corrupt(f"{layout.key} has {len(values)} rows, its header says {rows}")
    return Snapshot(head, dict(arrays))


def least(records: Sequence[WorkerRecord]) -> WorkerRecord:
    """Where a worker goes on that stands at `records` on the several servers.

    One whose leaving is not known everywhere is hosted once more, finds nothing to do, and leaves.
    """
    behind = min(records, key=lambda record: (record.clock, record.sequence))
    return WorkerRecord(
        behind.clock,
        behind.sequence,
        all(record.left for record in records),
        any(record.forsaken for record in records),
        max(record.tenure for record in records),
    )


def _positions(head: Header) -> list[tuple[int, int, bool]]:
    return [(each.clock, each.sequence, each.forsaken) for each in head.workers]


def merged(parts: Sequence[Snapshot]) -> Snapshot:
    """One snapshot of all servers' parts.

    Misuse if they are not of one moment: of different epochs or rounds. Bulk-synchronous servers are cut at
    one round. In the other modes a worker may stand at different clocks on different servers; then every
    part's own records are kept, since a worker that goes on at the least of them finds what it does again
    dropped where it is in.
    """
    if not parts:
        raise Misuse("no parts to merge", field="parts", fix="Give every server's snapshot.")
    first = parts[0].header
    bulk = isinstance(first.consistency, BulkSynchronous)
    for part in parts[1:]:
        head = part.header
        if (head.epoch, head.rounds) != (first.epoch, first.rounds) or (
            (bulk and _positions(head) != _positions(first))
            or [each.key for each in head.tables] != [each.key for each in first.tables]
        ):  # fmt: skip
            raise Misuse(
                "the servers' snapshots are of different moments",
                field="parts",
                fix="Take them in one epoch, at one round.",
            )
    owned = sorted(p for part in parts for p in part.header.owned)
    if owned != list(range(first.partitions)):
        raise Misuse(
            "partitions are missing or twice", field="parts", fix="Give every server's snapshot once."
        )
    arrays: dict[str, NDArray[Any]] = {}
    for layout in first.tables:
        names = [name for name in parts[0].arrays if name.rpartition("/")[0] == layout.key]
        if layout.sparse:
            rows = np.concatenate([part.arrays[f"{layout.key}/rows"] for part in parts])
            order = np.argsort(rows, kind="stable")
            for name in names:
                whole = np.concatenate([part.arrays[name] for part in parts])
                arrays[name] = (
                    parts[0].arrays[name] if name.endswith("/default") else np.ascontiguousarray(whole[order])
                )
            continue
        bounds = range_bounds(layout.rows, first.partitions)
        for name in names:
            like = parts[0].arrays[name]
            out = np.empty((layout.rows, layout.width), like.dtype)
            for part in parts:
                at = 0
                for p in part.header.owned:
                    size = int(bounds[p + 1] - bounds[p])
                    out[bounds[p] : bounds[p + 1]] = part.arrays[name][at : at + size]
                    at += size
            arrays[name] = out
    apart = any(_positions(part.header) != _positions(first) for part in parts)
    head = msgspec.structs.replace(
        first,
        owned=tuple(range(first.partitions)),
        workers=tuple(least(each) for each in zip(*(part.header.workers for part in parts), strict=True)),
        pushes=max(part.header.pushes for part in parts),
        parts=tuple(Part(part.header.owned, part.header.workers) for part in parts) if apart else (),
    )
    return Snapshot(head, arrays)


def parted(whole: Snapshot, routing: Routing) -> list[Snapshot]:
    """One snapshot a server, of a whole one; the opposite of `merged`."""
    head = whole.header
    if len(routing.owners) != head.partitions or head.owned != tuple(range(head.partitions)):
        raise Misuse("the routing does not fit the snapshot", field="routing", fix="Use its partitions.")
    stood = {part.owned: part.workers for part in head.parts}
    if stood and set(stood) != {routing.owned(server) for server in range(routing.servers)}:
        raise Misuse(
            f"the {len(stood)} servers of this state stood at different clocks",
            field="shards",
            fix="Go on with as many shards, or let the job come to its end first.",
        )
    parts = []
    for server in range(routing.servers):
        owned = routing.owned(server)
        mine = np.zeros(head.partitions, bool)
        mine[list(owned)] = True
        arrays: dict[str, NDArray[Any]] = {}
        for layout in head.tables:
            names = [name for name in whole.arrays if name.rpartition("/")[0] == layout.key]
            rows = whole.arrays[f"{layout.key}/rows"] if layout.sparse else np.arange(layout.rows)
            keep = mine[partitions_of(rows, layout.rows, head.partitions, layout.sparse)]
            for name in names:
                array = whole.arrays[name]
                arrays[name] = array if name.endswith("/default") else np.ascontiguousarray(array[keep])
        mine_head = msgspec.structs.replace(
            head, owned=owned, workers=stood.get(owned, head.workers), parts=()
        )
        parts.append(Snapshot(mine_head, arrays))
    return parts
