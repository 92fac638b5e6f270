"""The seam between the engine, which cuts batches, and whatever runs them."""

from __future__ import annotations

from typing import Protocol

from tradewind.errors import TradewindError
from tradewind.serving.tensors import Signature, Tensors


class ReplicaLost(TradewindError):
    """The replica is gone, with the batch that it had in hand; another may run the batch again."""


class MachineLost(ReplicaLost):
    """The machine that it ran on was taken away: no fault of its model's, or of the batch's."""


class TookTooLong(ReplicaLost):
    """The batch took longer than it may, and its replica was given up for it."""


class ModelFailed(TradewindError):
    """The model raised on this batch; the replica lives. Running it again gives the same."""


def reason_of(problem: Exception) -> str:
    """Why a model failed, in one line."""
    return str(problem) if isinstance(problem, TradewindError) else f"{type(problem).__name__}: {problem}"


class Replica(Protocol):
    """Runs batches of one model version, one at a time.

    1. `open` returns once it can run; whatever it raises, nothing is left running.
    2. `run` gives the outputs, or raises ModelFailed or ReplicaLost. After ReplicaLost every call raises it.
    3. Cancelling `run` leaves the replica usable once the batch in hand is over.
    """

    inline: bool
    """Whether `run_here` may be called, in the thread of the event loop."""
    spent: bool
    """Whether it is gone after the batch that it has just run, such as one whose process grew too big."""

    @property
    def signature(self) -> Signature:
        """Of the model that it holds; known after `open`."""
        ...

    @property
    def platform(self) -> str:
        """As metadata names it; known after `open`."""
        ...

    @property
    def memory(self) -> int:
        """Bytes that it takes, of this machine or of another; known after `open`."""
        ...

    async def open(self) -> None:
        """Load the model."""
        ...

    async def run(self, inputs: Tensors) -> Tensors:
        """The outputs for one batch."""
        ...

    def run_here(self, inputs: Tensors) -> Tensors:
        """The outputs for one batch, computed in the caller's thread; raises ModelFailed."""
        ...

    async def close(self) -> None:
        """Let go of everything; may be called twice."""
        ...
