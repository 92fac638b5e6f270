"""A market between two moments as arrays over equal cells of time, rounded in favour of a lower bound.

What a policy could do within a cell is counted as done at its best moment: a lease-hour that starts in a cell
costs the lowest price in it, a pool with room at any moment of a cell has room, and the highest price in a
cell decides whether a price could have risen there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import NDArray

from tradewind.market.histories import CapacityHistory, PriceHistory
from tradewind.market.instances import Pool
from tradewind.market.offers import Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.market.tariffs import Refund, Tariff
from tradewind.training.elastic.bidding.candidates import fits, useful_vcpus
from tradewind.training.view import Goal

HOUR = 3600.0
CELLS = (5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600)
"""Lengths of a cell in seconds to choose from; an hour holds a whole number of each."""


class Source(Struct, frozen=True):
    """Where leases of workers may come from."""

    pool: Pool
    terms: Terms
    vcpus: float
    """Useful ones of an instance."""
    tariff: Tariff
    price: float = 0.0
    """US dollars an instance-hour where it never changes."""


class Grid(Struct, frozen=True):
    """What the sources offer, (sources, cells + 1) each; prices by the hour of one useful vCPU."""

    start: float
    cell: float
    """Seconds."""
    cells: int
    sources: tuple[Source, ...]
    low: NDArray[np.float64]
    """The lowest price in each cell, and in the cells before it in which its lease may have started."""
    high: NDArray[np.float64]
    """The highest price in each cell."""
    higher: NDArray[np.int64]
    """The next cell whose highest price is above this one's; cells + 1 for none."""
    opens: NDArray[np.bool_]
    """Whether a lease can start in the cell."""
    until: NDArray[np.int64]
    """The last cell that a lease that is held in this one can reach."""
    cut: NDArray[np.bool_]
    """Whether the provider ends some lease in the cell by taking the room away."""


def sources_of(market: RecordedMarket, goal: Goal, start: float, *, refunds: bool) -> tuple[Source, ...]:
    """All that the goal's workers could be leased from: every spot pool, and the cheapest on-demand offer.

    Of offers that neither change nor end only the one where a useful vCPU is cheapest can matter.
    """
    tariffs = market.tariffs(start)
    found = []
    spot = tariffs[Terms.SPOT]
    if not refunds:
        spot = Tariff(spot.unit, Refund.NOTHING)
    demand = goal.workers
    for pool in market.history.prices:
        kind = market.catalog.type(pool.instance_type)
        vcpus = useful_vcpus(kind.resources.vcpus, goal)
        if vcpus > 0 and demand.accepts(kind, pool.zone):
            found.append(Source(pool, Terms.SPOT, vcpus, spot))
    steady = [
        Source(
            offer.pool,
            Terms.ON_DEMAND,
            useful_vcpus(offer.type.resources.vcpus, goal),
            tariffs[Terms.ON_DEMAND],
            offer.price.per_hour,
        )
        for offer in market.offers(start)
        if offer.terms is Terms.ON_DEMAND and fits(offer, demand)
    ]
    steady = [each for each in steady if each.vcpus > 0]
    if steady:
        found.append(min(steady, key=lambda each: (each.price / each.vcpus, each.pool)))
    return tuple(found)


def cell_for(span: float, most: int) -> float:
    """The shortest cell that cuts `span` seconds into no more than `most`; the longest if none does."""
    for cell in CELLS:
        if span / cell <= most:
            return float(cell)
    return float(CELLS[-1])


def grid_of(
    market: RecordedMarket,
    sources: Sequence[Source],
    start: float,
    end: float,
    cell: float,
    *,
    early: int = 0,
    inwards: bool = False,
) -> Grid:
    """The sources from `start` to `end` in cells of `cell` seconds.

    A lease may have started up to `early` cells before the one that it is counted in. `inwards` rounds room
    the other way: a lease that starts at the beginning of a cell gets the oldest slot that lives then, and
    reaches the last beginning of a cell within that.
    """
    cells = math.floor((end - start) / cell + 1e-9)
    shape = (len(sources), cells + 1)
    low: NDArray[np.float64] = np.empty(shape)
    high: NDArray[np.float64] = np.empty(shape)
    opens = np.ones(shape, np.bool_)
    until = np.full(shape, cells, np.int64)
    cut = np.zeros(shape, np.bool_)
    edges = np.asarray(start + cell * np.arange(cells + 2), np.float64)
    for at, source in enumerate(sources):
        if source.terms is Terms.ON_DEMAND:
            low[at] = high[at] = source.price / source.vcpus
            continue
        prices = market.history.prices[source.pool]
        _prices(prices, edges, low[at], high[at])
        low[at] /= source.vcpus
        high[at] /= source.vcpus
        opens[at] = (edges[:-1] if inwards else edges[1:]) >= prices.start
        opens[at] &= edges[:-1] <= prices.end
        capacity = market.history.capacities.get(source.pool)
        if capacity is not None:
            fill = _oldest if inwards else _room
            fill(capacity, edges, opens[at], until[at], cut[at])
    if early > 0:
        low = np.array([_since(np.minimum, row, early) for row in low]).reshape(shape)
        opens = np.array([_since(np.logical_or, row, early) for row in opens]).reshape(shape)
    return Grid(start, cell, cells, tuple(sources), low, high, _higher(high), opens, until, cut)


@njit(cache=True, nogil=True)
def _higher(high: NDArray[np.float64]) -> NDArray[np.int64]:
    rows, cells = high.shape[0], high.shape[1] - 1
    higher = np.full((rows, cells + 1), cells + 1)
    for r in range(rows):
        for x in range(cells - 1, -1, -1):
            nxt = x + 1
            while nxt <= cells and high[r, nxt] <= high[r, x]:
                nxt = higher[r, nxt]
            higher[r, x] = nxt
    return higher


def _prices(
    prices: PriceHistory, edges: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> None:
    first = prices.times.searchsorted(edges[0], "right") - 1
    last = prices.times.searchsorted(edges[-1], "right")
    _extremes(prices.times[max(first, 0) : last], prices.prices[max(first, 0) : last], edges, low, high)


@njit(cache=True, nogil=True)
def _extremes(
    times: NDArray[np.float64],
    values: NDArray[np.float64],
    edges: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> None:
    """The lowest and highest of the values that hold in [edges[i], edges[i + 1]); before all, the first."""
    at = 0
    for cell in range(len(low)):
        while at + 1 < len(times) and times[at + 1] <= edges[cell]:
            at += 1
        least = most = values[at]
        while at + 1 < len(times) and times[at + 1] < edges[cell + 1]:
            at += 1
            least, most = min(least, values[at]), max(most, values[at])
        low[cell], high[cell] = least, most


def _since(join: np.ufunc, values: NDArray[Any], back: int) -> NDArray[Any]:
    """At each place what it and the `back` before it come to."""
    joined = values.copy()
    for by in range(1, min(back, len(values) - 1) + 1):
        join(joined[by:], values[:-by], out=joined[by:])
    return joined


def _room(
    capacity: CapacityHistory,
    edges: NDArray[np.float64],
    opens: NDArray[np.bool_],
    until: NDArray[np.int64],
    cut: NDArray[np.bool_],
) -> None:
    """Narrow what a pool offers to its recorded slots, rounded outwards to whole cells.

    A lease is taken to pass from slot to slot where they overlap, which a real one cannot.
    """
    cells = len(opens) - 1
    room = np.zeros(len(opens), np.bool_)
    until[:] = -1
    chosen = (capacity.starts < edges[-1]) & (capacity.ends > edges[0])
    for began, ended in zip(capacity.starts[chosen], capacity.ends[chosen], strict=True):
        first = max(0, int(np.searchsorted(edges, began, "right")) - 1)
        last = cells if math.isinf(ended) else min(cells, int(np.searchsorted(edges, ended, "right")) - 1)
        room[first : last + 1] = True
        np.maximum(until[first : last + 1], last, out=until[first : last + 1])
        if ended < edges[-1]:
            cut[last] = True
    outside = (edges[1:] <= capacity.start) | (edges[:-1] > capacity.end)
    opens &= room & ~outside


def _oldest(
    capacity: CapacityHistory,
    edges: NDArray[np.float64],
    opens: NDArray[np.bool_],
    until: NDArray[np.int64],
    cut: NDArray[np.bool_],
) -> None:
    """The same with the oldest slot alone, rounded inwards."""
    cells = len(opens) - 1
    room = np.zeros(len(opens), np.bool_)
    until[:] = -1
    chosen = np.flatnonzero((capacity.starts < edges[-1]) & (capacity.ends > edges[0]))
    for slot in chosen[::-1]:
        began, ended = capacity.starts[slot], capacity.ends[slot]
        first = max(0, int(np.searchsorted(edges, began, "left")))
        over = min(cells + 1, int(np.searchsorted(edges, ended, "left")))
        room[first:over] = True
        until[first:over] = cells if math.isinf(ended) else min(cells, over - (edges[over] > ended))
        if ended <= edges[-2]:
            cut[over - (edges[over] > ended)] = True
    opens &= room & (edges[:-1] >= capacity.start) & (edges[:-1] <= capacity.end)
