"""The best chain of leases through a market for one vCPU that earns so much for every second of work.

Numba over arrays; the proof that this bounds what any policy spends is in `clairvoyant`.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import NDArray

from tradewind.market.tariffs import Refund
from tradewind.training.elastic.clairvoyant_grid import HOUR, Grid

_WAIT, _LEAVE, _STAY = -3, -2, -1
"""What a table of choices holds where it is not the cell of an end."""
_KINDS = {Refund.NOTHING: 0, Refund.LAST_UNIT: 1, Refund.FIRST_HOUR: 2}
_RELEASED, _REVOKED, _FORGIVEN = 0, 1, 2
"""How a lease ends: by our wish, by the provider's, and so that its hour, or all of it, is not owed."""


class Stay(Struct, frozen=True):
    """One lease of a path."""

    source: int
    start: int
    """The cell in which it starts."""
    end: int
    """The cell in which it ends."""
    revoked: bool
    """Whether the provider ends it."""
    free: bool
    """Whether then its last hour, or all of it, is not owed."""


class Path(Struct, frozen=True):
    """A chain of leases of one vCPU."""

    value: float
    """What it earns less what it costs, US dollars."""
    work: float
    """Seconds, rounded up."""
    cost: float
    """US dollars, rounded down."""
    stays: tuple[Stay, ...]


class Delays(Struct, frozen=True):
    """What starting up and being under notice come to, in cells."""

    lost: int
    """From a lease's start until it works, rounded down."""
    after_notice: int
    """From the end of a revoked lease until its follower works."""
    early: int
    """How long before its cell the follower of a revoked lease may have started."""
    given: float
    """Work that every lease is given, for what rounding loses."""
    doubled: float
    """Work that a revoked lease and its follower may do at the same time."""


def delays(startup: float, notice: float, cell: float) -> Delays:
    """The delays of leases that start up in `startup` seconds and are warned `notice` seconds ahead."""
    lost, warned = int(startup / cell + 1e-9), math.ceil(notice / cell - 1e-9)
    doubled = max(0.0, notice - startup) / cell
    return Delays(
        lost=lost,
        after_notice=max(0, lost - warned),
        early=max(0, warned - lost),
        given=2.0 if warned > lost else 1.0,
        doubled=doubled,
    )


def best_path(grid: Grid, earns: float, waits: Delays) -> Path:
    """The path of highest value where a second of work earns `earns` US dollars."""
    tariffs = [source.tariff for source in grid.sources]
    hour, lost = round(HOUR / grid.cell), waits.lost
    value, work, first, held = _sweep(
        grid.low,
        grid.high,
        grid.higher,
        grid.opens,
        grid.until,
        grid.cut,
        np.array([tariff.unit > 1 for tariff in tariffs]),
        np.array([_KINDS[tariff.refund] for tariff in tariffs], np.int64),
        # One slot may outlast the horizon while others end within it: those ends are there to be used.
        np.array(
            [
                bool((row == grid.cells).all() and not cut.any())
                for row, cut in zip(grid.until, grid.cut, strict=True)
            ]
        ),
        np.array([source.terms.revocable for source in grid.sources]),
        hour,
        lost,
        waits.after_notice,
        waits.given,
        waits.doubled,
        earns * grid.cell,
    )
    if not value > 0:
        return Path(0.0, 0.0, 0.0, ())
    stays = []
    at = lost
    while at <= grid.cells:
        row, end, way = (int(each) for each in first[:, at])
        if row == _WAIT:
            at += 1
            continue
        began = at - lost
        boundary = began + hour * (lost // hour + 1)
        while end == _STAY:
            end, way = int(held[row, 0, boundary]), int(held[row, 1, boundary])
            if end == _LEAVE:
                end = boundary
            boundary += hour
        stays.append(Stay(row, began, end, way != _RELEASED, way == _FORGIVEN))
        at = max(end + (lost if way == _RELEASED else waits.after_notice), at + 1)
    seconds = work * grid.cell
    return Path(float(value), float(seconds), float(earns * seconds - value), tuple(stays))


@njit(cache=True, nogil=True)
def _sweep(
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    higher: NDArray[np.int64],
    opens: NDArray[np.bool_],
    until: NDArray[np.int64],
    cut: NDArray[np.bool_],
    by_unit: NDArray[np.bool_],
    refund: NDArray[np.int64],
    roomy: NDArray[np.bool_],
    revocable: NDArray[np.bool_],
    hour: int,
    lost: int,
    after_notice: int,
    given: float,
    doubled: float,
    gain: float,
) -> tuple[float, float, NDArray[np.int64], NDArray[np.int64]]:
    """Backwards through the cells; `gain` is what a cell of work earns.

    `free[0, x]` is the best for a vCPU that no lease can have at work before cell x, `held[0, s, x]` that of
    one in a lease of source s whose next hour starts in x; [1] of each is the work of the same. Returns value
    and work from the first cell on, and the choices: (source, end, way) for `free`, (end, way) for `held`.
    """
    sources, cells = low.shape[0], low.shape[1] - 1
    free, held = np.zeros((2, cells + 2 + max(lost, 1))), np.zeros((2, sources, cells + 1))
    first = np.full((3, cells + 1), _WAIT)
    then = np.full((sources, 2, cells + 1), _LEAVE)
    then[:, 1, :] = _RELEASED
    # The cells worth leaving in, the nearest last: each is worth more than all nearer ones.
    stack = np.empty(cells + 2, np.int64)
    top = far_first = far_hour = 0
    rest = hour - lost % hour
    for x in range(cells, -1, -1):
        # The farthest cell of the stack within what is left of the first hour, and within an hour.
        while far_first < top - 1 and stack[far_first] > x + rest:
            far_first += 1
        while far_hour < top - 1 and stack[far_hour] > x + hour:
            far_hour += 1
        in_first = stack[far_first] if top > 0 and stack[far_first] <= x + rest else -1
        in_hour = stack[far_hour] if top > 0 and stack[far_hour] <= x + hour else -1
        best, best_work = free[0, x + 1], free[1, x + 1]
        for s in range(sources):
            began = x - lost
            if began < 0 or not opens[s, began] or until[s, began] < x:
                continue
            paid, boundary = 0.0, began
            while boundary + hour <= x:
                paid += low[s, boundary]
                boundary += hour
            worth, worth_work, end, way = _hour(
                s, x, boundary, until[s, began], boundary == began, in_first, low, high, higher, cut, by_unit,
                refund, roomy, revocable, hour, lost, after_notice, doubled, gain, free, held,
            )  # fmt: skip
            worth += given * gain - paid
            if worth > best:
                best, best_work = worth, worth_work + given
                first[0, x], first[1, x], first[2, x] = s, end, way
        free[0, x], free[1, x] = best, best_work
        for s in range(sources):
            # To leave before the next hour, and start up elsewhere.
            held[0, s, x], held[1, s, x] = free[0, x + lost], free[1, x + lost]
            if until[s, x] <= x:
                continue
            worth, worth_work, end, way = _hour(
                s, x, x, until[s, x], False, in_hour, low, high, higher, cut, by_unit, refund, roomy,
                revocable, hour, lost, after_notice, doubled, gain, free, held,
            )  # fmt: skip
            if worth > held[0, s, x]:
                held[0, s, x], held[1, s, x] = worth, worth_work
                then[s, 0, x], then[s, 1, x] = end, way
        total = free[0, x + lost] + gain * x
        while top > 0 and free[0, stack[top - 1] + lost] + gain * stack[top - 1] <= total:
            top -= 1
        stack[top] = x
        top += 1
        far_first, far_hour = min(far_first, top - 1), min(far_hour, top - 1)
    at = min(lost, cells + 1)
    return free[0, at], free[1, at], first, then


@njit(cache=True, nogil=True)
def _hour(
    s: int,
    x: int,
    boundary: int,
    reach: int,
    is_first: bool,
    farthest: int,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    higher: NDArray[np.int64],
    cut: NDArray[np.bool_],
    by_unit: NDArray[np.bool_],
    refund: NDArray[np.int64],
    roomy: NDArray[np.bool_],
    revocable: NDArray[np.bool_],
    hour: int,
    lost: int,
    after_notice: int,
    doubled: float,
    gain: float,
    free: NDArray[np.float64],
    held: NDArray[np.float64],
) -> tuple[float, float, int, int]:
    """The best of the lease-hour that starts in cell `boundary`, at work from cell x on: stay for all of it,
    leave within it, or let the provider end it. Value, work, end and way.
    """
    cells = low.shape[1] - 1
    price = low[s, boundary]
    close = boundary + hour
    last = min(close, reach, cells)
    worth, worth_work, end, way = -np.inf, 0.0, _STAY, _RELEASED
    if last == close:
        worth = gain * (close - x) + held[0, s, close] - price
        worth_work = close - x + held[1, s, close]
    # A lease whose work lies within one cell takes up that cell, unless starting up keeps the next from it.
    near = x if lost > 0 else x + 1
    if by_unit[s] and roomy[s] and farthest >= 0:
        value = gain * (farthest - x) + free[0, farthest + lost] - price
        if value > worth:
            worth, worth_work = value, farthest - x + free[1, farthest + lost]
            end, way = farthest, _RELEASED
        if lost > 0 and free[0, x + lost] - price > worth:
            worth, worth_work, end, way = free[0, x + lost] - price, free[1, x + lost], x, _RELEASED
    else:
        for j in range(near, max(last, near) + 1):
            # Rounding the start and the end down can have added a cell of price.
            owed = price if by_unit[s] else price * max(0, min(j, last) - boundary - 1) / hour
            value = gain * (j - x) + free[0, j + lost] - owed
            if value > worth:
                worth, worth_work, end, way = value, j - x + free[1, j + lost], j, _RELEASED
    forgives = refund[s] == 1 or (refund[s] == 2 and is_first)
    if not revocable[s] or (not forgives and after_notice == lost and doubled == 0.0):
        return worth, worth_work, end, way
    # A limit between the prices so far and a new highest one ends the lease there; or its room ends.
    j = boundary
    by_price = True
    while True:
        if by_price:
            if j > last:
                if roomy[s]:
                    break
                by_price, j = False, x
                continue
            ended = high[s, j] > price and j >= x
        else:
            if j > last:
                break
            ended = cut[s, j]
        if ended:
            owed = 0.0
            if not forgives:
                owed = price if by_unit[s] else price * max(0, j - boundary - 1) / hour
            to = max(j + after_notice, x + 1)
            value = gain * (to - after_notice - x + doubled) + free[0, to] - owed
            if value > worth:
                worth, worth_work = value, to - after_notice - x + doubled + free[1, to]
                end, way = to - after_notice, _FORGIVEN if forgives else _REVOKED
        j = higher[s, j] if by_price and j > boundary else j + 1
    return worth, worth_work, end, way
