"""How long a pass over data takes and what it costs, before it starts.

SageMaker elastic algorithms (Liberty et al., SIGMOD 2020), section 5: update time is linear in the data and
memory is fixed, so a few measured batches tell the rest:
`T(n, W) = startup + n * a / (W * efficiency) + finalize`, `cost = T * (W * worker_price + state_price)`.
The interval comes from the spread of the batches measured and of the prices seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from scipy.special import stdtrit

from tradewind.errors import Misuse


class Interval(Struct, frozen=True):
    """An expected value between two bounds that hold nine times in ten."""

    low: float
    expected: float
    high: float

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def scaled(self, factor: float) -> Interval:
        """Every bound times a factor that is not negative."""
        return Interval(self.low * factor, self.expected * factor, self.high * factor)

    def times(self, factor: Interval) -> Interval:
        """The product of two that are not negative."""
        return Interval(self.low * factor.low, self.expected * factor.expected, self.high * factor.high)

    def covers(self, value: float) -> bool:
        """Whether `value` lies within the bounds."""
        return self.low <= value <= self.high


def seconds_per_row(batch_seconds: Sequence[float], batch_rows: Sequence[int]) -> Interval:
    """Seconds that a row takes, from batches measured one after another on one worker.

    The slowest tenth and the fastest tenth are left out of the expected value: a pause of the machine in a
    short stretch is not what a row takes. The bounds are those of the mean of a new run, Student's t over all
    batches' own rates, never tighter than 5 % either way: a short stretch does not show how a machine drifts.
    """
    if len(batch_seconds) < 2 or len(batch_seconds) != len(batch_rows):
        raise Misuse("an estimate needs at least two measured batches", field="batch_seconds")
    rates = np.asarray(batch_seconds, np.float64) / np.asarray(batch_rows, np.float64)
    cut = len(rates) // 10  # trimmed at both ends
    mean = float(np.sort(rates)[cut : len(rates) - cut].mean())
    half = float(stdtrit(len(rates) - 1, 0.95) * rates.std(ddof=1) / math.sqrt(len(rates)))
    half = min(max(half, 0.05 * mean), 0.9 * mean)
    return Interval(mean - half, mean, mean + half)


def run_time(
    rows: float, row_seconds: Interval, speedup: float, *, startup: float = 0.0, finalize: float = 0.0
) -> Interval:
    """Seconds for `rows` rows on workers that together are `speedup` times the one that was measured."""
    if not speedup > 0:
        raise Misuse(f"a speedup of {speedup!r} does no work", field="speedup")
    fixed = Interval(startup + finalize, startup + finalize, startup + finalize)
    return row_seconds.scaled(rows / speedup) + fixed


def cost(seconds: Interval, per_hour: Interval) -> Interval:
    """US dollars for `seconds` of leases that together ask `per_hour`: the corners of both intervals."""
    return Interval(
        seconds.low * per_hour.low / 3600,
        seconds.expected * per_hour.expected / 3600,
        seconds.high * per_hour.high / 3600,
    )


def price_range(prices: Sequence[float]) -> Interval:
    """The latest price between the 5th and the 95th percentile of those seen, widened to hold the latest."""
    if not len(prices):
        raise Misuse("no price was seen", field="prices")
    seen = np.asarray(prices, np.float64)
    latest = float(seen[-1])
    low, high = np.quantile(seen, [0.05, 0.95])
    return Interval(min(float(low), latest), latest, max(float(high), latest))


def synchronous_efficiency(
    batch_seconds: Sequence[float], instances: int, batches_each: int, *, seed: int = 0, rounds: int = 2000
) -> float:
    """The share of their time that instances work where each round waits for the slowest of them.

    A round is the largest of `instances` sums of `batches_each` batches, drawn from those measured; the mean
    sum over the mean round is the efficiency. One instance never waits.
    """
    if instances < 1 or batches_each < 1 or not len(batch_seconds):
        raise Misuse("an efficiency needs an instance and a measured batch", field="batch_seconds")
    drawn = np.random.Generator(np.random.PCG64(seed)).choice(
        np.asarray(batch_seconds, np.float64), (rounds, instances, batches_each)
    )
    sums = drawn.sum(axis=2)
    return float(sums.mean() / sums.max(axis=1).mean())
