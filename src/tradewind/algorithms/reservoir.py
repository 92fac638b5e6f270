"""A sample of the rows read, each worker keeping its own share: uniform, or fading with a half-life.

Uniform: Vitter, ACM TOMS 11(1), 1985, algorithm R: every row of a worker's part is kept with the same chance.
Fading: Aggarwal, VLDB 2006, section 2, a reservoir whose rows are replaced at random at such a rate that the
chance to be in it falls as the half-life says; a row's weight then makes up for what the rate could not do,
and for the rows that filled the reservoir.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def shares(slots: int, workers: int) -> NDArray[np.int64]:
    """Where each worker's slots begin, and the end of the last: (workers + 1,)."""
    return np.arange(workers + 1) * slots // workers


def draw(
    seen: int, count: int, slots: int, half_life: float, chance: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of `count` new rows come into which of a worker's `slots`, after `seen` rows: rows and slots.

    The slots are distinct; of rows that would come into the same one the last does. A `half_life` of 0 keeps
    all rows alike. O(count) time.
    """
    if not slots:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    arrival = np.arange(seen, seen + count)
    draws = chance.random((2, count))
    if half_life:
        enters = draws[0] < rate(slots, half_life)
        to = np.minimum((draws[1] * slots).astype(np.int64), slots - 1)
    else:
        to = np.minimum((draws[0] * (arrival + 1)).astype(np.int64), arrival)
        enters = to < slots
    filling = arrival < slots
    to = np.where(filling, arrival, to)
    rows = np.flatnonzero(enters | filling)
    found, last = np.unique(to[rows][::-1], return_index=True)
    return rows[::-1][last], found


def rate(slots: int, half_life: float) -> float:
    """The chance of a new row to come into a full share of a fading reservoir."""
    return min(1.0, slots * math.log(2.0) / half_life)


def row_weights(arrival: Doubles, seen: float, slots: int, half_life: float) -> Doubles:
    """For how many rows each row in a worker's share stands; `arrival` counts from 0, (filled,)."""
    filled = len(arrival)
    if not filled:
        return np.empty(0)
    if not half_life:
        return np.full(filled, seen / filled)
    entered = rate(slots, half_life)
    stays = math.log1p(-entered / slots) if slots > 1 else 0.0
    age = seen - 1 - arrival
    at_risk = np.where(arrival < slots, max(seen - slots, 0), age)
    logs = -age * (math.log(2.0) / half_life) - at_risk * stays
    logs -= np.where(arrival < slots, 0.0, math.log(entered))
    # the greatest weights are a few; those of long ago are nothing
    return np.asarray(np.exp(np.minimum(logs, 50.0)))
