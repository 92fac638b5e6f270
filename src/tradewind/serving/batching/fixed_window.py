"""A batch is full, or its window is over: Ray Serve, MLServer, LitServe.

Sources: Ray Serve 2.60 `@serve.batch(max_batch_size, batch_wait_timeout_s)`, MLServer 1.7.1 `max_batch_size`
and `max_batch_time`, LitServe 0.2.19 `max_batch_size` and `batch_timeout`, as read in their code. All three
wait for a first request and then collect until the batch is full or the window is over. The first two count
the window from that first request; LitServe counts from when its worker turns to the queue, so that a
request which has waited during the batch before waits the window as well.
"""

from __future__ import annotations

import math

from msgspec import Struct

from tradewind.errors import Misuse
from tradewind.serving.batching.cutting import fitting, rows_within
from tradewind.serving.batching.interface import WAIT, Choice, Queue

SINCE = ("request", "worker")


class Turned(Struct, frozen=True):
    """When the worker turned to the queue, and after how many batches."""

    finished: int = -1
    at: float = -math.inf


class FixedWindow:
    """Full, or `window` seconds after the first request (`since="request"`) or after the worker turned to a
    queue in which someone waits (`since="worker"`).

    `size` is the rows of a full batch; 0 for the largest that the model allows. Nothing is ever dropped.
    """

    name = "fixed_window"
    order = "arrival"

    def __init__(self, window: float = 0.01, size: int = 0, since: str = "request") -> None:
        if not 0.0 <= window < math.inf:
            raise Misuse(f"{window!r} is no length of time", source="fixed_window", field="window",
                         fix="Give seconds, 0 or more.")  # fmt: skip
        if size < 0:
            raise Misuse(f"{size!r} rows", source="fixed_window", field="size", fix="Give 0 or more.")
        if since not in SINCE:
            raise Misuse(f"{since!r} is unknown", source="fixed_window", field="since",
                         fix=f"Choose one of: {', '.join(SINCE)}.")  # fmt: skip
        self.window, self.size, self.since = window, size, since

    def recall(self) -> Turned:
        """No batch yet."""
        return Turned()

    def decide(self, queue: Queue, memory: Turned) -> tuple[Choice, Turned]:
        """A full batch, or what there is when the window is over."""
        if not queue.idle or not queue.sizes:
            return WAIT, memory
        full = min(self.size or queue.largest, queue.largest)
        start = queue.arrivals[0]
        if self.since == "worker":
            if memory.finished != queue.finished:
                memory = Turned(queue.finished, queue.now)
            start = memory.at
        over = start + self.window
        if queue.now >= over or rows_within(queue.sizes, full) >= full:
            # LitServe enters its loop anew, with a new window, whenever it has handed a batch over.
            return Choice(fitting(queue.sizes, full)), Turned() if self.since == "worker" else memory
        return Choice(wake_at=over), memory
