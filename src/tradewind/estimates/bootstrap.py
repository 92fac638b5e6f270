"""How sure a mean is, when what it is made of comes in blocks: the bootstrap by blocks.

Starts of one week see the same market, so they say the same thing again. Blocks are drawn with replacement,
each with all that is in it, and the mean is taken anew; the interval is between percentiles of those means
(Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7(1), 1979; for blocks
Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8). With few blocks the
interval is too narrow: eight are few, and with one nothing is known.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from tradewind.errors import Misuse

_WEEK = 7 * 86_400.0
_MONDAY = 4 * 86_400.0
"""1970-01-05, the first Monday."""
_AT_ONCE = 1 << 22
"""Drawn numbers held in memory at a time."""


class MeanInterval(Struct, frozen=True):
    """A mean, and bounds that hold it at the level asked for."""

    low: float
    mean: float
    high: float
    blocks: int = 0
    """How many were drawn from."""

    @property
    def excludes_zero(self) -> bool:
        """Whether zero is outside of the bounds."""
        return self.low > 0 or self.high < 0


def paired_interval(
    differences: ArrayLike,
    blocks: Sequence[Hashable] | NDArray[np.generic],
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> MeanInterval:
    """The mean of `differences` (one an observation, both sides on the same terms), with its interval.

    `blocks` names the block of each observation, such as `calendar_week` of its start. Plain values will do
    in place of differences. From one block follow bounds of minus and plus infinity. Equal arguments give
    equal answers. Raises Misuse for no observation, one that is not finite, or a level outside (0, 1).
    """
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise Misuse("no row of numbers", field="differences", fix="Give one number an observation.")
    if not np.isfinite(values).all():
        raise Misuse("not every one is finite", field="differences", fix="Leave out pairs without a value.")
    if len(blocks) != len(values):
        raise Misuse(
            f"{len(blocks)} blocks for {len(values)} observations", field="blocks", fix="Name one for each."
        )
    if draws < 1:
        raise Misuse(f"{draws!r} draws", field="draws", fix="Draw 1 or more.")
    if not 0 < level < 1:
        raise Misuse(f"{level!r} is no level", field="level", fix="Give 0.95 for 95 %.")
    numbers: dict[Hashable, int] = {}
    owners = np.array([numbers.setdefault(block, len(numbers)) for block in blocks], np.int64)
    count = len(numbers)
    mean = float(values.mean())
    if count == 1:
        return MeanInterval(-math.inf, mean, math.inf, count)
    sums = np.bincount(owners, values, count)
    sizes = np.bincount(owners, minlength=count).astype(np.float64)
    chance = np.random.default_rng(seed)
    means = np.empty(draws)
    step = max(1, _AT_ONCE // count)
    for first in range(0, draws, step):
        drawn = chance.integers(0, count, size=(min(step, draws - first), count))
        means[first : first + step] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return MeanInterval(float(low), mean, float(high), count)


def calendar_week(moment: float) -> int:
    """The number of the week, Monday to Sunday in UTC, that `moment` is in; weeks count up by one.

    >>> calendar_week(1420329600.0) == calendar_week(1420416000.0) - 1  # Sunday 2015-01-04, and the Monday
    True
    """
    return math.floor((moment - _MONDAY) / _WEEK)
