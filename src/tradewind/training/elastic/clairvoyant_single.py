"""The cheapest schedule of a single instance at standing prices, billed by the second: a dynamic programme.

The state is the moment, the work that is left and where the instance is; nothing is relaxed but the rounding
of time to cells. It is solved twice: with all rounding in favour of a lower bound, and with all rounding
against it, which gives a schedule that can be had. The least is between the two.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import NDArray

from tradewind.market.tariffs import Refund
from tradewind.training.elastic.clairvoyant_grid import HOUR, Grid

_WAIT = -1
_RELEASE, _WORK, _NOTICE = 0, 1, 2
"""What an instance that works does next: it is left, it works a cell more, or it works on under notice while
its follower is looked for."""


class Turn(Struct, frozen=True):
    """One lease of the schedule."""

    source: int
    start: int
    """The cell at whose beginning it starts."""
    end: int
    """The cell at whose beginning it ends."""
    revoked: bool


def applies(grid: Grid, most: float) -> bool:
    """Whether the job is one instance at a time, of one size, at standing prices by the second."""
    return all(
        source.vcpus == most and source.tariff.unit <= 1 and source.tariff.refund is not Refund.LAST_UNIT
        for source in grid.sources
    ) and bool((grid.low == grid.low[:, :1]).all() and (grid.high == grid.high[:, :1]).all())


def least_cost(grid: Grid, seconds: float, startup: float, notice: float, vcpus: float) -> float:
    """US dollars: no schedule of one instance that works `seconds` is cheaper. Infinite if there is none."""
    cell = grid.cell
    lost, warned = int(startup / cell + 1e-9), math.ceil(notice / cell - 1e-9)
    given = 2 if warned > lost else 1
    left = math.floor(seconds / cell + 1e-9)
    cost, _, _ = _solve(
        _rates(grid, vcpus), grid.opens, grid.until, grid.cut, _forgiven(grid), round(HOUR / cell),
        left, lost, warned, given, 1, False,
    )  # fmt: skip
    return float(cost)


def schedule(
    grid: Grid, seconds: float, startup: float, notice: float, vcpus: float
) -> tuple[Turn, ...] | None:
    """The cheapest schedule that starts and ends at beginnings of cells; None if none can.

    The grid must be rounded inwards: what it says of room holds for whole cells.
    """
    cell = grid.cell
    lost = max(1, math.ceil(startup / cell - 1e-9))
    # The notice comes up to a cell later than if the end were at the beginning of its cell.
    warned = int(notice / cell + 1e-9) - 1
    left = math.ceil(seconds / cell - 1e-9)
    # What is about to be taken away is still held by the lease whose notice that is.
    rows, cells = np.arange(len(grid.until))[:, None], np.arange(grid.cells + 1)
    dying = grid.cut[rows, np.maximum(grid.until, 0)] & (grid.until - cells <= warned + 1)
    cost, starts, nexts = _solve(
        _rates(grid, vcpus), grid.opens & ~dying, grid.until, grid.cut, _forgiven(grid), round(HOUR / cell),
        left, lost, warned, 0, 0, True,
    )  # fmt: skip
    if math.isinf(cost):
        return None
    turns = []
    x = 0
    while left > 0:
        source = int(starts[x, left])
        if source == _WAIT:
            x += 1
            continue
        free, source = source >= len(grid.sources), source % len(grid.sources)
        began, x = x, x + lost
        end = int(grid.until[source, began])
        if free:
            left = max(0, left - (end - x))
            turns.append(Turn(source, began, end, revoked=True))
            x = max(end - warned, x)
            continue
        while left > 0 and nexts[source, x, left] == _WORK:
            x, left = x + 1, left - 1
        if left > 0 and nexts[source, x, left] == _NOTICE:
            turns.append(Turn(source, began, min(end, x + left), revoked=x + left > end))
            left = max(0, left - (end - x))
        else:
            turns.append(Turn(source, began, x, revoked=False))
    return tuple(turns)


def _rates(grid: Grid, vcpus: float) -> NDArray[np.float64]:
    """US dollars an instance and cell, (sources,)."""
    rates: NDArray[np.float64] = grid.low[:, 0] * vcpus * grid.cell / HOUR
    return rates


def _forgiven(grid: Grid) -> NDArray[np.bool_]:
    return np.array([source.tariff.refund is Refund.FIRST_HOUR for source in grid.sources])


@njit(cache=True, nogil=True)
def _solve(
    rates: NDArray[np.float64],
    opens: NDArray[np.bool_],
    until: NDArray[np.int64],
    cut: NDArray[np.bool_],
    forgiven: NDArray[np.bool_],
    hour: int,
    left: int,
    lost: int,
    warned: int,
    given: int,
    unpaid: int,
    strict: bool,
) -> tuple[float, NDArray[np.int16], NDArray[np.int8]]:
    """Backwards through the cells: `vacant[x, r]` is the least cost of r cells of work from cell x on without
    a lease, `placed[s, x % ring, r]` the same with one of source s that works.

    Every lease is given `given` cells of work and `unpaid` cells of price. `strict` admits only the ends in
    `until`, less than an hour where they are to be free, and returns the choices too.
    """
    sources, cells = opens.shape[0], opens.shape[1] - 1
    # An instance is at work a cell after its start at the soonest; what it did before is given.
    first = max(1, lost)
    given += first - lost
    vacant = np.full((cells + 2, left + 1), np.inf)
    vacant[:, 0] = 0.0
    ring = first + 2
    placed = np.full((sources, ring, left + 1), np.inf)
    placed[:, :, 0] = 0.0
    starts = np.full((cells + 1, left + 1) if strict else (1, 1), _WAIT, np.int16)
    nexts = np.zeros((sources, cells + 1, left + 1) if strict else (1, 1, 1), np.int8)
    for x in range(cells, -1, -1):
        here = vacant[x]
        here[:] = vacant[x + 1]
        for s in range(sources):
            if not opens[s, x]:
                continue
            reach = until[s, x]
            if x + lost <= min(reach, cells):
                owed = rates[s] * max(0, first - unpaid)
                then = placed[s, (x + first) % ring]
                for r in range(1, left + 1):
                    cost = owed + then[max(0, r - given)]
                    if cost < here[r]:
                        here[r] = cost
                        if strict:
                            starts[x, r] = s
            if forgiven[s]:
                # Cut within its first hour it is free.
                for end in range(x + first, min(x + hour - strict, reach, cells) + 1):
                    if not cut[s, end] or (strict and end != reach):
                        continue
                    back, done = max(end - warned, x + first), end - x - first + given
                    for r in range(1, left + 1):
                        cost = vacant[back, max(0, r - done)]
                        if done > 0 and cost < here[r]:
                            here[r] = cost
                            if strict:
                                starts[x, r] = s + sources
        for s in range(sources):
            reach = until[s, x]
            now, then = placed[s, x % ring], placed[s, (x + 1) % ring]
            now[:] = here
            if strict:
                nexts[s, x, :] = _RELEASE
            if reach <= x or x >= cells:
                continue
            for r in range(1, left + 1):
                cost = rates[s] + then[r - 1]
                if cost < now[r]:
                    now[r] = cost
                    if strict:
                        nexts[s, x, r] = _WORK
            for end in range(x + 1, min(x + warned, reach, cells) + 1):
                if not cut[s, end] or (strict and end != reach):
                    continue
                for r in range(1, left + 1):
                    under = min(end - x, r)
                    cost = rates[s] * under + here[r - under]
                    if cost < now[r]:
                        now[r] = cost
                        if strict:
                            nexts[s, x, r] = _NOTICE
    return vacant[0, left], starts, nexts
