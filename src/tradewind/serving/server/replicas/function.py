"""A replica that runs its batches as calls of a function, each paid for by the millisecond.

Each call has an environment to itself. As many replicas as calls may run at a time share one `DeployedModel`.
"""

from __future__ import annotations

from tradewind.serving.server.replicas.functions.deployed import DeployedModel, Described
from tradewind.serving.server.replicas.interface import ReplicaLost
from tradewind.serving.tensors import Signature, Tensors


class AsFunction:
    """One call at a time of `deployed`. Opening it starts an environment, so that its first batch is warm.

    Throttled for longer than the function's patience, it is lost, and the engine's pause before another is
    opened is the back-off.
    """

    inline = False
    spent = False

    def __init__(self, deployed: DeployedModel) -> None:
        self._deployed = deployed
        self._told: Described | None = None
        self._lost = ""

    @property
    def signature(self) -> Signature:
        """Of the model."""
        return self._known.signature

    @property
    def platform(self) -> str:
        """As metadata names it."""
        return self._known.platform

    @property
    def memory(self) -> int:
        """Bytes that it takes, of somebody else's machine."""
        return self._known.memory

    @property
    def _known(self) -> Described:
        if self._told is None:
            raise RuntimeError("this replica is not open")
        return self._told

    async def open(self) -> None:
        """Have the model opened; Misuse where it cannot be, Temporary where nobody answers."""
        self._told = await self._deployed.describe()

    async def run(self, inputs: Tensors) -> Tensors:
        """The outputs for one batch."""
        if self._lost or self._told is None:
            raise ReplicaLost(self._lost or "it is not open")
        try:
            return await self._deployed.infer(inputs)
        except ReplicaLost as problem:
            self._lost = str(problem)
            raise

    def run_here(self, inputs: Tensors) -> Tensors:
        """Never: the model is not in this process."""
        raise RuntimeError("this replica is a function")

    async def close(self) -> None:
        """Nothing is held: the environments end by themselves when they are idle."""
        self._lost = self._lost or "it was closed"
