"""A queue, a batching rule and replicas in simulated time: the same rule objects as the server's, no clock.

What is simulated is the work: a batch of b rows takes `T(b)` times a factor given by the caller. The rule is
asked as the server asks it: after every arrival, end of a batch and wake-up, while a replica is idle and
someone waits, until it wants to wait. Events of one moment come in the order: end of a batch, arrival,
wake-up.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.errors import Misuse
from tradewind.serving.batching.interface import BatchingRule, Latency, Queue
from tradewind.serving.batching.latency import ArrivalRate, LearnedLatency

_SOONEST = 1e-9
"""Seconds: a wake-up that is due already comes so much later, so that time goes on."""


class SimulatedRun(Struct, frozen=True):
    """What became of each request, and of each batch, in a simulated run."""

    arrivals: NDArray[np.float64]
    """Moments, ascending."""
    deadlines: NDArray[np.float64]
    starts: NDArray[np.float64]
    """When the batch of each request began; NaN for those dropped, or still waiting at the end."""
    ends: NDArray[np.float64]
    """When each answer came; NaN likewise."""
    dropped: int
    """Requests that the rule refused."""
    batch_starts: NDArray[np.float64]
    batch_rows: NDArray[np.int64]
    batch_seconds: NDArray[np.float64]

    @property
    def in_time(self) -> int:
        """Requests answered by their deadline."""
        return int(np.count_nonzero(self.ends <= self.deadlines))

    @property
    def share_in_time(self) -> float:
        """Of all requests; 1 where there was none."""
        return self.in_time / len(self.arrivals) if len(self.arrivals) else 1.0

    @property
    def goodput(self) -> float:
        """Requests in time per second, from the first arrival to the last or to the last answer in time."""
        if not len(self.arrivals):
            return 0.0
        timely = self.ends[self.ends <= self.deadlines]
        until = max(float(self.arrivals[-1]), float(timely.max()) if len(timely) else 0.0)
        return self.in_time / (until - float(self.arrivals[0])) if until > self.arrivals[0] else 0.0

    @property
    def mean_wait(self) -> float:
        """Seconds from arrival to the start of the batch, over the requests that began."""
        return float(np.nanmean(self.starts - self.arrivals))


def simulate_queue(
    rule: BatchingRule,
    arrivals: Sequence[float] | NDArray[np.float64],
    latency: Latency,
    *,
    objective: float | Sequence[float] | NDArray[np.float64] = math.inf,
    sizes: Sequence[int] | None = None,
    replicas: int = 1,
    largest: int = 32,
    factors: Sequence[float] | NDArray[np.float64] | None = None,
    learned: LearnedLatency | None = None,
    window: float = 1.0,
) -> SimulatedRun:
    """Run requests that come at `arrivals` (ascending) through `rule` in simulated time.

    `latency`: the truth; its deviation is not used. `objective`: seconds from arrival to deadline, one for
    all or one each. `sizes`: rows each, 1 by default. `factors`: what each batch's seconds are multiplied by,
    taken round and round in the order in which batches begin; none for exactly T(b). `learned`: what the rule
    is told of the latency at first, from where it goes on learning; None to start from nothing. `window`:
    seconds of the arrival rate's memory. Misuse for moments out of order, and for a rule that breaks the
    seam's promises: no time passes in a run that waits for ever.
    """
    moments = np.asarray(arrivals, dtype=np.float64)
    total = len(moments)
    if total and not (np.isfinite(moments).all() and (np.diff(moments) >= 0.0).all()):
        raise Misuse("the moments are not ascending", source="simulation", field="arrivals", fix="Sort them.")
    if replicas < 1 or largest < 1:
        raise Misuse("there is nothing to run on", source="simulation", field="replicas, largest",
                     fix="Give 1 or more of each.")  # fmt: skip
    due = moments + np.asarray(objective, dtype=np.float64)
    rows_of = [1] * total if sizes is None else [int(each) for each in sizes]
    if len(rows_of) != total:
        raise Misuse("there is not one size for each request", source="simulation", field="sizes",
                     fix=f"Give {total} of them.")  # fmt: skip
    if factors is not None and not len(factors):
        raise Misuse("there is none", source="simulation", field="factors", fix="Give one or more, or None.")
    run = _Run(rule, moments, due, rows_of, latency, replicas, largest, factors, learned, window)
    run.go()
    return SimulatedRun(
        moments,
        due,
        np.array(run.starts),
        np.array(run.ends),
        run.dropped,
        np.array(run.batch_starts),
        np.array(run.batch_rows, dtype=np.int64),
        np.array(run.batch_seconds),
    )


class _Run:
    """The state of one simulated run."""

    def __init__(
        self,
        rule: BatchingRule,
        moments: NDArray[np.float64],
        due: NDArray[np.float64],
        sizes: list[int],
        latency: Latency,
        replicas: int,
        largest: int,
        factors: Sequence[float] | NDArray[np.float64] | None,
        learned: LearnedLatency | None,
        window: float,
    ) -> None:
        self.rule, self.memory = rule, rule.recall()
        self.moments, self.due, self.sizes = moments.tolist(), due.tolist(), sizes
        self.latency, self.factors = latency, None if factors is None else [float(each) for each in factors]
        self.learned = LearnedLatency() if learned is None else learned
        self.rate = ArrivalRate(window)
        self.by_deadline = rule.order != "arrival"
        self.waiting: deque[int] = deque()
        arrived: deque[float] = deque()
        deadlines: deque[float] = deque()
        rows: deque[int] = deque()
        self.columns: tuple[deque[Any], ...] = (arrived, deadlines, rows, self.waiting)
        self.queue = Queue(0.0, arrived, deadlines, rows, replicas, 0, largest, self.learned.latency, 0.0)
        self.running: list[tuple[float, int, int, float, list[int]]] = []
        self.wake_at = math.inf
        nan = math.nan
        self.starts, self.ends = [nan] * len(sizes), [nan] * len(sizes)
        self.dropped = 0
        self.batch_starts: list[float] = []
        self.batch_rows: list[int] = []
        self.batch_seconds: list[float] = []

    def go(self) -> None:
        """From the first arrival until nobody waits and nothing runs."""
        queue, moments, running = self.queue, self.moments, self.running
        at, total = 0, len(moments)
        while True:
            arrival = moments[at] if at < total else math.inf
            end = running[0][0] if running else math.inf
            if end <= arrival and end <= self.wake_at:
                if end == math.inf:
                    break
                queue.now = end
                self._ended()
            elif arrival <= self.wake_at:
                queue.now = arrival
                self.rate = self.rate.arrived(arrival, self.sizes[at])
                self._came(at)
                at += 1
            else:
                queue.now = max(queue.now + _SOONEST, self.wake_at)
            if queue.idle and queue.sizes:
                self._turn()
        if self.waiting:
            raise Misuse(f"{self.rule.name} leaves {len(self.waiting)} requests waiting for ever",
                         source="simulation", field="rule", fix="It must wake up.")  # fmt: skip

    def _came(self, each: int) -> None:
        queue, due = self.queue, self.due[each]
        if self.by_deadline and queue.deadlines and queue.deadlines[-1] > due:
            place = bisect_right(queue.deadlines, due)
        else:
            place = len(self.waiting)
        values = (self.moments[each], due, self.sizes[each], each)
        for column, value in zip(self.columns, values, strict=True):
            column.insert(place, value)

    def _ended(self) -> None:
        end, _, rows, seconds, batch = heapq.heappop(self.running)
        for each in batch:
            self.ends[each] = end
        self.learned = self.learned.observed(rows, seconds)
        queue = self.queue
        queue.latency = self.learned.latency
        queue.idle += 1
        queue.running -= 1
        queue.finished += 1
        queue.last_rows, queue.last_seconds = rows, seconds

    def _turn(self) -> None:
        queue = self.queue
        self.wake_at = math.inf
        while queue.idle and self.waiting:
            queue.rate = self.rate.of(queue.now)
            choice, self.memory = self.rule.decide(queue, self.memory)
            for _ in range(choice.drop):
                self._pop()
            self.dropped += choice.drop
            if choice.take:
                self._start([self._pop() for _ in range(choice.take)])
            elif not choice.drop:
                self.wake_at = choice.wake_at
                return

    def _pop(self) -> int:
        arrived, deadlines, rows, waiting = self.columns
        arrived.popleft()
        deadlines.popleft()
        rows.popleft()
        number: int = waiting.popleft()
        return number

    def _start(self, batch: list[int]) -> None:
        queue, number = self.queue, len(self.batch_starts)
        rows = sum(self.sizes[each] for each in batch)
        seconds = self.latency.of(rows)
        if self.factors is not None:
            seconds *= self.factors[number % len(self.factors)]
        for each in batch:
            self.starts[each] = queue.now
        self.batch_starts.append(queue.now)
        self.batch_rows.append(rows)
        self.batch_seconds.append(seconds)
        queue.idle -= 1
        queue.running += 1
        heapq.heappush(self.running, (queue.now + seconds, number, rows, seconds, batch))
