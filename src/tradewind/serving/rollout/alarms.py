"""Alarms on what an endpoint's callers saw: a share of errors, or a percentile of latency, in a window.

An alarm's name is its condition, such as `errors>5%`, `p99>50ms` or `p95>0.2s over 120s`; so an update can
name alarms as SageMaker's `AutoRollbackConfiguration` does, with nothing else to define them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from tradewind.errors import Misuse

LEAST = 5
"""Calls in the window, below which no alarm rings: one error among one call says nothing."""
WINDOW = 60.0
"""Seconds that an alarm looks back where it does not say."""
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_OVER = r"(?:\s+over\s+(\d+(?:\.\d+)?)\s*s)?"
_ERRORS = re.compile(rf"errors\s*>=?\s*(\d+(?:\.\d+)?)\s*(%?){_OVER}", re.IGNORECASE)
_LATENCY = re.compile(rf"p(\d{{1,2}}(?:\.\d+)?)\s*>=?\s*(\d+(?:\.\d+)?)\s*(us|ms|s)\b{_OVER}", re.IGNORECASE)


class Seen(Struct, frozen=True):
    """What was counted so far, or in a window: `seen - earlier`."""

    answers: int = 0
    errors: int = 0
    """Calls refused for no fault of the caller's."""
    latencies: tuple[int, ...] = ()
    """Answers by bucket of seconds."""

    def __sub__(self, earlier: Seen) -> Seen:
        before = earlier.latencies or (0,) * len(self.latencies)
        return Seen(
            self.answers - earlier.answers, self.errors - earlier.errors,
            tuple(a - b for a, b in zip(self.latencies, before, strict=True)),
        )  # fmt: skip

    def __add__(self, other: Seen) -> Seen:
        if not self.latencies or not other.latencies:
            latencies = self.latencies or other.latencies
        else:
            latencies = tuple(a + b for a, b in zip(self.latencies, other.latencies, strict=True))
        return Seen(self.answers + other.answers, self.errors + other.errors, latencies)


class Alarm(Struct, frozen=True):
    """A condition that rings."""

    name: str
    threshold: float
    """A share of calls, or seconds."""
    percentile: float | None = None
    """As a share; None for errors."""
    window: float = WINDOW

    def rings(self, seen: Seen, bounds: Sequence[float]) -> bool:
        """Whether it rings for what was seen in its window; `bounds` are the buckets' upper ones (s).

        A percentile lies within its bucket at the place that its rank has there; beyond the last bound it
        rings.
        """
        calls = seen.answers + seen.errors
        if calls < LEAST:
            return False
        if self.percentile is None:
            return seen.errors / calls > self.threshold
        return seen.answers > 0 and quantile(seen.latencies, bounds, self.percentile) > self.threshold


def quantile(counts: Sequence[int], bounds: Sequence[float], share: float) -> float:
    """The latency below which `share` of the answers lie, in seconds; infinity beyond the last bound.

    Within a bucket it is found by linear interpolation, as by Prometheus's `histogram_quantile`.

    >>> quantile([50, 50, 0], [0.1, 0.2], 0.75)
    0.15
    """
    rank, below, lower = share * sum(counts), 0, 0.0
    for count, upper in zip(counts, bounds, strict=False):
        if count and below + count >= rank:
            return lower + (upper - lower) * max(0.0, rank - below) / count
        below, lower = below + count, upper
    return float("inf")


def alarm(name: str) -> Alarm:
    """The alarm that a name states; Misuse where it states none.

    >>> alarm("p99>50ms over 120s")
    Alarm(name='p99>50ms over 120s', threshold=0.05, percentile=0.99, window=120.0)
    """
    text = name.strip()
    if found := _ERRORS.fullmatch(text):
        amount, percent, window = found.groups()
        threshold = float(amount) / (100 if percent else 1)
        if threshold < 1:
            return Alarm(name, threshold, None, float(window or WINDOW))
    if found := _LATENCY.fullmatch(text):
        share, amount, unit, window = found.groups()
        seconds = round(float(amount) * _UNITS[unit.lower()], 9)
        return Alarm(name, seconds, round(float(share) / 100, 6), float(window or WINDOW))
    raise Misuse(
        f"{name!r} states no alarm", field="AlarmName", fix="Write one such as errors>5% or p99>50ms."
    )
