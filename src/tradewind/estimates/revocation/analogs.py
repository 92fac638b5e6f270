"""Joint scenarios: moments of the past at which the market stood as it does now, and what came of them.

All pools of a scenario go on as they did from one moment, so that whatever ties them together is kept without
a model of it. Where a pool stood otherwise at that moment (not on offer, or a quarter dearer or cheaper), the
same hour of the nearest day on which it stood as now goes in for it: the nearest hour would be the one in
which it changed. Its prices are scaled to the one that stands. After the analogs and shuffled ensembles of
weather forecasters.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import NDArray

from tradewind.estimates.outlook import NEVER
from tradewind.estimates.revocation.columns import SIGHT
from tradewind.estimates.revocation.empirical import classes_of
from tradewind.estimates.revocation.experience import Experience

STEPS = (
    0.0, 900.0, 1800.0, 3600.0, 5400.0, 7200.0, 10800.0, 14400.0, 21600.0, 28800.0, 43200.0, 57600.0, 72000.0,
    86400.0,
)  # fmt: skip
"""Seconds ahead at which scenarios state prices."""
_SIGHTS = (SIGHT, 43200.0, 21600.0, 14400.0)
"""How far scenarios see: as far as a third of what is known reaches."""
_STRIDE = 3
"""Rows of the grid from one candidate to the next: half an hour."""
_NEAR = math.log(1.25)
_DAY = 48
"""Candidates a day."""
_DAYS = 28
"""Days to either side among which a pool's own moment is sought."""
_MIDDLE = 0.01
"""US dollars an hour: the delta whose clocks say how restless a pool is."""


class Scenes(Struct, frozen=True):
    """S ways in which P pools go on."""

    weights: NDArray[np.float64]
    """(S,) how alike each moment is, adding up to 1."""
    revoked: NDArray[np.float64]
    """(S, P, D) seconds, as `Scenario.revoked`."""
    prices: NDArray[np.float64]
    """(S, P, K) as `Scenario.prices`."""
    steps: NDArray[np.float64]
    """(K,)"""


class Standing(Struct, frozen=True):
    """How P pools stand at a moment."""

    rows: NDArray[np.int64]
    """(P,) their rows of the columns."""
    up: NDArray[np.bool_]
    """(P,) whether a lease can be had, or is held."""
    prices: NDArray[np.float64]
    """(P,) the price that stands, or stood last; NaN where none is known."""
    moods: NDArray[np.uint8]
    """(P,) the class of `empirical` for the middle delta."""


class Analogs:
    """The moments of a history that may be likened to others."""

    __slots__ = ("_experience", "_hours", "_levels", "_moments", "_moods", "middle")

    def __init__(self, experience: Experience) -> None:
        self._experience = experience
        self.middle = int(np.abs(np.log(experience.deltas / _MIDDLE)).argmin())
        """Which delta the moods are of."""
        self._moments = experience.moments[::_STRIDE]
        self._hours = self._moments % 86400.0 / 3600.0
        with np.errstate(divide="ignore"):
            levels = np.log(experience.standing[::_STRIDE])
        self._levels = np.where(np.isfinite(levels), levels, np.nan).astype(np.float32)
        self._moods = np.ascontiguousarray(classes_of(experience)[::_STRIDE, :, self.middle])

    def scenes(
        self,
        standing: Standing,
        marginals: NDArray[np.float64],
        now: float,
        known: float,
        many: int,
    ) -> Scenes:
        """`many` scenes at most, seen from `now`, out of what was over by `known`.

        A pool without a moment of its own follows its `marginals` (P, D, H), by itself; so do all where too
        little is known.
        """
        columns, deltas = self._experience.columns, self._experience.deltas
        span = known - self._experience.start
        sight = next((each for each in _SIGHTS if span >= 3 * each), None)
        steps = _STEPS[: int(_STEPS.searchsorted(_SIGHTS[-1] if sight is None else sight, "right"))]
        candidates = 0
        if sight is not None:
            candidates = int(self._moments.searchsorted(known - sight, "right"))
        pools = len(standing.rows)
        levels = np.where(
            standing.up,
            np.where(columns.has_prices[standing.rows], np.log(standing.prices), 0.0),
            math.nan,
        ).astype(np.float32)
        if candidates:
            distances = np.empty(candidates)
            _distances(
                self._levels, self._moods, self._hours, standing.rows, levels, standing.moods,
                now % 86400.0 / 3600.0, distances,
            )  # fmt: skip
            distances += (now - self._moments[:candidates]) / (60 * 86400.0)
            picked = _one_a_block(distances, many)
            weights = np.exp(distances[picked].min() - distances[picked])
            moments = np.empty((len(picked), pools))
            _own_moments(
                self._levels, self._moments, candidates, picked, standing.rows, levels,
                columns.starts, columns.has_capacity, moments,
            )  # fmt: skip
        else:
            weights = np.ones(many)
            moments = np.full((many, pools), math.nan)
        revoked = np.empty((len(weights), pools, len(deltas)))
        prices = np.empty((len(weights), pools, len(steps)))
        _play(
            moments, standing.rows, standing.up, standing.prices, deltas, steps, columns.ends,
            columns.price_bounds, columns.price_times, columns.prices, columns.spell_bounds,
            columns.spell_begins, columns.spell_ends, columns.has_prices, columns.has_capacity,
            self._experience.horizons, marginals, revoked, prices,
        )  # fmt: skip
        return Scenes(weights / weights.sum(), revoked, prices, steps)


_STEPS = np.asarray(STEPS)


def _one_a_block(distances: NDArray[np.float64], many: int) -> NDArray[np.int64]:
    """The nearest candidate of each block of time, the `many` nearest of them, in order of time.

    Blocks are a day long, or shorter where the past is short: neighbours in time would all say the same.
    """
    block = max(1, min(_DAY, len(distances) // (2 * many)))
    blocks = -(-len(distances) // block)
    # Counted back from what was known last, so that the newest block is whole.
    padded = np.full(blocks * block, math.inf)
    padded[len(padded) - len(distances) :] = distances
    nearest = padded.reshape(blocks, block).argmin(axis=1) + np.arange(blocks) * block
    best = nearest[np.argsort(padded[nearest], kind="stable")[:many]]
    return np.sort(best) - (len(padded) - len(distances))


@njit(cache=True, nogil=True)
def _distances(
    levels: NDArray[np.float32],
    moods: NDArray[np.uint8],
    hours: NDArray[np.float64],
    rows: NDArray[np.int64],
    standing: NDArray[np.float32],
    mood: NDArray[np.uint8],
    hour: float,
    distances: NDArray[np.float64],
) -> None:
    for at in range(len(distances)):
        total = 0.0
        for pool in range(len(rows)):
            row = rows[pool]
            level = levels[at, row]
            if math.isnan(level) != math.isnan(standing[pool]):
                total += 4.0
            elif not math.isnan(level):
                off = (level - standing[pool]) / 0.2
                older = float(moods[at, row] // 4) - float(mood[pool] // 4)
                calmer = float(moods[at, row] % 4) - float(mood[pool] % 4)
                total += min(off * off, 4.0) + 0.25 * (older * older + calmer * calmer)
        apart = abs(hours[at] - hour)
        apart = min(apart, 24.0 - apart) / 4.0
        distances[at] = total / max(len(rows), 1) + 0.5 * apart * apart


@njit(cache=True, nogil=True)
def _own_moments(
    levels: NDArray[np.float32],
    moments: NDArray[np.float64],
    candidates: int,
    picked: NDArray[np.int64],
    rows: NDArray[np.int64],
    standing: NDArray[np.float32],
    starts: NDArray[np.float64],
    limited: NDArray[np.bool_],
    chosen: NDArray[np.float64],
) -> None:
    """The moment of each scene that stands for each pool: its own, or one of another day that is like now.

    NaN where none is: a pool on offer now that never was on those days, or one whose record begins later.
    """
    for scene in range(len(picked)):
        for pool in range(len(rows)):
            row, level = rows[pool], standing[pool]
            best, least = -1, np.inf
            for away in range(_DAYS + 1):
                for side in range(2):
                    at = picked[scene] + (away if side == 0 else -away) * _DAY
                    if at < 0 or at >= candidates or moments[at] < starts[row]:
                        continue
                    other = levels[at, row]
                    if math.isnan(other) != math.isnan(level):
                        continue
                    off = 0.0 if math.isnan(level) else abs(other - level)
                    if off < least:
                        best, least = at, off
                    if off <= _NEAR:
                        break
                if least <= _NEAR:
                    break
            chosen[scene, pool] = np.nan if best < 0 else moments[best]


@njit(cache=True, nogil=True)
def _play(
    moments: NDArray[np.float64],
    rows: NDArray[np.int64],
    up: NDArray[np.bool_],
    standing: NDArray[np.float64],
    deltas: NDArray[np.float64],
    steps: NDArray[np.float64],
    stops: NDArray[np.float64],
    price_bounds: NDArray[np.int64],
    times: NDArray[np.float64],
    values: NDArray[np.float64],
    spell_bounds: NDArray[np.int64],
    begins: NDArray[np.float64],
    ends: NDArray[np.float64],
    priced: NDArray[np.bool_],
    limited: NDArray[np.bool_],
    horizons: NDArray[np.float64],
    marginals: NDArray[np.float64],
    revoked: NDArray[np.float64],
    prices: NDArray[np.float64],
) -> None:
    sight = steps[-1]
    scenes = len(moments)
    for scene in range(scenes):
        for pool in range(len(rows)):
            row, then = rows[pool], moments[scene, pool]
            price = standing[pool]
            if math.isnan(then):
                # Its marginals by themselves; a golden step apart from the pool before.
                share = ((scene + 0.5) / scenes + pool * 0.6180339887498949) % 1.0
                for delta in range(len(deltas)):
                    revoked[scene, pool, delta] = 0.0
                    if up[pool]:
                        revoked[scene, pool, delta] = _quantile(share, horizons, marginals[pool, delta])
                for step in range(len(steps)):
                    known = up[pool] and not math.isnan(price)
                    prices[scene, pool, step] = price if known else NEVER
                continue
            low, high = price_bounds[row], price_bounds[row + 1]
            factor = price
            at = low
            if priced[row]:
                at = low + np.searchsorted(times[low:high], then, side="right")
                factor = price / values[max(at - 1, low)]
            first, last = spell_bounds[row], spell_bounds[row + 1]
            spell = first
            if limited[row]:
                spell = max(first + np.searchsorted(begins[first:last], then, side="right") - 1, first)
                while spell < last and ends[spell] <= then:
                    spell += 1
            # When a lease begins: now, or with the first slot.
            began, over = then, np.inf
            if limited[row]:
                if spell == last or begins[spell] > then + sight:
                    began, over = np.inf, 0.0
                else:
                    began, over = max(begins[spell], then), ends[spell]
            elif not up[pool]:
                began = np.inf
            if math.isinf(began):
                for delta in range(len(deltas)):
                    revoked[scene, pool, delta] = 0.0
                for step in range(len(steps)):
                    prices[scene, pool, step] = NEVER
                continue
            done = 0
            if priced[row]:
                change = at
                while change < high and times[change] <= began:
                    change += 1
                limit = values[max(change - 1, low)] * factor
                while change < high and done < len(deltas) and times[change] <= min(then + sight, over):
                    while done < len(deltas) and values[change] * factor > limit + deltas[done]:
                        revoked[scene, pool, done] = times[change] - then
                        done += 1
                    change += 1
            for delta in range(done, len(deltas)):
                revoked[scene, pool, delta] = over - then if over - then <= sight else NEVER
            for step in range(len(steps)):
                moment = then + steps[step]
                while limited[row] and spell < last and ends[spell] <= moment:
                    spell += 1
                if limited[row] and (spell == last or begins[spell] > moment):
                    prices[scene, pool, step] = NEVER
                elif priced[row]:
                    while at < high and times[at] <= moment:
                        at += 1
                    prices[scene, pool, step] = values[max(at - 1, low)] * factor
                else:
                    prices[scene, pool, step] = NEVER if math.isnan(price) else price


@njit(cache=True, nogil=True)
def _quantile(share: float, horizons: NDArray[np.float64], chances: NDArray[np.float64]) -> float:
    """The seconds by which a lease is revoked with a chance of `share`; NEVER past the horizons."""
    before, reached = 0.0, 0.0
    for at in range(len(horizons)):
        if share <= chances[at]:
            part = (share - reached) / max(chances[at] - reached, 1e-12)
            seconds: float = before + part * (horizons[at] - before)
            return seconds
        before, reached = horizons[at], chances[at]
    return NEVER
