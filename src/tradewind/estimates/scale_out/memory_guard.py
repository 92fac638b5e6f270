"""Where a model of run time must not be believed: more data on each machine than it has seen to fit.

Ernest's terms cannot say that a job that no longer fits memory becomes many times slower: its predictions
are off where working sets cross memory. That they crossed shows without a look at the machines: more
machines never give more than their share of speed (`T(s, m) m` does not fall as m grows) unless each has
less to hold. So a speed-up that is more than linear means that the smaller cluster ran in another regime.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct

from tradewind.estimates.scale_out.timings import Timings

WITHIN, BEYOND, CROSSED = "within", "beyond", "crossed"
"""As full as clusters that fitted; fuller than any that was seen; as full as one that did not fit."""
TOLERANCE = 0.05
"""By how much `T m` may fall before a speed-up counts as more than linear: repeats differ, too."""


class MemoryGuard(Struct, frozen=True):
    """What was seen of data on each machine, in whatever unit the timings' scale has."""

    fits: float
    """The most that was seen to fit; 0 if none was."""
    crossed: float = math.inf
    """The least that was seen not to."""

    def verdict(self, pressure: float) -> str:
        """WITHIN, BEYOND or CROSSED, for so much data on each machine."""
        if pressure >= self.crossed:
            return CROSSED
        return WITHIN if pressure <= self.fits * (1 + 1e-9) else BEYOND

    def warning(self, pressure: float) -> str:
        """In words what speaks against a prediction there; empty where nothing does."""
        said = self.verdict(pressure)
        if said == WITHIN:
            return ""
        if said == CROSSED:
            return (
                f"each machine would hold {pressure:.3g} of data, and at {self.crossed:.3g} runs no longer"
                " fitted memory"
            )
        return f"each machine would hold {pressure:.3g} of data, and no more than {self.fits:.3g} was seen"


def memory_guard(timings: Timings, failed: tuple[float, ...] = ()) -> MemoryGuard:
    """What timings, and the pressures of runs that failed, say of memory."""
    crossed = min((*failed, _slowed(timings)), default=math.inf)
    fitting = timings.pressure[timings.pressure < crossed]
    return MemoryGuard(float(fitting.max()) if len(fitting) else 0.0, crossed)


def _slowed(timings: Timings) -> float:
    """The least pressure from which more machines gave more than their share of speed."""
    found = math.inf
    for scale in np.unique(timings.scale):
        there = timings.where(timings.scale == scale)
        counts = np.unique(there.machines)
        work = [float(np.median(there.seconds[there.machines == count])) * count for count in counts]
        for count, fewer, more in zip(counts[:-1], work[:-1], work[1:], strict=True):
            if fewer > more * (1 + TOLERANCE):
                found = min(found, float(scale / count))
    return found
