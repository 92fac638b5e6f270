"""What an outlook says of one lease: whether, and when, it is revoked within a stretch of time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from tradewind.estimates.outlook import NEVER, Outlook
from tradewind.market.instances import Pool

Risk = tuple[tuple[float, float], ...]
"""(seconds, probability of a revocation within them), ascending in both, from (0, 0)."""


def risk(outlook: Outlook, pool: Pool, delta: float) -> Risk | None:
    """The risk of a lease in `pool` whose limit is `delta` US dollars an hour above the price.

    Between two deltas of the outlook it is interpolated, beyond them that of the nearest. None for a pool
    that the outlook does not know.
    """
    if pool not in outlook.pools:
        return None
    rows = outlook.revoked[outlook.pools.index(pool)]
    above = next((at for at, each in enumerate(outlook.deltas) if each >= delta), len(rows) - 1)
    row: Sequence[float] = rows[above]
    below = above - 1
    if below >= 0 and outlook.deltas[above] > delta:
        share = (delta - outlook.deltas[below]) / (outlook.deltas[above] - outlook.deltas[below])
        row = [(1 - share) * low + share * high for low, high in zip(rows[below], row, strict=True)]
    return risk_of(outlook.horizons, row)


def risk_of(horizons: Sequence[float], row: Sequence[float]) -> Risk:
    """The risk of one row of an outlook, made to rise with the horizon where a forecast's noise does not."""
    points, highest = [(0.0, 0.0)], 0.0
    for seconds, chance in zip(horizons, row, strict=True):
        highest = max(highest, min(1.0, chance))
        if seconds > points[-1][0]:
            points.append((seconds, highest))
    return tuple(points)


def within(risk: Risk, seconds: float) -> float:
    """The probability of a revocation within `seconds`: linear between the horizons.

    After the last of them those that are left go on being revoked at the mean rate so far.
    """
    if seconds <= 0:
        return 0.0
    for (start, low), (end, high) in pairwise(risk):
        if seconds <= end:
            return low + (high - low) * (seconds - start) / (end - start)
    last, chance = risk[-1]
    if chance >= 1 or last <= 0:
        return chance
    return -math.expm1(math.log1p(-chance) * seconds / last)


def median_time(risk: Risk, seconds: float) -> float:
    """The median seconds until the revocation of those that are revoked within `seconds`."""
    half = within(risk, seconds) / 2
    if half <= 0:
        return seconds
    for (start, low), (end, high) in pairwise(risk):
        if high >= half:
            return min(seconds, start + (end - start) * (half - low) / (high - low))
    last, chance = risk[-1]
    return min(seconds, last * math.log1p(-half) / math.log1p(-chance))


def mean_time(outlook: Outlook, pool: Pool, delta: float) -> float | None:
    """The mean seconds until a revocation; None for a pool that the outlook does not know.

    The area under the share that is left, up to the last horizon, and beyond it at the mean rate so far;
    NEVER where nothing is expected to be revoked.
    """
    points = risk(outlook, pool, delta)
    if points is None:
        return None
    area = sum((end - start) * (1 - (low + high) / 2) for (start, low), (end, high) in pairwise(points))
    last, chance = points[-1]
    if chance <= 0:
        return NEVER
    if chance >= 1:
        return area
    return min(NEVER, area + (1 - chance) * last / -math.log1p(-chance))
