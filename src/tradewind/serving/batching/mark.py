"""MArk's rule: one size and one wait, from a profile, so that a batch is never worse than no batch.

Zhang, Yu, Wang and Yan, *MArk: Exploiting Cloud Services for Cost-Effective, SLO-Aware Machine Learning
Inference Serving*, USENIX ATC 2019, section 4 (batching): with RT_max the objective, T_b the time of a batch
of b and mu the requests a second without batching, the wait W of a batch's first request must satisfy

    W + T_b <= RT_max    and    W + T_b <= b / mu.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

from tradewind.errors import Misuse
from tradewind.serving.batching.cutting import fitting, rows_within
from tradewind.serving.batching.interface import WAIT, Choice, Latency, Queue

GAIN = 0.05
"""A larger batch that gives less throughput more than this share is not worth its wait."""


def plan(objective: float, profile: Mapping[int, float]) -> tuple[int, float]:
    """The rows of a batch and the seconds that its first request waits at most, by the formula above.

    `profile`: seconds of a batch by its rows, with that of 1. Of the feasible sizes the first after which
    throughput grows by less than `GAIN`; (1, 0.0) where none is feasible.
    """
    if 1 not in profile:
        raise Misuse("the time of a batch of 1 is missing", source="mark", field="profile",
                     fix="Measure it: every other size is judged by it.")  # fmt: skip
    alone = profile[1]
    size, wait, best = 1, 0.0, 0.0
    for rows, seconds in sorted(profile.items()):
        limit = min(objective, rows * alone)
        if seconds > limit:
            continue
        throughput = rows / seconds
        if best and throughput < (1.0 + GAIN) * best:
            break
        size, wait, best = rows, limit - seconds, throughput
    return size, wait


@lru_cache(maxsize=256)
def _learned_plan(objective: float, per_row: float, fixed: float, largest: int) -> tuple[int, float]:
    sizes = [1 << power for power in range(largest.bit_length()) if 1 << power < largest] + [largest]
    line = Latency(per_row, fixed)
    if not line.of(1):
        return largest, 0.0
    return plan(objective, {rows: line.of(rows) for rows in sizes})


class MarkBatching:
    """Flush at `b` rows, or when the first request has waited `W`; nothing is ever dropped.

    `objective`: RT_max, seconds. `profile`: seconds by rows, measured before; without one the line learned so
    far stands for it, read to two digits at powers of two up to the largest batch; before the first batch
    nothing waits.
    """

    name = "mark"
    order = "arrival"

    def __init__(self, objective: float = 0.05, profile: Mapping[int, float] | None = None) -> None:
        if not 0.0 < objective < math.inf:
            raise Misuse(f"{objective!r} is no length of time", source="mark", field="objective",
                         fix="Give seconds, more than 0.")  # fmt: skip
        self.objective = objective
        self.planned = plan(objective, profile) if profile is not None else None
        """Rows and wait; None where they follow what is learned."""

    def recall(self) -> None:
        """Nothing is remembered."""

    def decide(self, queue: Queue, memory: None) -> tuple[Choice, None]:
        """A batch of `b`, or what there is after `W`."""
        if not queue.idle or not queue.sizes:
            return WAIT, None
        size, wait = self.planned or _learned_plan(
            self.objective,
            _two_digits(queue.latency.per_row),
            _two_digits(queue.latency.fixed),
            queue.largest,
        )
        size = min(size, queue.largest)
        over = queue.arrivals[0] + wait
        if queue.now >= over or rows_within(queue.sizes, size) >= size:
            return Choice(fitting(queue.sizes, size)), None
        return Choice(wake_at=over), None


def _two_digits(value: float) -> float:
    return float(f"{value:.1e}")
