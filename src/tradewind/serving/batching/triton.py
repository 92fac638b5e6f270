"""Triton's dynamic batcher.

Source: Triton Inference Server, model configuration, `dynamic_batching`: `preferred_batch_size`,
`max_queue_delay_microseconds` (0 by default) and `default_queue_policy` with `timeout_action: REJECT` and
`default_timeout_microseconds`, and its user guide on batchers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tradewind.errors import Misuse
from tradewind.serving.batching.cutting import fitting, rows_within
from tradewind.serving.batching.interface import WAIT, Choice, Queue


class TritonBatching:
    """When an instance is free: the largest preferred size that is there; failing that, all that waits once
    the oldest has waited `delay`, and at once when the batch is full.

    `preferred`: rows, in any order; empty for the largest alone. `delay`: seconds. `timeout`: seconds after
    which a request that still waits is rejected; infinity never rejects. `size`: `max_batch_size` in rows, 0
    for the largest that the model allows.
    """

    name = "triton"
    order = "arrival"

    def __init__(
        self,
        preferred: Sequence[int] = (),
        delay: float = 0.0,
        timeout: float = math.inf,
        size: int = 0,
    ) -> None:
        if any(each < 1 for each in preferred):
            raise Misuse(f"{list(preferred)!r} holds no size of a batch", source="triton", field="preferred",
                         fix="Give rows, 1 or more each.")  # fmt: skip
        if not 0.0 <= delay < math.inf:
            raise Misuse(f"{delay!r} is no length of time", source="triton", field="delay",
                         fix="Give seconds, 0 or more.")  # fmt: skip
        if not timeout > 0.0:
            raise Misuse(f"{timeout!r} lets no request wait", source="triton", field="timeout",
                         fix="Give seconds, more than 0.")  # fmt: skip
        if size < 0:
            raise Misuse(f"{size!r} rows", source="triton", field="size", fix="Give 0 or more.")
        self.preferred = tuple(sorted(preferred, reverse=True))
        self.delay, self.timeout, self.size = delay, timeout, size

    def recall(self) -> None:
        """Nothing is remembered."""

    def decide(self, queue: Queue, memory: None) -> tuple[Choice, None]:
        """A batch of preferred size, a full one, or all once the delay is over."""
        if not queue.idle or not queue.sizes:
            return WAIT, None
        drop = 0
        if self.timeout < math.inf:
            oldest = queue.now - self.timeout
            for arrived in queue.arrivals:
                if arrived >= oldest:
                    break
                drop += 1
            if drop:
                return Choice(drop=drop), None
        full = min(self.size or queue.largest, queue.largest)
        if not self.delay and not self.preferred:
            return Choice(fitting(queue.sizes, full)), None
        rows = rows_within(queue.sizes, full)
        if rows >= full:
            return Choice(fitting(queue.sizes, full)), None
        for size in self.preferred:
            if size <= rows:
                return Choice(fitting(queue.sizes, size)), None
        over = queue.arrivals[0] + self.delay
        if queue.now >= over:
            return Choice(fitting(queue.sizes, full)), None
        return Choice(wake_at=over), None
