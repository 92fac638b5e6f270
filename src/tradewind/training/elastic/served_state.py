"""The line from a job's driver to the server of its state: how far it is, and its snapshots on disk."""

from __future__ import annotations

import threading
from pathlib import Path

from tradewind.data.model_files import write_snapshot
from tradewind.state.control import StateControl, StateStatus
from tradewind.state.transport.zeromq import ZeroMQChannel


class ServedState:
    """Asks the server at `address`, and keeps snapshots under `snapshots`. Any thread may call."""

    def __init__(self, address: str, snapshots: Path) -> None:
        self._snapshots = snapshots
        self._control = StateControl([ZeroMQChannel(address)])
        self._lock, self._writing = threading.Lock(), threading.Lock()

    def status(self) -> StateStatus:
        """How far the workers are; Unreachable if the server stays silent for two seconds."""
        with self._lock:
            return self._control.status()

    def save(self) -> tuple[int, ...]:
        """Make a durable snapshot; the batches in it, by logical worker. Unreachable as `status`."""
        with self._writing:  # a second writer would take the first one's folder for what a killed one left
            with self._lock:
                snapshot = self._control.snapshot()
            arrays, header = snapshot.plain()
            clocks = snapshot.positions()
            write_snapshot(self._snapshots, sum(clocks), arrays, header)
        return clocks

    def close(self) -> None:
        """Let go of the line; may be called twice."""
        with self._lock:
            self._control.close()
