"""What changed in a shard since the last image of it: rows as they are now, and where the workers stand.

An image holds values, not deltas: taking one in twice changes nothing, and a backup that has taken in all of
them is the shard itself, bit for bit, without repeating any aggregation.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from numpy.typing import NDArray

from tradewind.state.engine import Engine
from tradewind.state.snapshot import WorkerRecord
from tradewind.state.stamp import Receipt
from tradewind.state.table import Layout, Table


class Change(Struct, frozen=True, array_like=True):
    """What of a table is in an image."""

    key: str
    names: tuple[str, ...]
    """Of its arrays, in their order."""
    layout: Layout | None = None
    """Given where the table is sent whole."""
    token: str = ""
    """The request that made it, given with the layout."""


class ImageHead(Struct, frozen=True, array_like=True):
    """What of an image is not an array."""

    rounds: int
    """Bulk-synchronous rounds that are in."""
    pushes: int
    """Pushes taken in since the job began."""
    workers: tuple[WorkerRecord, ...]
    changes: tuple[Change, ...]


class Image(Struct, frozen=True, eq=False):
    """What `cut` makes of an engine, and `lay` takes over into another."""

    head: ImageHead
    arrays: tuple[NDArray[Any], ...]
    """All arrays of all changes, one after another."""


def cut(engine: Engine) -> Image:
    """What changed since the last call; what was never sent goes whole, and is watched from now on."""
    changes: list[Change] = []
    arrays: list[NDArray[Any]] = []
    for key, table in engine.tables.items():
        if table.watched:
            named = table.difference()
            change = Change(key, tuple(named))
        else:
            named = table.arrays()
            change = Change(key, tuple(named), table.layout, engine.tokens.get(key, ""))
            table.watch()
        if named:
            changes.append(change)
            arrays += named.values()
    head = ImageHead(engine.rounds, engine.counts[Receipt.APPLIED], engine.records(), tuple(changes))
    return Image(head, tuple(arrays))


def lay(engine: Engine, image: Image) -> None:
    """Make `engine` what the other was when the image was cut."""
    arrays = iter(image.arrays)
    for change in image.head.changes:
        named = {name: next(arrays) for name in change.names}
        if change.layout is None:
            engine.table(change.key).take_over(named)
            continue
        first = named["default"] if change.layout.sparse else named["values"]
        table = Table(change.layout, first, engine.partitions, engine.owned)
        table.load(named)
        engine.tables[change.key] = table
        engine.tokens[change.key] = change.token
    engine.stand(image.head.workers, image.head.rounds, image.head.pushes)
