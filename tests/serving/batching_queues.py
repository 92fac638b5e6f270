"""Queues for the tests of batching rules."""

from __future__ import annotations

from tradewind.serving.batching.interface import Latency, Queue

LINE = Latency(0.0005, 0.0045)


def queue(
    waits: list[float],
    *,
    objective: float = 0.05,
    now: float = 100.0,
    idle: int = 1,
    running: int = 0,
    largest: int = 32,
    latency: Latency = LINE,
    rate: float = 0.0,
    sizes: list[int] | None = None,
    finished: int = 0,
    last_rows: int = 0,
    last_seconds: float = 0.0,
) -> Queue:
    """Requests that have waited so many seconds, the longest first, all with one objective."""
    return Queue(
        now,
        [now - wait for wait in waits],
        [now - wait + objective for wait in waits],
        sizes or [1] * len(waits),
        idle,
        running,
        largest,
        latency,
        rate,
        finished,
        last_rows,
        last_seconds,
    )
