"""Ernest: run time as a serial part, a share of the data, a tree of messages and one message a machine.

Venkataraman, Yang, Franklin, Recht and Stoica, "Ernest: efficient performance prediction for large-scale
advanced analytics" (NSDI 2016), section 3: `T(s, m) = a + b s/m + c log m + d m`, none of them negative, by
non-negative least squares. As in the authors' code the squares are of seconds; with `relative` they are of
ratios, so that the slowest runs do not decide alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike
from scipy.optimize import nnls

from tradewind.estimates.scale_out.timings import Floats, Timings

SERIAL, PARALLEL, TREE, EACH = range(4)
"""The terms 1, s/m, log m and m, by column."""
ALL = (SERIAL, PARALLEL, TREE, EACH)
AMDAHL = (SERIAL, PARALLEL)
"""Amdahl's law alone: what never grows with the number of machines."""
_LEAST = 1e-3
"""Seconds that are predicted at least."""


class Ernest(Struct, frozen=True):
    """A fitted model."""

    terms: tuple[float, float, float, float]
    """Seconds for each of 1, s/m, log m and m; none is negative."""

    def predict(self, machines: ArrayLike, scale: ArrayLike = 1.0) -> Floats:
        """(k,) seconds on so many machines with so much data."""
        found: Floats = np.maximum(columns(machines, scale) @ np.array(self.terms), _LEAST)
        return found


def ernest(timings: Timings, *, relative: bool = False, terms: Sequence[int] = ALL) -> Ernest:
    """Fit the terms that are named, the others being nought; any number of runs will do."""
    wanted = columns(timings.machines, timings.scale)[:, list(terms)]
    weights = 1 / timings.seconds if relative else np.ones(len(timings))
    spans = np.abs(wanted).max(axis=0)
    spans[spans == 0] = 1.0
    found, _ = nnls(wanted / spans * weights[:, None], timings.seconds * weights)
    whole = np.zeros(4)
    whole[list(terms)] = found / spans
    return Ernest((float(whole[0]), float(whole[1]), float(whole[2]), float(whole[3])))


def columns(machines: ArrayLike, scale: ArrayLike = 1.0) -> Floats:
    """(k, 4) the terms 1, s/m, log m and m."""
    counts = np.atleast_1d(np.asarray(machines, np.float64))
    sizes = np.broadcast_to(np.asarray(scale, np.float64), counts.shape)
    return np.column_stack([np.ones_like(counts), sizes / counts, np.log(counts), counts])
