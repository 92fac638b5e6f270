"""Our rule: the batch follows from the slack of those that wait and from what batches were seen to take.

It keeps the queue in order of deadline and never waits, for with an affine T(b) a batch that is running
gathers the next one by itself. When a replica is idle:

1. Who cannot be in time even alone is refused (Clockwork: Gujarati et al., OSDI 2020, section 4).
2. If all that wait, or the largest batch, meet the deadline of the head, they go.
3. Else somebody loses: a batch that the head can bear is too small for those behind it. Plans are carried on,
   without further arrivals, until nobody waits: begin with the head; first refuse as many at the head as make
   the batch largest (the early drop of Nexus: Shen et al., SOSP 2019, section 6.3); or refuse fewer, up to
   one of the `BETWEEN` widest gaps between deadlines, for within a crowd that came at once a refusal gains
   next to nothing. The one with most requests in time, less a price for the time of its batches, is begun.

What a second is worth follows from the requests expected in it: the geometric mean of the rate seen of late,
which says whether a crowd will last, and of that at which those came who wait, which says that there is one.
While that is more than can be answered, only the two extremes are weighed: what the head gains by a plan
between them is lost on those who come.

Neither of the two systems learns T(b) as it goes, and neither weighs plans. Where the line learned says that
nobody at all can be in time, the last of them is run nevertheless, if its deadline has not passed: the line
may be wrong, and only a batch can correct it.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from heapq import nlargest
from itertools import accumulate, islice

from tradewind.errors import Misuse
from tradewind.serving.batching.cutting import fitting
from tradewind.serving.batching.interface import WAIT, Choice, Queue

PRICE = 0.7
"""What a request that is expected in a second adds to its worth: a higher price is better above the capacity,
a lower one below it. Chosen among 0.5, 0.7 and 1.0, on Poisson and MMPP arrivals and on stretches of recorded
ones put together anew."""
BETWEEN, STEPS = 12, 100
"""Plans between the two extremes, of 6, 12 and all: more gains next to nothing. Where plans have many batches
there are fewer, so that all together have about so many at most, and a decision takes half a millisecond."""
_EPSILON = 1e-9
"""Seconds: a batch that ends at the deadline is in time, whatever the last bit says."""
_ONE, _EXPIRED = Choice(take=1), Choice(drop=1)


class SlackBatching:
    """Takes at once the most that can be in time, and refuses early what cannot.

    `margin`: deviations of the learned latency that a batch is kept away from the deadline. One decision
    takes about a microsecond while there is no conflict; where there is, O(log n) steps for each batch of a
    dozen plans: a tenth to half a millisecond.
    """

    name = "slack"
    order = "deadline"

    def __init__(self, margin: float = 1.5) -> None:
        if not 0.0 <= margin < math.inf:
            raise Misuse(f"{margin!r} is no number of deviations", source="slack", field="margin",
                         fix="Give 0 or more.")  # fmt: skip
        self.margin = margin

    def recall(self) -> None:
        """Nothing is remembered."""

    def decide(self, queue: Queue, memory: None) -> tuple[Choice, None]:
        """The batch to begin now, behind those that are refused."""
        waiting = len(queue.sizes)
        if not queue.idle or not waiting:
            return WAIT, None
        if waiting == 1:
            return _ONE if queue.deadlines[0] > queue.now else _EXPIRED, None
        line = queue.latency
        spare = queue.deadlines[0] - queue.now - self.margin * line.deviation - line.fixed + _EPSILON
        take = fitting(queue.sizes, queue.largest)
        rows = take if take == queue.largest else sum(islice(queue.sizes, take))
        if line.per_row * rows <= spare:
            return Choice(take), None
        return _conflict(queue, queue.now + self.margin * line.deviation - _EPSILON), None


def _conflict(queue: Queue, now: float) -> Choice:
    """The choice where the head cannot bear the batch that could go; `now` has the margin in it."""
    plan = _Plan(queue, now)
    first = plan.hopeless(0, now)
    if first == plan.waiting:
        expired = bisect_right(plan.deadlines, queue.now)
        if expired == plan.waiting:
            return Choice(drop=expired)
        return Choice(take=1, drop=plan.waiting - 1)
    later = plan.largest_from(first, now)
    chosen = first
    if later > first:
        expected, most = plan.expected(queue), plan.throughput(later, now)
        starts = {first, later}
        if expected < most:
            starts |= {plan.hopeless(each, now) for each in plan.gaps(first, later, now)}
        price = min(PRICE * expected, most)
        chosen = max(sorted(starts), key=lambda start: plan.worth(start, now, price))
    return Choice(take=plan.batch(chosen, now), drop=chosen)


class _Plan:
    """Those that wait, with what makes a plan quick to carry on."""

    __slots__ = ("deadlines", "fixed", "largest", "per_row", "replicas", "rows", "waiting")

    def __init__(self, queue: Queue, now: float) -> None:
        self.deadlines = list(queue.deadlines)
        self.rows = list(accumulate(queue.sizes, initial=0))
        """[i]: rows of the first i."""
        self.waiting = len(self.deadlines)
        self.per_row, self.fixed = queue.latency.per_row, queue.latency.fixed
        self.largest, self.replicas = queue.largest, queue.idle + queue.running

    def hopeless(self, start: int, at: float) -> int:
        """The first request from `start` on that can be in time alone, if it begins at `at`."""
        where = bisect_left(self.deadlines, at + self.fixed + self.per_row, start)
        while where < self.waiting and not self.batch(where, at):
            where += 1
        return where

    def batch(self, start: int, at: float) -> int:
        """Requests from `start` on that make a batch in time for the first of them."""
        spare = self.deadlines[start] - at - self.fixed
        if spare < 0.0:
            return 0
        rows: float = self.largest
        if self.per_row * rows > spare:
            rows = spare / self.per_row
        take = bisect_right(self.rows, self.rows[start] + rows, start) - 1 - start
        alone = self.per_row * (self.rows[start + 1] - self.rows[start]) <= spare
        return take or int(alone)

    def largest_from(self, start: int, at: float) -> int:
        """The start from which the batch has most requests; `start` where no later one has more.

        The further behind it begins, the more time its head has and the fewer are left: it is where the two
        meet, or just before.
        """
        low, high = start, self.waiting - 1
        while low < high:
            middle = (low + high) // 2
            batch = self.batch(middle, at)
            full = middle + batch == self.waiting or (
                self.rows[middle + batch + 1] - self.rows[middle] > self.largest
            )
            low, high = (low, middle) if full else (middle + 1, high)
        if low > start and self.batch(low - 1, at) >= self.batch(low, at):
            low -= 1
        return low if self.batch(low, at) > self.batch(start, at) else start

    def gaps(self, first: int, later: int, at: float) -> Iterable[int]:
        """The starts between the two before which the deadlines have the widest gaps."""
        due = self.deadlines
        batches = 1 + (self.waiting - first) // max(self.batch(later, at), 1)
        count = min(BETWEEN, STEPS // batches)
        return nlargest(count, range(first + 1, later), key=lambda start: due[start] - due[start - 1])

    def expected(self, queue: Queue) -> float:
        """Requests expected in a second."""
        elapsed = queue.now - min(queue.arrivals)
        crowd = self.waiting / elapsed if elapsed > 0.0 else 0.0
        lately = queue.rate * self.waiting / self.rows[-1] or crowd
        return math.sqrt(lately * (crowd or lately))

    def throughput(self, start: int, at: float) -> float:
        """Requests a second of the batch that begins with `start`."""
        batch = self.batch(start, at)
        rows = self.rows[start + batch] - self.rows[start]
        return batch * self.replicas / max(self.fixed + self.per_row * rows, _EPSILON)

    def worth(self, start: int, at: float, rate: float) -> float:
        """Requests in time if those from `start` on are served in turn, less `rate` for each second."""
        served, begun = 0, at
        while start < self.waiting:
            batch = self.batch(start, at)
            served += batch
            at += (self.fixed + self.per_row * (self.rows[start + batch] - self.rows[start])) / self.replicas
            start = self.hopeless(start + batch, at)
        return served - rate * (at - begun)
