"""The least money that any policy could have spent on a job, had it known the recorded market in advance.

What is bounded is every policy that at no moment holds more than K useful vCPUs, beside leases under notice,
each of which may be doubled by one follower once it has worked; whose leases lose `startup` seconds each;
whose bids may have any limit; and which is done by `until`. It is a price-taker: what it takes changes no
price.

The bound, by Lagrange's multiplier on the work. Cut every lease into vCPUs, each with its share of the price:
an instance of v useful vCPUs at p dollars is v leases at p / v. Let each take up a place from its start to
its end, or to its notice. At most K overlap, and intervals are coloured with as many colours as overlap at
most: so the leases fall into K chains, in each of which one starts when the one before has ended or is under
notice. The work W is at most the sum of the chains' work w_i, the bill is the sum of their costs c_i, and so
for every lambda >= 0

    bill >= sum c_i + lambda (W - sum w_i) >= lambda W - K max over chains (lambda w - c).

The right side is a bound whatever lambda is; the best lambda is searched for. The chain that is best for a
lambda (`clairvoyant_paths`) is found backwards over a grid of time (`clairvoyant_grid`): a lease of any
length and any source, an hour at a time, each hour at the price of its start, left at any moment or ended by
a limit that the price then exceeds, for nothing where the tariff forgives it. All rounding is in the bound's
favour, so that the grid makes it lower and never wrong:

- each hour of a lease costs the lowest price of the cell in which it starts; starts and ends are rounded
  down, start-ups too, and every lease is given a cell of work, which makes up for that. Leases that do all
  their work within one cell are not counted beside one that is given that cell;
- where a notice is longer than a start-up, a lease and its follower work side by side for the difference at
  most: every revoked lease is given that work, and a cell more, and its follower counts from the end of the
  one before, at the lowest price since it can have started;
- a limit can end an hour wherever the price is the highest since the hour began, though a real limit must
  also have held since the lease began;
- slots of recorded capacity are not used up.

The servers of the state are needed as long as anybody works, W / K seconds and a start-up at least; the
bound's part for them is that time on the cheapest reliable offer, as billed.

Where K is one instance whose prices stand still, billed by the second, mixing chains would be too generous,
and `clairvoyant_single` finds the cheapest whole schedule instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct, structs

from tradewind.errors import Misuse
from tradewind.market.billing.stretches import started_units
from tradewind.market.offers import Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.training.elastic import clairvoyant_single as single
from tradewind.training.elastic.bidding.candidates import fits
from tradewind.training.elastic.clairvoyant_grid import HOUR, Grid, Source, cell_for, grid_of, sources_of
from tradewind.training.elastic.clairvoyant_paths import Delays, Path, best_path, delays
from tradewind.training.elastic.clairvoyant_schedule import Hindsight, of_paths, of_turns
from tradewind.training.view import Goal, Progress

_MOST_CELLS = 8000
_STATES = (4_000_000, 12_000_000)
"""Moments times amounts of work that are left, for a single instance: a tenth of a second, and a half."""
_NEAR = 1.02
"""How near a whole schedule must come to be left at the coarser of the two."""
_CLOSE = 3e-4
"""The search for the multiplier ends when it could raise the bound by no more than this share."""
_ROUNDS = 60
_SHARES = (0.97, 1.0, 1.01, 1.05, 1.3, 3.0, 100.0)
"""Multipliers around the best one, whose paths schedules are made of; the last works whatever it costs."""


class Bound(Struct, frozen=True):
    """The least that a job could have cost."""

    cost: float
    """US dollars, servers included: no policy spends less. Infinite where nobody could be done in time."""
    seconds: float | None
    """How long the schedule of `attained` takes; None where there is none."""
    exact: bool
    """Whether `cost` is that of a whole schedule, but for the rounding of time to `cell`."""
    workers: float
    """The part of `cost` for the workers."""
    state: float
    """The part of `cost` for the servers of the state."""
    attained: float | None
    """US dollars, as billed, of a schedule made with hindsight: the least is between `cost` and this. None
    where none was found."""
    hindsight: Hindsight | None
    """That schedule."""
    until: float
    """The moment by which the runs that it bounds are done."""
    cell: float
    """Seconds to which time was rounded."""


def cheapest_possible(
    market: RecordedMarket,
    goal: Goal,
    progress: Progress,
    start: float,
    *,
    refunds: bool = True,
    horizon: float | None = None,
) -> Bound:
    """The bound for the rest of a job that begins at `start` without any lease.

    `refunds` False takes from the tariff of spot what it forgives; give a market whose rule does the same to
    the policies that are compared. `horizon` is how many seconds a run may last where the goal has no
    deadline, or an earlier one: twice the shortest time, if not given; it binds only runs that are done then.

    Raises Misuse where the goal limits neither vCPUs nor instances, or nothing is left to be compared.
    """
    work = (progress.total - progress.done) / progress.rate
    sources = sources_of(market, goal, start, refunds=refunds)
    most = min(
        math.inf if goal.vcpus is None else goal.vcpus,
        goal.workers.count * max((source.vcpus for source in sources), default=0.0),
    )
    shortest = progress.startup + work / most if most > 0 else math.inf
    if horizon is None and goal.deadline is None:
        horizon = 2 * shortest
    until = start + (math.inf if horizon is None else horizon)
    until = min(until, math.inf if goal.deadline is None else goal.deadline)
    if math.isnan(until) or (math.isinf(until) and most > 0):
        raise Misuse(f"{horizon!r} is no horizon", field="horizon", fix="Give seconds.")
    state = _state(market, goal, start, shortest)
    if not sources or state is None or until - start < shortest:
        return Bound(math.inf, None, True, math.inf, state or 0.0, None, None, until, 0.0)
    if work <= 0:
        return Bound(0.0, 0.0, True, 0.0, 0.0, 0.0, None, until, 0.0)
    cell = cell_for(until - start, _MOST_CELLS)
    waits = delays(progress.startup, market.notice, cell)
    grid = grid_of(market, sources, start, until, cell, early=waits.early)
    exact = single.applies(grid, most)
    found = None
    if exact:
        least, found, cell = _whole(market, goal, sources, start, until, work, most, progress.startup, state)
    else:
        least, earns = _least(grid, work, most, waits)
        if least < math.inf:
            strict = grid_of(market, sources, start, until, cell)
            unhelped = structs.replace(delays(progress.startup, 0.0, cell), given=0.0)
            paths = [best_path(strict, max(earns, 1e-12) * share, unhelped) for share in _SHARES]
            found = of_paths(market, goal, paths, strict, work, most, progress.startup, until)
    return Bound(
        cost=least + state,
        seconds=None if found is None else found.seconds,
        exact=exact,
        workers=least,
        state=state,
        attained=None if found is None else found.cost,
        hindsight=found,
        until=until,
        cell=cell,
    )


def _least(grid: Grid, work: float, most: float, waits: Delays) -> tuple[float, float]:
    """The bound on the workers' bill, US dollars, and the multiplier that gives it.

    The bound as a function of the multiplier is concave and piecewise linear; two paths are held, one that
    works too little and one that works enough, and the multiplier that values both the same is tried next.
    """
    few = Path(0.0, 0.0, 0.0, ())
    dear = 1000.0 * float(grid.low.max()) / HOUR
    much = best_path(grid, dear, waits)
    if most * much.work < work * (1 - 1e-9):
        return math.inf, dear
    bound, at = 0.0, 0.0
    for _ in range(_ROUNDS):
        if much.work <= few.work:
            break
        earns = max(0.0, (much.cost - few.cost) / (much.work - few.work))
        path = best_path(grid, earns, waits)
        if earns * work - most * path.value > bound:
            bound, at = earns * work - most * path.value, earns
        # Both paths mixed, so that they do the work, cost this much: no multiplier gives more.
        ceiling = earns * work - most * (earns * much.work - much.cost)
        if ceiling - bound <= _CLOSE * ceiling:
            break
        if most * path.work >= work:
            much = path
        else:
            few = path
    return bound * (1 - 1e-9), at


def _whole(
    market: RecordedMarket,
    goal: Goal,
    sources: Sequence[Source],
    start: float,
    until: float,
    work: float,
    most: float,
    startup: float,
    state: float,
) -> tuple[float, Hindsight | None, float]:
    """The least that one instance costs, a schedule of it, and the cell: a finer one if they differ much."""
    span, seconds = until - start, work / most
    least, found, cell = math.inf, None, math.inf
    for states in _STATES:
        finer = cell_for(span, math.isqrt(int(states * span / seconds)))
        if finer >= cell:
            break
        cell = finer
        grid = grid_of(market, sources, start, until, cell)
        least = single.least_cost(grid, seconds, startup, market.notice, most)
        inner = grid_of(market, sources, start, until, cell, inwards=True)
        turns = single.schedule(inner, seconds, startup, market.notice, most)
        found = None if turns is None else of_turns(market, goal, turns, inner)
        if math.isinf(least) or (found is not None and found.cost <= _NEAR * (least + state)):
            break
    return least, found, cell


def _state(market: RecordedMarket, goal: Goal, start: float, shortest: float) -> float | None:
    """The least that the servers cost over the shortest time, US dollars; None where they have no place."""
    if goal.state.count == 0:
        return 0.0
    prices = [
        offer.price.per_hour
        for offer in market.offers(start)
        if offer.terms is Terms.ON_DEMAND and fits(offer, goal.state)
    ]
    if not prices:
        return None
    unit = market.tariffs(start)[Terms.ON_DEMAND].unit
    return goal.state.count * min(prices) * started_units(shortest, unit) * unit / HOUR
