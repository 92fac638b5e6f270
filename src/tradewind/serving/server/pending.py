"""One request that waits in a queue, or is in hand with others as a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import numpy as np

from tradewind.serving.calls import Refusal
from tradewind.serving.tensors import Tensors


class Pending:
    """One request that waits, or is in hand."""

    __slots__ = (
        "again", "alone", "answer", "arrived", "bytes", "due", "hard", "inputs", "machines", "rows", "tries"
    )  # fmt: skip

    def __init__(self, inputs: Tensors, rows: int, arrived: float, due: float, hard: bool) -> None:
        self.inputs, self.rows, self.arrived, self.due = inputs, rows, arrived, due
        self.hard = hard
        """Whether the caller said when; the objective of the endpoint did otherwise."""
        self.answer: asyncio.Future[Tensors | Refusal] | None = None
        """A refusal is its result, not its exception."""
        self.alone = False
        """Whether it is run by itself, for it may have spoilt a batch."""
        self.again = False
        """Whether it was begun, and lost with a machine: it is run now, in time or not."""
        self.tries = self.machines = 0
        self.bytes = sum(array.nbytes for array in inputs.values())


def due_of(pending: Pending) -> float:
    """The moment by which it is to be answered."""
    return pending.due


def wanted(requests: Iterable[Pending]) -> bool:
    """Whether anybody still waits for one of them."""
    return any(each.answer is not None and not each.answer.done() for each in requests)


def refuse(pending: Pending, refusal: Refusal) -> None:
    """Tell its caller, if nobody was told anything yet."""
    if pending.answer is not None and not pending.answer.done():
        pending.answer.set_result(refusal)


async def answered(pending: Pending) -> Tensors:
    """What becomes of a request that waits; raises the refusal.

    What is raised is held by nothing that its traceback holds. Else each of the thousands of requests that
    are refused under overload would stay, until the collector of garbage holds everybody up to find them.
    """
    assert pending.answer is not None
    try:
        found = await pending.answer
    finally:
        pending.answer = None
    if isinstance(found, Refusal):
        raise Refusal(found.kind, found.args[0], found.retry_after)
    return found


def row_shapes(inputs: Tensors) -> list[tuple[Any, ...]]:
    """What two requests have in common that go into one batch."""
    return [(name, array.shape[1:]) for name, array in inputs.items()]


def joined(batch: list[Pending]) -> Tensors:
    """The inputs of a batch: those of its requests, one below the other."""
    if len(batch) == 1:
        return batch[0].inputs
    first = batch[0].inputs
    return {name: np.concatenate([each.inputs[name] for each in batch]) for name in first}
