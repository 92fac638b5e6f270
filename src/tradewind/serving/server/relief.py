"""The seam between a model version in service and what takes some of its requests off its queue."""

from __future__ import annotations

from typing import Protocol

from tradewind.serving.models.opening import Opening
from tradewind.serving.server.batcher import Batcher
from tradewind.serving.server.metrics.meters import ModelMeter
from tradewind.serving.tensors import Signature, Tensors


class Relief(Protocol):
    """Stands before a batcher: every request comes here, and mostly goes on to it."""

    @property
    def up(self) -> bool:
        """Whether requests would be answered without a replica."""
        ...

    async def answer(
        self, inputs: Tensors, rows: int, deadline: float | None, within: float | None = None
    ) -> Tensors:
        """The outputs for one request, as `Batcher.answer`; raises Refusal."""
        ...

    async def close(self) -> None:
        """Let go of what it holds; nobody waits for it any more."""
        ...


class Relieving(Protocol):
    """Who has relief for the models of an engine."""

    def relief(
        self,
        name: str,
        version: str,
        opening: Opening,
        signature: Signature,
        batcher: Batcher,
        meter: ModelMeter,
        objective: float | None,
    ) -> Relief:
        """That of a model version that was opened."""
        ...
