"""Clipper's adaptive batching: additive increase, multiplicative decrease of the batch size.

Crankshaw et al., *Clipper: A Low-Latency Online Prediction Serving System*, NSDI 2017, sections 4.3.1 (AIMD:
the largest batch grows by a fixed amount until a batch takes longer than the objective, and then falls by a
tenth) and 4.3.2 (delayed batching). As in its released code, requests are in order of deadline, and those
whose deadline has passed are removed before a batch is cut.
"""

from __future__ import annotations

import math

from msgspec import Struct

from tradewind.errors import Misuse
from tradewind.serving.batching.cutting import fitting, rows_within
from tradewind.serving.batching.interface import WAIT, Choice, Queue


class BatchLimit(Struct, frozen=True):
    """The rows of a batch at most, as of so many finished batches."""

    rows: float = 1.0
    finished: int = 0


class ClipperBatching:
    """Whatever waits, up to a limit that is probed.

    `objective`: seconds that a batch may take. `increase`: rows more after a batch as large as the limit that
    kept it. `decrease`: factor after one that did not. `delay`: seconds that the first request waits at most
    for more to come (delayed batching); 0 takes at once.
    """

    name = "clipper"
    order = "deadline"

    def __init__(
        self, objective: float = 0.02, increase: float = 1.0, decrease: float = 0.9, delay: float = 0.0
    ) -> None:
        if not 0.0 < objective < math.inf:
            raise Misuse(f"{objective!r} is no length of time", source="clipper", field="objective",
                         fix="Give seconds, more than 0.")  # fmt: skip
        if not increase > 0.0:
            raise Misuse(f"{increase!r} never grows", source="clipper", field="increase",
                         fix="Give rows, more than 0.")  # fmt: skip
        if not 0.0 < decrease < 1.0:
            raise Misuse(f"{decrease!r} never falls", source="clipper", field="decrease",
                         fix="Give a factor between 0 and 1.")  # fmt: skip
        if not 0.0 <= delay < math.inf:
            raise Misuse(f"{delay!r} is no length of time", source="clipper", field="delay",
                         fix="Give seconds, 0 or more.")  # fmt: skip
        self.objective, self.increase, self.decrease, self.delay = objective, increase, decrease, delay

    def recall(self) -> BatchLimit:
        """Batches of one at first."""
        return BatchLimit()

    def decide(self, queue: Queue, memory: BatchLimit) -> tuple[Choice, BatchLimit]:
        """What waits, up to the limit, after what has expired."""
        if queue.finished != memory.finished:
            rows = memory.rows
            if queue.last_seconds > self.objective:
                rows = max(1.0, self.decrease * rows)
            elif queue.last_rows >= int(rows):
                rows = min(rows + self.increase, float(queue.largest))
            memory = BatchLimit(rows, queue.finished)
        if not queue.idle or not queue.sizes:
            return WAIT, memory
        drop = 0
        for deadline in queue.deadlines:
            if deadline > queue.now:
                break
            drop += 1
        if drop:
            return Choice(drop=drop), memory
        limit = max(1, min(int(memory.rows), queue.largest))
        if self.delay and rows_within(queue.sizes, limit) < limit:
            over = min(queue.arrivals) + self.delay
            if queue.now < over:
                return Choice(wake_at=over), memory
        return Choice(fitting(queue.sizes, limit)), memory
