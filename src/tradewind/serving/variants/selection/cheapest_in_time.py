"""The variant that costs least for this query among those that will answer it in time, as things stand.

Our own rule. The published one takes a low speed for a low price and looks at a variant as if nothing waited.
This one puts both into figures:

- When the answer will be there: until a replica is free, the batches before it, and its own, each as long as
  the profile says times the slowdown seen of late, with the query's confidence. So overload and interference
  move queries away by themselves, as far as needed and no further.
- What the answer costs: the replica's price for the time that the query adds to it, which is its share of
  the batch that it will be part of.

Where none that runs will be in time, the query goes to the one that will be the least late, and the cheapest
that would do is started, unless one is on its way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tradewind.serving.variants.selection.interface import (
    Impossible,
    Query,
    Selection,
    Standing,
    feasible,
    named,
    refused,
)


class CheapestInTime:
    """The rule. `margin` is the share of the latency that is kept free, for what no figure tells."""

    name = "cheapest_in_time"

    def __init__(self, margin: float = 0.1) -> None:
        self.margin = margin

    def recall(self) -> None:
        """It remembers nothing."""

    def choose(
        self, query: Query, standings: Sequence[Standing], memory: None
    ) -> tuple[Selection | Impossible, None]:
        """Where the query goes; see the module."""
        found = named(query, standings)
        able = [each for each in found if feasible(query, each.rated)]
        if not able:
            return refused(query, found), None
        running = [each for each in able if each.replicas and not each.unloading]
        times = [seconds_until(query, each) for each in running]
        bound = query.latency * (1.0 - self.margin)
        in_time = [each for each, time in zip(running, times, strict=True) if time <= bound]
        if in_time:
            best = min(in_time, key=lambda each: (dollars_of(query, each), each.name))
            return Selection(best.name, "the cheapest of those in time"), None
        new = min(
            able, key=lambda each: (each.rated.profile.per_request(largest_batch(query, each)), each.name)
        )
        coming = any(math.isfinite(each.starting) for each in able)
        start = "" if coming else new.name
        if not running:
            return Selection(new.name, "nothing runs; the cheapest that does it", start=start), None
        soonest = min(zip(times, running, strict=True), key=lambda pair: (pair[0], pair[1].name))[1]
        return Selection(soonest.name, "none is in time; the least late", start=start), None


def seconds_until(query: Query, standing: Standing) -> float:
    """Expected seconds until a query's answer, were it sent to a variant that runs now."""
    latency, largest = standing.rated.profile.latency, standing.rated.variant.max_batch
    if standing.idle and not standing.waiting:
        own = latency.of(query.rows)
    else:
        # A replica is free after a share of a batch; then whole rounds of full batches go before ours.
        ahead = standing.waiting / standing.replicas
        rounds = int(ahead // largest)
        last = min(float(largest), ahead - rounds * largest + query.rows)
        freed = 0.0 if standing.idle else _line(standing, standing.batch) / (standing.replicas + 1)
        own = freed + rounds * latency.of(largest) + _line(standing, last)
    return (own + query.spread * latency.deviation) * standing.slowdown


def dollars_of(query: Query, standing: Standing) -> float:
    """Expected US dollars of a query's share of the batch that it would be part of."""
    ahead = standing.waiting / max(1, standing.replicas)
    largest = float(standing.rated.variant.max_batch)
    rows = min(largest, max(float(query.rows), standing.batch, ahead + query.rows))
    return standing.rated.profile.per_request(rows, query.rows) * standing.slowdown


def largest_batch(query: Query, standing: Standing) -> float:
    """Rows of the largest batch that leaves a query time to wait for one such batch before its own."""
    latency = standing.rated.profile.latency
    left = query.latency / 2.0 - latency.fixed - query.spread * latency.deviation
    rows = left / latency.per_row if latency.per_row > 0 else float(standing.rated.variant.max_batch)
    return max(float(query.rows), min(float(standing.rated.variant.max_batch), rows))


def _line(standing: Standing, rows: float) -> float:
    latency = standing.rated.profile.latency
    return latency.per_row * rows + latency.fixed
