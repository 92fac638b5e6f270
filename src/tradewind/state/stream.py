"""What goes from the host that serves a shard to the host of its backup: images, one at a time."""

from __future__ import annotations

from tradewind.state import messages as says
from tradewind.state.codec import Buffer
from tradewind.state.consistency import BulkSynchronous
from tradewind.state.engine import Engine
from tradewind.state.image import cut
from tradewind.state.link import Link


class Stream:
    """Sends a shard's images to its backup, and lets the shard go on as they are acknowledged.

    Bulk-synchronous, an image is cut whenever a round is over, and no round may be over before the image of
    the one before it is committed: so a loss costs one round at most. In the other modes one is cut at the
    end of a clock as soon as the last one is acknowledged: what happens meanwhile is in the next.
    """

    def __init__(self, engine: Engine, link: Link) -> None:
        self.engine, self.link = engine, link
        self._bulk = isinstance(engine.consistency, BulkSynchronous)
        self._life = ""
        self._number = self._lineage = 0
        self._changes = engine.changes
        self._standing: tuple[object, ...] = ()
        self._clocks: tuple[int, ...] = ()
        self._left: frozenset[int] = frozenset()
        self._leaving: frozenset[int] = frozenset()
        self._rounds = 0

    def begin(self, lineage: int, life: str) -> None:
        """Stream from now on, serving since the epoch `lineage`; the backup has the same rows."""
        self._life, self._lineage, self._number = life, lineage, 0
        # but perhaps not the same news of who has left: an image goes at once
        self._changes, self._standing = -1, ()
        self.link.abandon()
        for table in self.engine.tables.values():
            table.watch()
        self._clocks = tuple(record.clock for record in self.engine.records())
        self._rounds = self.engine.rounds
        self._leaving = frozenset()
        self._acknowledged()

    @property
    def flushed(self) -> bool:
        """Whether the backup has all that the shard has."""
        return not self.link.outstanding and self._changes == self.engine.changes

    def knows_left(self, worker: int) -> bool:
        """Whether the backup knows that the worker has left."""
        return self._lineage > 0 and worker in self._left

    def step(self) -> bool:
        """Take an acknowledgement, send the next image if it is due; whether the shard may go on for it.

        RolledBack if the backup takes no images from here any more: another serves the shard.
        """
        moved = False
        if self.link.outstanding:
            if self.link.poll() is None:
                return False
            self._acknowledged()
            moved = True
        if self._due():
            self._send()
        return moved

    def _due(self) -> bool:
        if self._lineage == 0 or self._changes == self.engine.changes:
            return False
        # between two clocks only, unless somebody waits for all there is
        return self._bulk or self.engine.frozen or self._standing != self._stands()

    def _stands(self) -> tuple[object, ...]:
        records = self.engine.records()
        who = tuple((record.clock, record.left, record.forsaken) for record in records)
        return (len(self.engine.tables), who)

    def _send(self) -> None:
        engine = self.engine
        self._changes, self._standing = engine.changes, self._stands()
        image = cut(engine)
        self._rounds = image.head.rounds
        self._clocks = tuple(record.clock for record in image.head.workers)
        self._leaving = frozenset(w for w, record in enumerate(image.head.workers) if record.left)
        self._number += 1
        frames: list[Buffer] = []
        packed = [self.link.pack(array, frames) for array in image.arrays]
        self.link.post([says.Replicate(self._life, self._lineage, self._number, image.head, packed)], frames)

    def _acknowledged(self) -> None:
        self._left = self._leaving
        if self._bulk:
            self.engine.allow(self._rounds + 1)
        else:
            self.engine.backed = self._clocks
            self.engine.turn += 1
