"""BentoML's CORK: one batch in flight, and a wait that a line fitted to past batches decides.

Source: BentoML 1.4, `CorkDispatcher` and its `Optimizer`. The line `duration = a * n + b` and the mean wait
of a batch's last request are fitted to the last 50 batches, at most every 5 seconds. With w0 and wn the waits
of the first and the last of n requests, asked every millisecond:

- cancel the first if n > 1 and w0 + a * n + b >= max_latency;
- wait on if n is less than a full batch and n * (wn + 1 ms + a) <= 0.95 * mean wait;
- else take what is there.

It begins with a = 2 L / 30 and b = L / 30 (at most 2 s and 1 s), leaves the first two batches out, and trains
on batches of 1, 2 and 3. Two differences: the released code takes the newest requests first, and a rule takes
the oldest; and requests are cancelled when a replica is idle, not at every tick of a batch in flight.
"""

from __future__ import annotations

import math

from msgspec import Struct
from msgspec.structs import replace

from tradewind.errors import Misuse
from tradewind.serving.batching.cutting import fitting
from tradewind.serving.batching.interface import WAIT, Choice, Queue

TICK, DECAY, KEPT, SKIPPED, REFRESH = 0.001, 0.95, 50, 2, 5.0


class Corked(Struct, frozen=True):
    """What CORK has seen."""

    per_row: float
    fixed: float
    mean_wait: float = 0.01
    batches: tuple[tuple[int, float, float], ...] = ()
    """Rows, seconds and the wait of the last request of those kept."""
    seen: int = 0
    """Batches that are over."""
    refreshed: float = -math.inf
    last_wait: float = 0.0
    """Of the last request of the batch in flight."""
    taken_at: float = -math.inf
    """When that batch was handed over."""
    ticking: float = -math.inf
    """Where the ticks count from: that moment, or the first arrival after it; -inf before it is known."""


class CorkBatching:
    """CORK with a budget of `max_latency` seconds a request and batches of `size` rows at most (0 for the
    largest that the model allows).

    `tick`: seconds between two looks at the queue; 0 looks at every arrival and end of a batch, which no
    release does, and then every millisecond.
    """

    name = "cork"
    order = "arrival"

    def __init__(self, max_latency: float = 60.0, size: int = 100, tick: float = TICK) -> None:
        if not 0.0 < max_latency < math.inf:
            raise Misuse(f"{max_latency!r} is no length of time", source="cork", field="max_latency",
                         fix="Give seconds, more than 0.")  # fmt: skip
        if size < 0:
            raise Misuse(f"{size!r} rows", source="cork", field="size", fix="Give 0 or more.")
        if not 0.0 <= tick < math.inf:
            raise Misuse(f"{tick!r} is no length of time", source="cork", field="tick",
                         fix="Give seconds, 0 or more.")  # fmt: skip
        self.max_latency, self.size, self.tick = max_latency, size, tick

    def recall(self) -> Corked:
        """The line that it assumes before any batch."""
        return Corked(min(2.0, self.max_latency * 2.0 / 30.0), min(1.0, self.max_latency / 30.0))

    def decide(self, queue: Queue, memory: Corked) -> tuple[Choice, Corked]:
        """Cancel, wait a tick, or take."""
        if queue.finished > memory.seen:
            memory = _logged(memory, queue)
        if not queue.sizes or not queue.idle:
            return WAIT, memory
        if queue.running:
            return Choice(wake_at=queue.now + TICK), memory
        if self.tick:
            if memory.ticking == -math.inf:
                since = max(memory.taken_at, queue.arrivals[0])
                memory = replace(memory, ticking=since)
            ticks = math.ceil((queue.now - memory.ticking) / self.tick - 1e-6)
            asleep = memory.ticking + ticks * self.tick
            if asleep > queue.now + 1e-6 * self.tick:
                return Choice(wake_at=asleep), memory
        waiting = len(queue.sizes)
        first = queue.now - queue.arrivals[0]
        last = queue.now - queue.arrivals[-1]
        full = min(self.size or queue.largest, queue.largest)
        training = memory.seen - SKIPPED
        if training <= 3:
            rows = min(max(training, 1), full)
            if waiting > 6 and first >= self.max_latency:
                return _cancelled(waiting, memory)
            patience = min(self.max_latency * 0.95, (2 * rows + 1) * (memory.per_row + memory.fixed))
            if waiting < rows and rows * memory.per_row + memory.fixed + first <= patience:
                return Choice(wake_at=queue.now + TICK), memory
            return self._taken(queue, memory, rows)
        late = first + memory.per_row * waiting + memory.fixed >= self.max_latency
        if waiting > 1 and late:
            return _cancelled(waiting, memory)
        if waiting < full and waiting * (last + TICK + memory.per_row) <= memory.mean_wait * DECAY:
            return Choice(wake_at=queue.now + TICK), memory
        return self._taken(queue, memory, full)

    def _taken(self, queue: Queue, memory: Corked, rows: int) -> tuple[Choice, Corked]:
        take = fitting(queue.sizes, rows)
        wait = queue.now - queue.arrivals[take - 1]
        return Choice(take), replace(memory, last_wait=wait, taken_at=queue.now, ticking=-math.inf)


def _cancelled(waiting: int, memory: Corked) -> tuple[Choice, Corked]:
    """The first is refused; with nobody left it sleeps until the next one comes."""
    return Choice(drop=1), memory if waiting > 1 else replace(memory, ticking=-math.inf)


def _logged(memory: Corked, queue: Queue) -> Corked:
    """The memory after the batch that ended last, with a new fit if it is time for one."""
    seen, batches = queue.finished, memory.batches
    if seen > SKIPPED:
        batches = (*batches, (queue.last_rows, queue.last_seconds, memory.last_wait))[-KEPT:]
    per_row, fixed, mean_wait, refreshed = memory.per_row, memory.fixed, memory.mean_wait, memory.refreshed
    if batches and (queue.now >= refreshed + REFRESH or seen <= SKIPPED + 4):
        per_row, fixed = _line(batches)
        mean_wait = sum(wait for _, _, wait in batches) / len(batches)
        refreshed = queue.now
    return replace(
        memory,
        per_row=per_row,
        fixed=fixed,
        mean_wait=max(0.0, mean_wait),
        batches=batches,
        seen=seen,
        refreshed=refreshed,
    )


def _line(batches: tuple[tuple[int, float, float], ...]) -> tuple[float, float]:
    """Least squares; of least norm where all batches have one size, as numpy's `lstsq` has it."""
    count = len(batches)
    rows = sum(n for n, _, _ in batches) / count
    seconds = sum(each for _, each, _ in batches) / count
    spread = sum((n - rows) ** 2 for n, _, _ in batches)
    if spread > 0.0:
        slope = sum((n - rows) * (each - seconds) for n, each, _ in batches) / spread
        fixed = seconds - slope * rows
    else:
        slope, fixed = rows * seconds / (rows * rows + 1.0), seconds / (rows * rows + 1.0)
    return max(1e-6, slope), max(0.0, fixed)
