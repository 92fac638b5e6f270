"""Which requests of a burst go to functions: those that would be late on the replicas, and not as a call.

A request stays where the call costs more than its late answer.

Zhang, Yu, Wang and Yan, "MArk: Exploiting Cloud Services for Cost-Effective, SLO-Aware Machine Learning
Inference Serving" (ATC 2019), sends to functions whatever the instances cannot take while more of them start.
Here each request is judged by itself, when it comes.
"""

from __future__ import annotations

import math

from msgspec import Struct

from tradewind.serving.batching.interface import Latency


class Burst(Struct, frozen=True):
    """What is known when a request comes."""

    slack: float
    """Seconds until its answer is late; infinity where it never is."""
    rows: int
    """Of the request."""
    ahead: int
    """Rows that came before it and are not answered yet, those in hand included."""
    replicas: int
    largest: int
    """Rows of a batch at most."""
    latency: Latency
    """Of a batch on a replica, as learned."""
    calling: int = 0
    """Calls of the function in hand."""
    warm: int = 0
    """Its environments that are known to be started."""


class FunctionTerms(Struct, frozen=True):
    """What the model does as a function, and for how much."""

    per_request: float
    """US dollars of a call."""
    warm: float
    """Seconds of a call that finds a warm environment."""
    cold: float
    """Seconds of a call that does not."""
    concurrency: int
    """Calls at a time at most."""


class Route(Struct, frozen=True):
    """Where a request goes, and why."""

    function: bool
    reason: str
    expected: float
    """Seconds until its answer there."""
    more: bool = False
    """Whether a function would have been in time, had one more environment been warm."""


def expected_wait(burst: Burst) -> float:
    """Seconds until the replicas answer it, by what came before it; infinity without a replica.

    Rows ahead are cut into batches as even as the replicas are many, and run in rounds. Batches in hand are
    taken to have just begun, as they have when a burst comes: a call too many costs less than a request that
    is refused because it waited in vain.
    """
    if burst.replicas <= 0:
        return math.inf
    rows = burst.ahead + burst.rows
    batch = max(burst.rows, min(burst.largest, math.ceil(rows / burst.replicas)))
    rounds = math.ceil(math.ceil(rows / batch) / burst.replicas)
    return rounds * burst.latency.of(batch)


def route(
    burst: Burst, function: FunctionTerms | None, late: float = math.inf, deviations: float = 1.0
) -> Route:
    """Where to send a request; `late` is what a late answer costs, US dollars.

    The replicas keep it where they are expected in time, with `deviations` standard deviations of a batch to
    spare; where a function would be late as well; where all its environments are taken; and where the call
    costs more than being late.
    """
    here = expected_wait(burst) + deviations * burst.latency.deviation
    if here <= burst.slack:
        return Route(False, "the replicas answer in time", here)
    if function is None:
        return Route(False, "there is no function", here)
    if burst.calling >= function.concurrency:
        return Route(False, "as many calls run as may", here)
    there = function.warm if burst.calling < burst.warm else function.cold
    # Late on both sides it is answered where it is for nothing, unless nobody is there to do so.
    if there > burst.slack and math.isfinite(here):
        more = there > function.warm <= burst.slack and function.per_request <= late
        return Route(False, "a function would be late as well", here, more)
    if function.per_request > late:
        return Route(False, "a late answer costs less than the call", here)
    return Route(True, "the replicas would be late", there)
