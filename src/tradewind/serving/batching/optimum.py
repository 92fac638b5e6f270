"""The most requests that any batching rule can answer in time, knowing every arrival beforehand: exact.

One replica, requests of one row, one objective D, and a batch of b that takes exactly T(b), T ascending.

Some best schedule has these three properties, since any other is changed into one by exchanges that lose no
request. (1) Batches take requests in order of arrival: two in the wrong order may be swapped, for the sooner
one had come by the sooner batch and met its deadline in the later one, and the later one has come by the
later batch and is due no sooner. (2) A batch holds requests that follow one another: if x < z < y, x and y
are in it and z is refused, z has come when y has and is due no sooner than x, so it may have y's place. (3)
Each batch begins as soon as the replica is free and its last request is there.

So F[i][k], the soonest moment at which the replica can be free with the first i requests settled and k of
them refused, is all that matters of the past: sooner is never worse. F[i+1][k+1] <= F[i][k] (refuse), and for
each b, with s = max(F[i][k], arrival of i+b), F[i+b][k] <= s + T(b) where that is by the deadline of i+1. The
answer is n less the least k with F[n][k] finite: O(n * refused * largest) steps.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from tradewind.errors import Misuse


@numba.njit(cache=True, nogil=True)
def _fewest_refused(
    arrivals: NDArray[np.float64], seconds: NDArray[np.float64], objective: float, most: int
) -> int:
    """The least number of refused requests; -1 where it is above `most`."""
    total, largest = len(arrivals), len(seconds)
    ring = largest + 1
    free = np.full((ring, most + 1), np.inf)
    free[0, 0] = -np.inf
    low = 0
    for i in range(total):
        here = free[i % ring]
        due = arrivals[i] + objective
        last = min(most, i)
        low = most + 1
        for k in range(last + 1):
            if here[k] < np.inf:
                low = k
                break
        if low > most:
            return -1
        following = free[(i + 1) % ring]
        best = np.inf
        for k in range(low, last + 1):
            # With more refused and no sooner free a state is of no use.
            if here[k] >= best:
                continue
            best = here[k]
            if k < most and here[k] < following[k + 1]:
                following[k + 1] = here[k]
            for b in range(1, min(largest, total - i) + 1):
                start = max(here[k], arrivals[i + b - 1])
                end = start + seconds[b - 1]
                if end > due:
                    break
                free[(i + b) % ring, k] = min(end, free[(i + b) % ring, k])
        here[:] = np.inf
    end_row = free[total % ring]
    for k in range(most + 1):
        if end_row[k] < np.inf:
            return k
    return -1


def most_in_time(
    arrivals: NDArray[np.float64],
    seconds: NDArray[np.float64],
    objective: float,
    refused_at_most: int | None = None,
) -> int:
    """How many of the requests at `arrivals` (ascending) can be answered within `objective` seconds each.

    `seconds`: [b - 1] of a batch of b on the one replica, ascending, for b up to the largest.
    `refused_at_most`: how many some schedule is known to refuse, which bounds the search; Misuse if that is
    too few.
    """
    moments, times = np.asarray(arrivals, np.float64), np.asarray(seconds, np.float64)
    if not len(times) or not (np.diff(moments) >= 0).all() or not (np.diff(times) >= 0).all():
        raise Misuse("the moments or the seconds of batches are not ascending", source="optimum",
                     field="arrivals, seconds", fix="Sort them.")  # fmt: skip
    most = len(moments) if refused_at_most is None else min(int(refused_at_most), len(moments))
    if not len(moments):
        return 0
    refused = _fewest_refused(moments, times, float(objective), most)
    if refused < 0:
        raise Misuse(f"no schedule refuses as few as {most}", source="optimum", field="refused_at_most",
                     fix="Give more, or None.")  # fmt: skip
    return len(moments) - refused
