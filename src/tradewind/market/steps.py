"""Numbers that hold from one moment to the next, searched fast: what prices and capacity have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradewind.errors import Misuse

_BLOCK = 256
"""Changes whose extremes are kept together, so that a search over months looks at few numbers."""


class Steps:
    """A step function: `values[i]` holds from `times[i]` until `times[i + 1]`, the last until `end`."""

    __slots__ = ("_bars", "end", "times", "values")

    def __init__(self, times: NDArray[np.float64], values: NDArray[Any], end: float) -> None:
        self.times, self.values, self.end = times, values, end
        self._bars: tuple[NDArray[Any], NDArray[Any]] | None = None

    def index(self, moment: float) -> int:
        """Which step holds at `moment`; -1 before the first."""
        return int(self.times.searchsorted(moment, "right")) - 1

    def next_change(self, moment: float) -> float | None:
        """The first change after `moment`."""
        at = int(self.times.searchsorted(moment, "right"))
        return float(self.times[at]) if at < len(self.times) else None

    def first(self, level: float, after: float, before: float, *, above: bool) -> float | None:
        """The first change in (after, before] that leads above (below) `level`."""
        low = int(self.times.searchsorted(after, "right"))
        high = int(self.times.searchsorted(before, "right"))
        found = self._search(level, low, high, above)
        return None if found is None else float(self.times[found])

    def _search(self, level: float, low: int, high: int, above: bool) -> int | None:
        if high - low > 2 * _BLOCK:
            # The extremes of whole blocks say which block to look into.
            if self._bars is None:
                starts = np.arange(0, len(self.values), _BLOCK)
                self._bars = (
                    np.maximum.reduceat(self.values, starts),
                    np.minimum.reduceat(self.values, starts),
                )
            first, last = -(-low // _BLOCK), high // _BLOCK
            found = self._scan(level, low, first * _BLOCK, above)
            if found is not None:
                return found
            hits = self._bars[0][first:last] > level if above else self._bars[1][first:last] < level
            block = int(hits.argmax()) if len(hits) else 0
            if len(hits) and hits[block]:
                low = (first + block) * _BLOCK
                return self._scan(level, low, low + _BLOCK, above)
            return self._scan(level, last * _BLOCK, high, above)
        return self._scan(level, low, high, above)

    def _scan(self, level: float, low: int, high: int, above: bool) -> int | None:
        if low >= high:
            return None
        hits = self.values[low:high] > level if above else self.values[low:high] < level
        at = int(hits.argmax())
        return low + at if hits[at] else None


def steps_of(times: ArrayLike, values: NDArray[Any], end: float | None, source: str, field: str) -> Steps:
    """The steps of records (n,) at `times` (n,) that rise strictly; a record that changes nothing is no step.

    `end` is the last time, if not given. Raises Misuse that names `source` and `field`.
    """
    moments = np.asarray(times, np.float64)
    steps = values
    if moments.ndim != 1 or moments.shape != steps.shape or not len(moments):
        raise Misuse(
            f"{moments.shape} times and {steps.shape} values",
            source=source,
            field=field,
            fix="Give one each.",
        )
    if not np.isfinite(moments).all():
        raise Misuse("a time is not finite", source=source, field="time", fix="Remove that record.")
    late = np.flatnonzero(np.diff(moments) <= 0)
    if len(late):
        raise Misuse(
            f"record {int(late[0]) + 2} is not later than the one before",
            source=source,
            field="time",
            fix="Sort the records by time and keep one for each moment.",
        )
    last = float(moments[-1]) if end is None else float(end)
    if not last >= moments[-1]:
        raise Misuse("the end lies before the last record", source=source, field="end", fix="Move it later.")
    kept = np.ones(len(steps), np.bool_)
    kept[1:] = steps[1:] != steps[:-1]
    moments, steps = moments[kept], steps[kept]
    moments.flags.writeable = steps.flags.writeable = False
    return Steps(moments, steps, last)
