"""The seam between a queue of requests and the rules that cut batches from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct


class Latency(Struct, frozen=True):
    """What a batch takes: `T(b) = per_row * b + fixed` seconds for b rows, with the spread around it."""

    per_row: float
    fixed: float
    deviation: float = 0.0
    """Standard deviation of what is left, seconds."""

    def of(self, rows: int) -> float:
        """Expected seconds of a batch of `rows`."""
        return self.per_row * rows + self.fixed


class Queue(Struct):
    """What a rule may know of the requests that wait, at a moment. A rule alters nothing of it.

    The three sequences go together and are in the rule's `order`.
    """

    now: float
    arrivals: Sequence[float]
    """When each came."""
    deadlines: Sequence[float]
    """When each answer is due; infinity where nobody said."""
    sizes: Sequence[int]
    """Rows of each; a batch is whole requests."""
    idle: int
    """Replicas that could begin a batch now."""
    running: int
    """Replicas with a batch in hand."""
    largest: int
    """Rows of a batch at most. A request of more rows goes alone."""
    latency: Latency
    """As learned so far."""
    rate: float
    """Rows a second that arrive, as learned so far; 0 before anything is known."""
    finished: int = 0
    """Batches that are over."""
    last_rows: int = 0
    """Of the batch that ended last; its rows and seconds."""
    last_seconds: float = 0.0


class Choice(Struct, frozen=True):
    """What to do now."""

    take: int = 0
    """Requests at the head of the queue to run as one batch; none without an idle replica."""
    drop: int = 0
    """Requests at the head to refuse, before the batch is cut behind them, for they cannot be in time."""
    wake_at: float = math.inf
    """Ask again at this moment at the latest. An arrival, and a batch that ends, always ask again."""


WAIT = Choice()


class BatchingRule(Protocol):
    """Decides when a batch is cut.

    1. `decide` is pure: equal arguments give equal answers.
    2. It never takes more than `largest` rows, but for a single request that has more.
    3. Where it neither takes nor drops although a replica is idle and requests wait, `wake_at` is later than
       now and finite.
    4. `memory` is a frozen value of its own, or None.
    """

    name: str
    order: str
    """`arrival` or `deadline`: how it wants the queue."""

    def recall(self) -> Any:
        """The memory before the first decision."""
        ...

    def decide(self, queue: Queue, memory: Any) -> tuple[Choice, Any]:
        """What to do now, and what to remember."""
        ...
