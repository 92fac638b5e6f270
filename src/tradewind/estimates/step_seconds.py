"""How long a training step of each setting takes on each machine, from what was measured of some.

SpotTune (Yang et al., ICDCS 2020) keeps a matrix of seconds a step, begun by the machines' sizes and
overwritten by measurements. Here what was not measured is completed by a model of rank one in the
logarithm: a machine's speed times a setting's work, which is most of what is there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.errors import Misuse

_FRESH = 0.3
"""What a new measurement weighs against those before it."""
_PRIOR = 0.1
"""What a machine's size weighs against one measurement of its speed."""
_ALIKE = 0.03
"""What it weighs that settings take equally long. So machines are told apart too where no setting was timed
on both."""


class Measured(Struct, frozen=True):
    """A stretch of steps that was timed."""

    machine: int
    setting: int
    seconds: float
    """A step, on average."""


def step_seconds(vcpus: Sequence[float], settings: int, measured: Sequence[Measured]) -> NDArray[np.float64]:
    """Seconds a step, (machines, settings): as measured, or by the rank-one model.

    Measurements come in the order in which they were made; of one pair the mean forgets older ones. Without
    any, a step takes a second on one vCPU, so that only the ratios mean something. A setting that was not
    measured takes what the others take on average; a machine that was not is as fast as its vCPUs say, in
    relation to those that were. O(machines^2 * settings) time.
    Misuse for a time that is not positive.
    """
    sizes = np.asarray(vcpus, np.float64)
    if not len(sizes) or not np.isfinite(sizes).all() or not (sizes > 0).all():
        raise Misuse("a machine without vCPUs does no steps", field="vcpus", fix="Give positive numbers.")
    known = np.full((len(sizes), settings), np.nan)
    for each in measured:
        if not (each.seconds > 0 and np.isfinite(each.seconds)):
            raise Misuse(f"a step cannot take {each.seconds} s", field="seconds", fix="Measure it again.")
        before = known[each.machine, each.setting]
        new = np.log(each.seconds)
        known[each.machine, each.setting] = new if np.isnan(before) else before + _FRESH * (new - before)
    speeds, works = _rank_one(known, -np.log(sizes))
    return np.exp(np.where(np.isnan(known), speeds[:, None] + works, known))


def _rank_one(
    known: NDArray[np.float64], prior: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """a (machines,) and b (settings,) so that a + b is near what is known, a near the prior, b alike."""
    seen = ~np.isnan(known)
    counts = seen.sum(axis=0)
    if not counts.any():
        return prior, np.zeros(len(counts))
    timed = seen.any(axis=1)  # of the others nothing is known but their size
    part = np.ix_(timed, counts > 0)
    left = np.where(seen, known - prior[:, None], 0.0)[part]
    mask, counts_of = seen[part].astype(np.float64), counts[counts > 0]
    # The least squares in both, each b near their common middle, which stands as one machine more in the
    # system; given a and the middle, each b is a weighted mean, which leaves a system for those alone.
    rows = np.vstack([mask, counts_of])
    shares = rows / (counts_of + _ALIKE)
    system = np.diag(np.append(mask.sum(axis=1) + _PRIOR, counts_of.sum()))
    system[-1, :-1] = system[:-1, -1] = mask.sum(axis=1)
    sums = left.sum(axis=0)
    found_of = np.linalg.solve(
        system - shares @ rows.T, np.append(left.sum(axis=1), sums.sum()) - shares @ sums
    )
    moved, middle = found_of[:-1], float(found_of[-1])
    works = middle + (sums - mask.T @ moved - counts_of * middle) / (counts_of + _ALIKE)
    found = np.full(len(counts), middle)
    found[counts > 0] = works
    speeds = prior.copy()
    speeds[timed] += moved
    return speeds, found
