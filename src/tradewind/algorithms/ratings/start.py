"""Where the factors of a user or item begin: a function of the seed and of its number.

So no table of chance must be kept, sent or grown, and whoever meets a user first begins alike. The numbers
are mixed as integers, hence the same everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradewind.algorithms.mixing import GOLDEN, mixed

USERS, ITEMS = 1, 2
"""The two sides, which begin differently under one number."""


@njit(cache=True, nogil=True)
def _begin(seed: Any, side: Any, ids: Any, factors: Any, scale: Any, out: Any) -> None:
    stream = mixed(seed + side * GOLDEN)
    unit = 1.0 / (1 << 53)
    for n in range(ids.shape[0]):
        row = mixed(stream ^ mixed(np.uint64(ids[n]) + GOLDEN))
        for j in range(factors):
            bits = mixed(row + np.uint64(j + 1) * GOLDEN) >> np.uint64(11)
            out[n, j] = np.float32(scale * (2.0 * unit * np.float64(bits) - 1.0))


def beginnings(
    seed: int, side: int, ids: NDArray[np.int64], factors: int, deviation: float, width: int = 0
) -> NDArray[np.float32]:
    """First factors of `ids`, (n, `width` or `factors`), uniform about zero; columns too many are zero."""
    out = np.zeros((len(ids), max(width, factors)), np.float32)
    _begin(np.uint64(seed), np.uint64(side), ids, factors, deviation * 3**0.5, out)
    return out
