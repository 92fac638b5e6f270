"""A schedule made with hindsight, of whole instances at real moments and billed as they would have been.

It shows how near the clairvoyant's bound is to what can be had: the least lies between the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
from msgspec import Struct

from tradewind.market.charges import add_up
from tradewind.market.instances import Instance, Pool
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.offers import Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.training.elastic.bidding.candidates import fits
from tradewind.training.elastic.clairvoyant_grid import Grid, Source
from tradewind.training.elastic.clairvoyant_paths import Path, Stay
from tradewind.training.elastic.clairvoyant_single import Turn
from tradewind.training.elastic.work import STATE
from tradewind.training.view import Goal


class Held(Struct, frozen=True):
    """Instances that are leased and left together."""

    pool: Pool
    terms: Terms
    count: int
    start: float
    end: float
    limit: float | None
    """The bid's limit, US dollars an hour; None where it does not matter."""
    revoked: bool
    """Whether the provider ends them."""


class Hindsight(Struct, frozen=True):
    """What to lease and when, as one who knew the market in advance would."""

    cost: float
    """US dollars, as billed, servers included."""
    seconds: float
    """From the job's start to the end of the last lease."""
    leases: tuple[Held, ...]
    """Of the workers, in the order of their starts."""


class _Chain(Struct, frozen=True):
    """Real leases, one after another; `cost` US dollars and `work` seconds a vCPU."""

    cost: float
    work: float
    step: int
    """How many vCPUs it takes in whole instances at least."""
    leases: tuple[tuple[Source, Lease], ...]


def of_turns(market: RecordedMarket, goal: Goal, turns: Sequence[Turn], grid: Grid) -> Hindsight | None:
    """The schedule of a single instance, as billed; None where two of its leases would need one slot."""
    cost = 0.0
    leases: list[Held] = []
    for turn in turns:
        source = grid.sources[turn.source]
        started, end = grid.start + turn.start * grid.cell, grid.start + turn.end * grid.cell
        if turn.revoked:
            # A slot outlasts the last whole cell of it by less than a cell.
            slots = market.history.capacities[source.pool].slots(started)
            end = slots[0].end
        if any(each.pool == source.pool and each.end > started for each in leases):
            return None
        lease = Lease(
            LeaseId(""),
            Instance("", market.catalog.type(source.pool.instance_type), source.pool.zone),
            source.terms,
            started,
            ended=end,
            ending=Ending.REVOKED if turn.revoked else Ending.RELEASED,
        )
        cost += float(add_up(charge.amount for charge in market.charges(lease, end)))
        leases.append(Held(source.pool, source.terms, 1, started, end, None, turn.revoked))
    first, last = min(each.start for each in leases), max(each.end for each in leases)
    return Hindsight(cost + _servers(market, goal, first, last), last - grid.start, tuple(leases))


def of_paths(
    market: RecordedMarket,
    goal: Goal,
    paths: Sequence[Path],
    grid: Grid,
    work: float,
    most: float,
    startup: float,
    until: float,
) -> Hindsight | None:
    """The cheapest way found to do `work` vCPU-seconds with whole instances on one or two of the paths.

    None where they do not suffice, where an instance has no whole number of vCPUs, and where capacity is
    recorded, which paths of single vCPUs do not share out.
    """
    sources = grid.sources
    if any(source.pool in market.history.capacities for source in sources):
        return None
    if any(source.vcpus != int(source.vcpus) for source in sources):
        return None
    chains = []
    for path in paths:
        chain = _real(market, sources, path, grid, startup, until)
        if chain is not None and chain not in chains:
            chains.append(chain)
    best: tuple[float, tuple[tuple[_Chain, int], ...]] | None = None
    for one, other in product(chains, chains):
        numbers = one.step * np.arange(int(most) // one.step + 1)
        missing = np.maximum(0.0, work - numbers * one.work)
        rests = other.step * np.ceil(missing / (other.work * other.step) - 1e-12)
        costs = np.where(numbers + rests <= most, numbers * one.cost + rests * other.cost, math.inf)
        at = int(costs.argmin())
        if math.isinf(costs[at]):
            continue
        used = tuple((chain, int(many)) for chain, many in ((one, numbers[at]), (other, rests[at])) if many)
        first, last = _span(used)
        cost = float(costs[at]) + _servers(market, goal, first, last)
        if best is None or cost < best[0]:
            best = cost, used
    if best is None:
        return None
    leases: list[Held] = []
    for chain, vcpus in best[1]:
        for source, lease in chain.leases:
            assert lease.ended is not None
            count = round(vcpus / source.vcpus)
            leases.append(
                Held(
                    source.pool,
                    lease.terms,
                    count,
                    lease.started,
                    lease.ended,
                    lease.limit,
                    lease.ending is Ending.REVOKED,
                )
            )
    leases.sort(key=lambda each: (each.start, each.pool, each.end))
    return Hindsight(best[0], _span(best[1])[1] - grid.start, tuple(leases))


def _span(used: Sequence[tuple[_Chain, int]]) -> tuple[float, float]:
    """From the first start to the last end."""
    leases = [lease for chain, _ in used for _, lease in chain.leases]
    return min(lease.started for lease in leases), max(lease.ended or 0.0 for lease in leases)


def _real(
    market: RecordedMarket,
    sources: Sequence[Source],
    path: Path,
    grid: Grid,
    startup: float,
    until: float,
) -> _Chain | None:
    """The path at real moments: no start hidden but under notice, no price but the one that was asked."""
    vacant, busy = grid.start, grid.start
    cost = work = 0.0
    step = 1
    leases = []
    for stay in path.stays:
        lease = _lease(market, sources[stay.source], stay, grid, vacant, until)
        if lease is None or lease.ended is None:
            continue
        begins = max(lease.started + startup, busy)
        if begins >= lease.ended:
            continue
        work += lease.ended - begins
        busy = lease.ended
        vacant = max(lease.started, busy - market.notice) if lease.ending is Ending.REVOKED else busy
        source = sources[stay.source]
        bill = add_up(charge.amount for charge in market.charges(lease, lease.ended))
        cost += float(bill) / source.vcpus
        step = math.lcm(step, int(source.vcpus))
        leases.append((source, lease))
    return _Chain(cost, work, step, tuple(leases)) if work > 0 else None


def _lease(
    market: RecordedMarket, source: Source, stay: Stay, grid: Grid, vacant: float, until: float
) -> Lease | None:
    """The lease of a stay: from the cheapest moment of its first cell on, or from when the slot is vacant."""
    begin = max(grid.start + stay.start * grid.cell, vacant)
    over = max(begin, grid.start + (stay.start + 1) * grid.cell)
    end = min(grid.start + stay.end * grid.cell, until)
    kind = market.catalog.type(source.pool.instance_type)
    instance = Instance("", kind, source.pool.zone)
    if source.terms is Terms.ON_DEMAND:
        if end <= begin:
            return None
        return Lease(LeaseId(""), instance, source.terms, begin, ended=end, ending=Ending.RELEASED)
    prices = market.history.prices[source.pool]
    times = prices.times
    changes = times[times.searchsorted(begin, "right") : times.searchsorted(over, "left")]
    moments = [moment for moment in (begin, *changes.tolist()) if prices.covers(moment) and moment < end]
    if not moments:
        return None
    started = min(moments, key=lambda moment: (prices.at(moment), moment))
    first, last = prices.times.searchsorted([started, end], "right") - 1
    highest = float(prices.prices[first : last + 1].max())
    if stay.revoked:
        # The price that is to end it lies in the last cell; its limit is the highest before that.
        before = int(prices.times.searchsorted(end, "left"))
        limit = float(prices.prices[first : max(before, first + 1)].max())
        due = prices.first_above(limit, started)
        if due is not None and end <= due <= min(end + grid.cell, until):
            return Lease(
                LeaseId(""), instance, source.terms, started, limit, ended=due, ending=Ending.REVOKED
            )
    return Lease(LeaseId(""), instance, source.terms, started, highest, ended=end, ending=Ending.RELEASED)


def _servers(market: RecordedMarket, goal: Goal, first: float, last: float) -> float:
    """What the servers of the state cost from the first start to the last end, US dollars, as billed."""
    if not goal.state.count:
        return 0.0
    reliable = [
        offer for offer in market.offers(first) if offer.terms is Terms.ON_DEMAND and fits(offer, goal.state)
    ]
    offer = min(reliable, key=lambda each: (each.price.per_hour, each.pool))
    lease = Lease(
        LeaseId(""),
        Instance("", offer.type, offer.zone),
        Terms.ON_DEMAND,
        first,
        purpose=STATE,
        ended=last,
        ending=Ending.RELEASED,
    )
    return goal.state.count * float(add_up(charge.amount for charge in market.charges(lease, last)))
