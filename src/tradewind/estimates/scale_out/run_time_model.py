"""Run time on clusters of another size: what four readings of the runs say, and how alike jobs misled them.

The readings are Ernest's terms and Amdahl's law, by ratios of seconds, each once over all runs and once over
those that fitted memory (`memory_guard`). As C3O does (Will and others, "C3O: collaborative cluster
configuration optimization for distributed data processing in public clouds", IC2E 2021, section 4), each is
judged by leaving out one cluster size after another; instead of the best alone, their geometric mean is
taken, each by the inverse of its error: four sizes are too few to choose by. Other runs of the same job, on
other data, parameters or machine types, show by how much the same fit on the same sizes goes wrong as it
reaches further: that bias, a power of how far it reaches, is taken off, shrunk as if one more job had none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from tradewind.errors import Misuse
from tradewind.estimates.run_time import Interval
from tradewind.estimates.scale_out.ernest import ALL, AMDAHL, Ernest, ernest
from tradewind.estimates.scale_out.memory_guard import CROSSED, MemoryGuard, memory_guard
from tradewind.estimates.scale_out.timings import Floats, Timings

_READINGS = ((ALL, False), (AMDAHL, False), (ALL, True), (AMDAHL, True))
"""Terms, and whether only runs that fitted memory count."""
_NOISE = 0.02
"""Share by which equal runs differ at least."""
_REACH = 0.25
"""Standard deviation of the bias's power where no like job is known: an extrapolation to twice the machines
is then off by a sixth, one time in three."""


class RunTimeModel(Struct, frozen=True):
    """A fitted model of one job on one machine type."""

    readings: tuple[Ernest, ...]
    weights: tuple[float, ...]
    """Of the readings; they sum to 1."""
    guard: MemoryGuard
    slow: tuple[tuple[float, float], ...]
    """Data on each machine and median seconds of the clusters that did not fit memory."""
    largest: float
    """Machines of the largest cluster that was timed."""
    bias: float
    """The power of how far beyond that a prediction reaches by which it is corrected."""
    reach: float
    """The standard deviation of that power."""
    spread: float
    """Standard deviation of the logarithm of seconds within what was timed."""
    freedom: int
    """Degrees of freedom of that."""

    def predict(self, machines: ArrayLike, scale: ArrayLike = 1.0) -> Floats:
        """(k,) median seconds.

        Where the guard says `crossed`, those of the run that crossed with the most like data on each
        machine, in proportion to that; no less than the readings of all runs say.
        """
        counts = np.atleast_1d(np.asarray(machines, np.float64))
        sizes = np.broadcast_to(np.asarray(scale, np.float64), counts.shape)
        said = np.log([reading.predict(counts, sizes) for reading in self.readings])
        weights = np.tile(np.array(self.weights)[:, None], (1, len(counts)))
        crossed = np.array([self.guard.verdict(each) == CROSSED for each in sizes / counts])
        for row, (_, fitting) in enumerate(_READINGS):
            if fitting:
                weights[row, crossed] = 0.0
        weights /= weights.sum(axis=0)
        found: Floats = np.exp((weights * said).sum(axis=0) + self.bias * self._beyond(counts))
        if self.slow and crossed.any():
            pressures, seconds = np.array(self.slow).T
            asked = (sizes / counts)[crossed]
            nearest = np.abs(np.log(asked[:, None] / pressures)).argmin(axis=1)
            found[crossed] = np.maximum(found[crossed], seconds[nearest] * asked / pressures[nearest])
        return found

    def seconds(self, machines: float, scale: float = 1.0) -> Interval:
        """Seconds, between bounds that hold nine times in ten."""
        expected = float(self.predict([machines], scale)[0])
        beyond = float(self._beyond(np.array([machines]))[0])
        deviation = math.hypot(self.spread, self.reach * beyond)
        ratio = math.exp(float(stdtrit(self.freedom, 0.95)) * deviation)
        return Interval(expected / ratio, expected, expected * ratio)

    def deviation(self, machines: ArrayLike) -> Floats:
        """(k,) standard deviations of the logarithm of seconds."""
        found: Floats = np.hypot(self.spread, self.reach * self._beyond(np.asarray(machines, np.float64)))
        return found

    def _beyond(self, machines: Floats) -> Floats:
        return np.maximum(np.log(machines / self.largest), 0.0)


def run_time_model(timings: Timings, corpus: Sequence[Timings] = ()) -> RunTimeModel:
    """Fit a job's runs, of two cluster sizes at least; `corpus` has other runs of the same job.

    Of the corpus those help that have two sizes among those timed here and one beyond. O(points) small fits
    for the job and for each of the corpus. Raises Misuse on runs of a single size.
    """
    if len(np.unique(timings.machines)) < 2:
        raise Misuse(
            "all runs are on as many machines", source="timings", field="machines",
            fix="Time the job on another cluster size too.",
        )  # fmt: skip
    alone = _fitted(timings)
    powers = [power for each in corpus if (power := _power(each, alone.largest)) is not None]
    if not powers:
        return alone
    bias = float(np.sum(powers)) / (len(powers) + 1)
    around = [each - bias for each in powers]
    reach = math.sqrt((_REACH**2 + float(np.square(around).sum())) / len(around))
    return RunTimeModel(
        alone.readings,
        alone.weights,
        alone.guard,
        alone.slow,
        alone.largest,
        bias,
        reach,
        alone.spread,
        alone.freedom,
    )


def _fitted(timings: Timings) -> RunTimeModel:
    guard = memory_guard(timings)
    points = timings.points
    count = int(points.max()) + 1
    errors = np.zeros((len(_READINGS), count))
    for point in range(count):
        rest, out = timings.where(points != point), timings.where(points == point)
        for row, reading in enumerate(_read(rest)):
            errors[row, point] = np.log(reading.predict(out.machines, out.scale) / out.seconds).mean()
    inverse = 1 / (np.abs(errors).mean(axis=1) + _NOISE)
    weights = inverse / inverse.sum()
    # How wrong the runs that did not fit memory are foretold says nothing of those that do.
    fitting = np.isin(np.arange(count), points[timings.pressure < guard.crossed])
    mixed = (weights @ errors)[fitting if fitting.sum() > 1 else slice(None)]
    spread = max(float(np.sqrt(np.square(mixed).mean())), _NOISE)
    largest = float(timings.machines.max())
    return RunTimeModel(
        _read(timings),
        tuple(weights.tolist()),
        guard,
        _slow(timings, guard),
        largest,
        0.0,
        _REACH,
        spread,
        max(len(mixed) - 1, 1),
    )


def _slow(timings: Timings, guard: MemoryGuard) -> tuple[tuple[float, float], ...]:
    crossed = timings.where(timings.pressure >= guard.crossed)
    found = []
    for pressure in np.unique(crossed.pressure):
        there = crossed.seconds[crossed.pressure == pressure]
        found.append((float(pressure), float(np.median(there))))
    return tuple(found)


def _read(timings: Timings) -> tuple[Ernest, ...]:
    fitting = _that_fitted(timings)
    return tuple(
        ernest(fitting if only else timings, relative=True, terms=terms) for terms, only in _READINGS
    )


def _that_fitted(timings: Timings) -> Timings:
    """The runs that fitted memory; never fewer than those of the two least pressures."""
    crossed = memory_guard(timings).crossed
    levels = np.unique(timings.pressure)
    floor = levels[min(1, len(levels) - 1)]
    return timings.where((timings.pressure < crossed) | (timings.pressure <= floor))


def _power(like: Timings, largest: float) -> float | None:
    """The power of reach by which the same fit of a like job, on sizes up to `largest`, went wrong."""
    seen, beyond = like.where(like.machines <= largest), like.where(like.machines > largest)
    if not len(beyond) or len(np.unique(seen.machines)) < 2:
        return None
    model = _fitted(seen)
    reach = np.log(beyond.machines / model.largest)
    wrong = np.log(beyond.seconds / model.predict(beyond.machines, beyond.scale))
    return float((reach * wrong).sum() / np.square(reach).sum())
