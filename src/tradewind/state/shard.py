"""A shard at one host: served there, or kept as the backup of one that another host serves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tradewind.state import messages as says
from tradewind.state.codec import Packed
from tradewind.state.consistency import BulkSynchronous
from tradewind.state.engine import Engine
from tradewind.state.image import Image, ImageHead, lay
from tradewind.state.link import RolledBack
from tradewind.state.messages import Reply
from tradewind.state.server import Answer, Pending, Refused, Server
from tradewind.state.snapshot import WorkerRecord
from tradewind.state.stream import Stream


class Shard(Server):
    """Answers what is said about one shard. A backup answers nobody but controllers and its stream.

    `stream` leads to the backup of a shard that is served here; None where this host needs none.
    """

    def __init__(self, engine: Engine, *, stream: Stream | None = None) -> None:
        super().__init__(engine)
        self.serving = True
        self.permits: Callable[[int], bool] = lambda epoch: False
        """Whether an epoch is the one that shards are being placed in, and may be fetched for."""
        self.arrived = -1
        """The epoch for which the shard was fetched."""
        self.stream = stream
        self.life = ""
        """Tells one life of the reliable host from another; epochs may come again after a restart."""
        self.lineage = engine.epoch
        """The epoch in which whoever serves the shard began to."""
        self._images = 0
        self._staged: list[Image] = []

    # as a backup

    @property
    def staged(self) -> int:
        """The last round whose image is here."""
        return self._staged[-1].head.rounds if self._staged else self.engine.rounds

    def commit(self, rounds: int | None) -> None:
        """Take in the staged images up to that round; all of them, if None."""
        while self._staged and (rounds is None or self._staged[0].head.rounds <= rounds):
            lay(self.engine, self._staged.pop(0))

    def abandon(self, epoch: int) -> None:
        """Take nothing more from whoever served the shard so far, and forget what is not committed."""
        self.lineage, self._images = epoch, 0
        self._staged.clear()
        self.engine.fence(epoch)

    def become(self, serving: bool, epoch: int) -> list[Answer]:
        """Change roles, between two epochs; what those are told who waited."""
        self.abandon(epoch)
        self.serving = serving
        self.engine.limit, self.engine.backed = None, None
        return [] if serving else self.dismiss()

    def dismiss(self) -> list[Answer]:
        """Tell all who wait to look elsewhere."""
        answers = [
            self._answer(pending.peer, Reply(pending.request.number, "moved"))
            for pending in self._parked.values()
        ]
        self._parked.clear()
        return answers

    # as the one who serves it

    def stream_on(self) -> bool:
        """Have the stream go on; False if another serves the shard by now."""
        if self.stream is not None:
            try:
                self.stream.step()
            except RolledBack:
                return False
        return True

    def _do(self, pending: Pending, operation: says.Operation) -> bool:
        match operation:
            case says.Fence(epoch):
                self.engine.fence(epoch)
                self._same(epoch)
                pending.value.update(self.standing())
            case says.CloseOut(epoch, rounds, clocks):
                self._same(epoch)
                if self.engine.frozen:
                    self.engine.close_out(rounds, clocks)
                pending.value.update(self.standing())
            case says.Flush(epoch):
                self._same(epoch)
                pending.value["flushed"] = self.stream is None or self.stream.flushed
            case says.Open(epoch, workers):
                self._same(epoch)
                self._open(epoch, workers)
            case says.Fetch(epoch):
                if not self.permits(epoch):
                    raise Refused("rolled_back")
                arrays, head = self.engine.snapshot().plain()
                pending.value.update(
                    header=head, names=list(arrays), tokens=self.engine.tokens, life=self.life
                )
                pending.arrays += arrays.values()
            case says.Replicate(life, lineage, number, head, arrays):
                if self.serving or (life, lineage) != (self.life, self.lineage):
                    raise Refused("moved")
                return self._replicate(pending, number, head, arrays)
            case says.Status():
                return super()._do(pending, operation)
            case _ if not self.serving:
                raise Refused("moved")
            case says.Leave() if pending.request.worker is not None:
                super()._do(pending, operation)
                # nobody would host it again if this were lost
                return self.stream is None or self.stream.knows_left(pending.request.worker)
            case _:
                return super()._do(pending, operation)
        return True

    def _same(self, epoch: int) -> None:
        if epoch != self.engine.epoch:
            raise Refused("rolled_back")

    def standing(self) -> dict[str, Any]:
        """Where the shard stands by what is in its tables, as plain values."""
        engine = self.engine
        return {
            "rounds": engine.rounds,
            "workers": msgspec.to_builtins(engine.records()),
            "bulk": isinstance(engine.consistency, BulkSynchronous),
        }

    def _open(self, epoch: int, workers: list[WorkerRecord]) -> None:
        engine = self.engine
        if not engine.frozen:
            return
        self.lineage = epoch
        engine.reopen(workers)
        if self.stream is not None:
            self.stream.begin(epoch, self.life)

    def _replicate(self, pending: Pending, number: int, head: ImageHead, packed: list[Packed]) -> bool:
        if number > self._images:
            arrays = tuple(self._array(pending, each).copy() for each in packed)
            self._images = number
            self._staged.append(Image(head, arrays))
            self.engine.turn += 1
        return self.engine.rounds >= head.rounds and not self._staged

    def status(self) -> dict[str, Any]:
        """How things stand, as plain values."""
        return {**super().status(), "serving": self.serving}
