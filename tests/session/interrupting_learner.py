"""A linear learner that is interrupted, as by Ctrl-C, in a batch of its choice."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from typing import Any

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.interface import State
from tradewind.algorithms.linear.learner import LinearLearner

interrupt_at = 0
"""The batch of the process, counted over all workers, in which SIGINT comes; 0 for never."""
_count = itertools.count(1)


def interrupt(batch: int) -> None:
    """Have SIGINT come in so many batches from now."""
    global interrupt_at, _count
    interrupt_at, _count = batch, itertools.count(1)


class InterruptingLearner(LinearLearner):
    """Learns exactly what a `LinearLearner` does."""

    def __init__(self) -> None:
        super().__init__(optimizer="sgd")

    def parameters(self) -> dict[str, Any]:
        """None."""
        return {}

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """As ever."""
        super().update(state, _interrupted(stream), synchronized)


def _interrupted(stream: Iterator[Batch]) -> Iterator[Batch]:
    for batch in stream:
        if next(_count) == interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
        yield batch
