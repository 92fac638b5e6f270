"""What a replica sustains: the profile that follows from what its batches take, its rule and its objective.

The queue is simulated (`batching.simulation`) under Poisson arrivals, and the highest rate is searched at
which the promised share of requests is in time; at that rate Little's law gives the requests in hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tradewind.errors import Misuse
from tradewind.serving.batching.interface import BatchingRule, Latency
from tradewind.serving.batching.latency import LearnedLatency
from tradewind.serving.batching.simulation import SimulatedRun, simulate_queue
from tradewind.serving.objective import Objective
from tradewind.serving.provisioning.interface import Profile

_REQUESTS = 4000
"""Requests of one simulated queue: where one in a hundred may be late, forty of them are counted."""
_STEPS = 12
"""Halvings of the stretch of rates that is searched."""
_SPREAD = 200
"""Factors by which batches of equal rows differ."""


def sustained(
    instance_type: str,
    latency: Latency,
    rule: Callable[[], BatchingRule],
    objective: Objective,
    *,
    largest: int,
    seed: int = 0,
) -> Profile:
    """The profile of one replica whose batches of b rows take `latency.of(b)` seconds, give or take its
    deviation. `largest` rows go into a batch. Misuse where not even a request alone is in time."""
    if not latency.of(1) > 0:
        raise Misuse("nothing is known of what a batch takes", source="profile", field="latency",
                     fix="Run a few batches first.")  # fmt: skip
    if latency.of(1) > objective.latency:
        raise Misuse(
            f"a request takes {1000 * latency.of(1):.3g} ms by itself, and {1000 * objective.latency:.3g} ms "
            "are promised", source="profile", field="slo", fix="Promise more time, or serve a quicker model.",
        )  # fmt: skip
    chance = np.random.default_rng(seed)
    gaps = chance.exponential(1.0, _REQUESTS)
    spread = latency.deviation / latency.of(1)
    factors = np.maximum(0.2, 1.0 + spread * chance.standard_normal(_SPREAD))
    known = LearnedLatency.guess(latency.per_row, latency.fixed, latency.deviation)

    def run(rate: float) -> SimulatedRun:
        return simulate_queue(
            rule(), np.cumsum(gaps) / rate, latency, objective=objective.latency, largest=largest,
            factors=factors, learned=known,
        )  # fmt: skip

    high = max(largest, 1) / latency.of(max(largest, 1))
    low = 0.02 / latency.of(1)
    for _ in range(_STEPS):
        rate = math.sqrt(low * high)
        if run(rate).share_in_time >= objective.share:
            low = rate
        else:
            high = rate
    found = run(low)
    stay = float(np.nanmean(found.ends - found.arrivals))
    return Profile(instance_type, low, latency.of(1), low * stay)
