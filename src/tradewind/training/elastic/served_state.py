"""The line from a job's driver to the servers of its state: how far it is, who serves what, and snapshots."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from tradewind.data.backups import back_up
from tradewind.data.model_files.layout import write_snapshot
from tradewind.data.object_store import open_store
from tradewind.errors import TradewindError, Unreachable
from tradewind.state.control import Recovery, StateControl, StateStatus
from tradewind.state.messages import Ping, Request, header
from tradewind.state.routing import StateRouting
from tradewind.state.transport.zeromq import ZeroMQChannel

_PROBE = 1.0
"""Seconds of the wall that a server may take to answer a probe."""


class ServedState:
    """Asks the servers of the state that is found at `address`, and keeps snapshots under `snapshots`.

    Every snapshot is copied to the object store at the address `backup` too, if that is given. Any thread may
    call: looks are not kept waiting by changes and snapshots, which take their time.
    """

    def __init__(self, address: str, snapshots: Path, backup: str | None = None) -> None:
        self._snapshots = snapshots
        self._store = None if backup is None else open_store(backup)
        self._looking, self._moving, self._saving = (
            StateControl.at(address, ZeroMQChannel) for _ in range(3)
        )
        self._look, self._move, self._save = (threading.Lock() for _ in range(3))
        self.problem = ""
        """Why the last snapshot was not copied to the object store; empty if it was, or need not be."""

    def status(self) -> StateStatus:
        """How far the workers are; Unreachable if a server stays silent for two seconds."""
        with self._look:
            return self._looking.status()

    def save(self) -> tuple[int, ...]:
        """Make a durable snapshot; the batches in it, by logical worker. Unreachable as `status`."""
        with self._save:  # a second writer would take the first one's folder for what a killed one left
            snapshot = self._saving.snapshot()
            arrays, header = snapshot.plain()
            clocks = snapshot.positions()
            written = write_snapshot(self._snapshots, sum(clocks), arrays, header)
            self.problem = ""
            if self._store is not None:
                try:
                    back_up(written, self._store)
                except (OSError, TradewindError) as problem:  # the one on the disk is whole all the same
                    self.problem = f"{type(problem).__name__}: {problem}"
        return clocks

    def change(self, serving: Sequence[str]) -> StateRouting:
        """Have these addresses serve the shards, by shard; Unreachable names the one that is silent."""
        with self._move:
            return self._moving.change(serving)

    def recover(self, serving: Sequence[str]) -> Recovery:
        """As `change`, where a server is dead."""
        with self._move:
            return self._moving.recover(serving)

    def answers(self, address: str) -> None:
        """Return if whatever serves at an address answers within a second, else raise Unreachable."""
        channel = ZeroMQChannel(address)
        try:
            channel.send([header(Request("probe", 1, [Ping()]))])
            if channel.receive(_PROBE) is None:
                raise Unreachable(f"{address} was silent for {_PROBE:g} s")
        finally:
            channel.close()

    def close(self) -> None:
        """Let go of the line; may be called twice."""
        lines = (self._look, self._looking), (self._move, self._moving), (self._save, self._saving)
        for lock, control in lines:
            with lock:
                control.close()
