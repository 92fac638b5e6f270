"""What a batch takes and how fast requests come, learned online, one observation at a time.

Both are frozen values of plain floats, so that whoever drives a queue keeps one of each and replaces it.
The line `T(b) = per_row * b + fixed` is fitted by recursive least squares with forgetting (Ljung, *System
Identification*, 2nd edition, section 11.2), in its centred form, which loses no digits.
"""

from __future__ import annotations

import math

from msgspec import Struct

from tradewind.serving.batching.interface import Latency

FORGETTING = 0.98
"""Weight of an observation after one more; fifty batches are remembered."""
ANCHOR = 0.25
"""Weight of the slope so far against the squared spread of the batch sizes remembered (rows squared)."""
FIRST_SPREAD = 0.1
"""Deviation assumed after the first batch, as a share of its seconds; it fades like every observation."""


class LearnedLatency(Struct, frozen=True):
    """The seconds of a batch by its rows, fitted to the batches so far.

    The first batch is taken to be one half fixed, one half by row. From then on each fit minimises the
    weighted squared residuals plus `ANCHOR * (slope - slope before)**2`: where batches differ in size that
    is least squares, and while all have one size the slope, which they say nothing about, stays as it was.
    Neither coefficient is ever negative. An update takes about a microsecond.
    """

    per_row: float = 0.0
    fixed: float = 0.0
    deviation: float = 0.0
    """Root mean square of the residuals remembered, seconds."""
    weight: float = 0.0
    """Observations remembered, each by its weight; 0 before the first."""
    mean_rows: float = 0.0
    mean_seconds: float = 0.0
    rows_squared: float = 0.0
    """Weighted sums of products of the differences from the means."""
    rows_seconds: float = 0.0
    seconds_squared: float = 0.0

    @classmethod
    def guess(cls, per_row: float, fixed: float, deviation: float = 0.0) -> LearnedLatency:
        """A line known beforehand, such as a profile's; the first batch weighs as much as it does."""
        mean = per_row + fixed
        return cls(per_row, fixed, deviation, 1.0, 1.0, mean, 0.0, 0.0, deviation * deviation)

    @property
    def latency(self) -> Latency:
        """The line as rules see it; all zeros before the first batch."""
        return Latency(self.per_row, self.fixed, self.deviation)

    def observed(self, rows: int, seconds: float) -> LearnedLatency:
        """The fit after one more batch, of `rows` rows, that took `seconds`."""
        if not self.weight:
            half, spread = 0.5 * seconds, FIRST_SPREAD * seconds
            return LearnedLatency(
                half / max(rows, 1), half, spread, 1.0, rows, seconds, 0.0, 0.0, spread * spread
            )
        weight = FORGETTING * self.weight + 1.0
        ahead, above = rows - self.mean_rows, seconds - self.mean_seconds
        mean_rows, mean_seconds = self.mean_rows + ahead / weight, self.mean_seconds + above / weight
        behind = rows - mean_rows
        rows_squared = FORGETTING * self.rows_squared + ahead * behind
        rows_seconds = FORGETTING * self.rows_seconds + above * behind
        seconds_squared = FORGETTING * self.seconds_squared + above * (seconds - mean_seconds)
        slope = (rows_seconds + ANCHOR * self.per_row) / (rows_squared + ANCHOR)
        slope = max(slope, 0.0)
        fixed = mean_seconds - slope * mean_rows
        if fixed < 0.0:
            fixed = 0.0
            slope = (rows_seconds + weight * mean_rows * mean_seconds) / (
                rows_squared + weight * mean_rows * mean_rows
            )
        off = mean_seconds - slope * mean_rows - fixed
        left = seconds_squared + slope * (slope * rows_squared - 2.0 * rows_seconds)
        variance = left / weight + off * off
        return LearnedLatency(
            slope,
            fixed,
            math.sqrt(variance) if variance > 0.0 else 0.0,
            weight,
            mean_rows,
            mean_seconds,
            rows_squared,
            rows_seconds,
            seconds_squared,
        )


class Beside(Struct, frozen=True):
    """The seconds that a batch's requests spend beside it: until it begins, and until its answers are sent.

    Mean and mean deviation, smoothed as TCP's round trips are (Jacobson, SIGCOMM 1988, appendix A).
    """

    mean: float = 0.0
    deviation: float = 0.0

    @property
    def most(self) -> float:
        """What is hardly ever exceeded: two deviations above the mean."""
        return self.mean + 2.0 * self.deviation

    def observed(self, seconds: float) -> Beside:
        """After one more batch."""
        if not self.mean:
            return Beside(seconds, 0.5 * seconds)
        off = seconds - self.mean
        return Beside(self.mean + 0.125 * off, self.deviation + 0.25 * (abs(off) - self.deviation))


class ArrivalRate(Struct, frozen=True):
    """Rows a second that arrive: each counts with a weight that falls by e in `window` seconds.

    The first arrival only starts the count, and what lies before it is not taken for silence. Asked during a
    silence it falls, without an arrival to tell it.
    """

    window: float = 1.0
    """Seconds."""
    count: float = 0.0
    """Rows remembered, by weight, as of `last`."""
    start: float = -math.inf
    """The first arrival."""
    last: float = -math.inf
    """The latest arrival."""

    def arrived(self, now: float, rows: int = 1) -> ArrivalRate:
        """The rate after `rows` more rows came at `now`, which is not before the last."""
        if self.start == -math.inf:
            return ArrivalRate(self.window, 0.0, now, now)
        fade = math.exp((self.last - now) / self.window) if now > self.last else 1.0
        return ArrivalRate(self.window, self.count * fade + rows, self.start, max(now, self.last))

    def of(self, now: float) -> float:
        """Rows a second as of `now`; 0 before the second arrival."""
        span = now - self.start
        if not self.count or span <= 0.0:
            return 0.0
        fade = math.exp((self.last - now) / self.window)
        return -self.count * fade / (self.window * math.expm1(-span / self.window))
