"""A replica outside of a server, as a model that is called: for measuring it as it will be used."""

from __future__ import annotations

import asyncio

from tradewind.serving.server.replicas.interface import Replica
from tradewind.serving.tensors import Signature, Tensors


class Standalone:
    """Implements `LoadedModel` over a replica, which it opens, on an event loop of its own.

    A batch takes what it takes in a server: with the way to the replica and back.
    """

    def __init__(self, replica: Replica) -> None:
        """Open it; raises what opening it raises."""
        self._replica = replica
        self._loop = asyncio.new_event_loop()
        try:
            self._loop.run_until_complete(replica.open())
        except BaseException:
            self._loop.close()
            raise

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return self._replica.signature

    @property
    def platform(self) -> str:
        """As metadata names it."""
        return self._replica.platform

    @property
    def memory(self) -> int:
        """Bytes that it takes."""
        return self._replica.memory

    def predict(self, inputs: Tensors) -> Tensors:
        """The outputs for `inputs`; raises ModelFailed or ReplicaLost."""
        if self._replica.inline:
            return self._replica.run_here(inputs)
        return self._loop.run_until_complete(self._replica.run(inputs))

    def close(self) -> None:
        """End it; may be called twice."""
        if not self._loop.is_closed():
            self._loop.run_until_complete(self._replica.close())
            self._loop.close()
