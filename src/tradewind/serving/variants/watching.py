"""How a variant that runs is doing, from what was counted since the last look.

The published code looks each second at means. Here the slowdown (how many times what its profile says a
batch took) is smoothed by how many batches there were, so that one batch that the machine held up does not
move a fleet; and a variant that nobody is sent to, for it was slow, is looked at by a batch of ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from tradewind.serving.variants.states import Observed, State, quieter, state_of
from tradewind.serving.variants.variant import Rated

LATE = 0.001
"""Seconds by which an event loop that is busy may see a batch end late; not laid at the variant's door."""
FORGET = 30.0
"""Seconds in which the slowdown of a variant without replicas falls by a factor e."""
_MEMORY = 3.0
"""Batches that the slowdown so far counts as."""


class Counts(Struct, frozen=True):
    """What was counted of a variant up to a moment; differences are what is looked at."""

    calls: int = 0
    """That came."""
    answers: int = 0
    rows: int = 0
    """Of the answers."""
    seconds: float = 0.0
    """Of the answers, from their arrival."""
    batches: Mapping[int, tuple[int, float]] = {}
    """By rows of the batch: how many, and their seconds."""


class Watched(Struct, frozen=True):
    """A variant as it was seen to be."""

    counts: Counts = Counts()
    state: State = State.INACTIVE
    slowdown: float = 1.0
    """How many times what its profile says its batches take; 1 at least."""
    rate: float = 0.0
    """Rows a second that it was sent."""
    batch: float = 1.0
    """Mean rows of its batches."""
    rows: float = 1.0
    """Mean rows of a call."""
    latency: float = 0.0
    """Seconds that an answer took."""
    quiet: bool = True
    """Whether it ran no batch."""


def watched(
    before: Watched,
    now: Counts,
    rated: Rated,
    *,
    replicas: int,
    waiting: int,
    seconds: float,
    forget: float = FORGET,
) -> Watched:
    """It after `seconds` more, with so many replicas up and so many calls waiting.

    Of one that has no replicas, the slowdown is forgotten by a factor e in `forget` seconds.
    """
    profile, hardware = rated.profile.latency, rated.variant.hardware
    old = before.counts
    if now.answers < old.answers:  # counted anew
        old = Counts()
    ran = rows = 0
    spent = expected = 0.0
    for size, (count, took) in now.batches.items():
        earlier = old.batches.get(size, (0, 0.0))
        more = count - earlier[0]
        if more > 0:
            ran += more
            rows += more * size
            spent += max(0.0, took - earlier[1] - more * LATE)
            expected += more * profile.of(size)
    answers = now.answers - old.answers
    mean_rows = (now.rows - old.rows) / answers if answers else before.rows
    batch = rows / ran if ran else before.batch
    slowdown = smoothed(before.slowdown, spent / expected, ran) if ran else before.slowdown
    if not replicas:  # the next one may be better off
        slowdown = 1.0 + (slowdown - 1.0) * math.exp(-seconds / forget)
    rate = (now.calls - old.calls) * mean_rows / seconds
    latency = (now.seconds - old.seconds) / answers if answers else quieter(before.latency, hardware)
    service = slowdown * (profile.per_row * batch + profile.fixed)
    over = max(0.0, latency - LATE)
    seen = Observed(replicas, rate / batch, batch, over, service, waiting * mean_rows / batch)
    state = state_of(seen, profile, hardware, before.state)
    return Watched(now, state, slowdown, rate, batch, mean_rows, latency, not ran)


def probed(before: Watched, rated: Rated, rows: int, seconds: float) -> Watched:
    """It after a batch that nobody asked for took so long."""
    ratio = max(0.0, seconds - LATE) / rated.profile.latency.of(rows)
    return replace(before, slowdown=smoothed(before.slowdown, ratio, int(_MEMORY)))


def smoothed(before: float, seen: float, batches: int) -> float:
    """The slowdown after batches that took `seen` times what they should.

    >>> smoothed(1.0, 5.0, 1), smoothed(1.0, 5.0, 9)
    (2.0, 4.0)
    """
    return max(1.0, (_MEMORY * before + batches * seen) / (_MEMORY + batches))
