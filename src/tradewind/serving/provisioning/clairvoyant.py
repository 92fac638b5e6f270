"""What no policy can undercut: the cost of serving a share of the requests in time, knowing all that comes.

A linear program over windows of time, each of whose simplifications can only lower the cost, so that its
optimum is a bound for every policy that answers at least that share in time:

- replicas are fractional, of the type and place that give most capacity for the money just then;
- a request uses its replica within its window, or, if it came in the last `latency` seconds of it, in the
  next; which requests are refused is chosen with hindsight;
- billed by the hour, capacity is bought as hours, each at the least price of the window in which it begins;
  one that does not follow upon another serves only after the start-up. Billed by the second, a second costs
  the least price of the hour before it, and capacity that is added pays for its start-up besides;
- where the provider refunds what it cuts short, capacity is free whenever some bid on some pool would be cut
  short at the right moment; in volatile markets that is nearly always, and the bound says little;
- functions, where there are any, are warm and without limit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from tradewind.errors import Misuse, Permanent
from tradewind.market.histories import PriceHistory
from tradewind.market.offers import Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.market.tariffs import Refund, Tariff
from tradewind.serving.objective import Objective
from tradewind.serving.provisioning.interface import FunctionProfile, Profile

_matrices: Any = sparse
_solver: Any = linprog
"""Their stubs know no sparse program."""
_HOUR = 3600.0
_SAFE = 1e-6
"""The share of the optimum that is taken off, for the solver's tolerance."""


class Load(Struct, frozen=True, eq=False):
    """The requests of a stretch, in windows of equal length."""

    start: float
    window: float
    """Seconds."""
    counts: NDArray[np.float64]
    """(n,) requests that come in each window."""
    tails: NDArray[np.float64]
    """(n,) of them, those that come in the last `latency` seconds of the window."""


class Bound(Struct, frozen=True):
    """The least that serving can cost."""

    cost: float
    """US dollars."""
    served: float
    """Requests answered in time in the plan that costs it."""
    functions: float
    """Of these, by functions."""
    free_windows: int
    """Windows in which refunds make capacity free."""


def cheapest_serving(
    market: RecordedMarket,
    objective: Objective,
    profiles: tuple[Profile, ...],
    load: Load,
    *,
    startup: float,
    share: float | None = None,
    function: FunctionProfile | None = None,
) -> Bound:
    """The bound for answering `share` of the requests (the objective's if not given) in time.

    The tariffs are those of the load's start. Raises Misuse for windows shorter than the latency, Permanent
    where the share cannot be reached at all, as for a stretch that hardly outlasts the start-up.
    """
    if load.window < objective.latency:
        raise Misuse("shorter than the latency", field="window", fix="Give longer windows.")
    wanted = objective.share if share is None else share
    rates = {each.instance_type: each.rate for each in profiles if each.service <= objective.latency}
    tariffs = market.tariffs(load.start)
    spot = tariffs[Terms.SPOT]
    hourly = min(spot.unit, tariffs[Terms.ON_DEMAND].unit) >= _HOUR
    prices = _cheapest(market, rates, load, 0.0 if hourly else _HOUR)
    free = _free(market, rates, load, spot, startup)
    return _solve(load, prices, free, startup, wanted, hourly, function)


def _cheapest(
    market: RecordedMarket, rates: dict[str, float], load: Load, back: float
) -> NDArray[np.float64]:
    """(n,) the least dollars an hour for a request a second, in each window and the `back` seconds before
    it."""
    begins: NDArray[np.float64] = load.start + load.window * np.arange(len(load.counts), dtype=np.float64)
    best = np.full(len(begins), math.inf)
    for offer in market.offers(load.start):
        if offer.terms is Terms.ON_DEMAND and offer.type.name in rates:
            best = np.minimum(best, offer.price.per_hour / rates[offer.type.name])
    for pool, history in market.history.prices.items():
        if pool.instance_type in rates:
            least = _least(history, begins - back, begins + load.window)
            best = np.minimum(best, least / rates[pool.instance_type])
    return best


def _least(history: PriceHistory, starts: NDArray[Any], ends: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) the least price in each [start, end); infinite where nothing is recorded yet."""
    first = np.maximum(history.times.searchsorted(starts, "right") - 1, 0)
    last = history.times.searchsorted(ends, "left")
    padded = np.append(history.prices, math.inf)
    pairs = np.stack([first, np.maximum(last, first + 1)], axis=1).ravel()
    least: NDArray[np.float64] = np.minimum.reduceat(padded, pairs)[::2]
    return np.where(last > 0, least, math.inf)


def _free(
    market: RecordedMarket, rates: dict[str, float], load: Load, tariff: Tariff, startup: float
) -> NDArray[np.bool_]:
    """(n,) whether some bid would have brought capacity in the window that the provider then forgave.

    A lease that begins at s with a limit between the highest price until r and the price at r ends at r; it
    is forgiven if that is within an hour of s, or of the start of a later hour of it.
    """
    found = np.zeros(len(load.counts), np.bool_)
    if tariff.refund is Refund.NOTHING:
        return found
    lag = startup if tariff.refund is Refund.FIRST_HOUR else 0.0
    end = load.start + load.window * len(found)
    for pool, history in market.history.prices.items():
        if pool.instance_type not in rates:
            continue
        times, prices = history.times, history.prices
        low = int(times.searchsorted(load.start, "right"))
        for at in range(max(low, 1), len(times)):
            if times[at - 1] >= end + _HOUR:
                break
            back = at - 1
            since = times[at] - _HOUR
            while back >= 0 and prices[back] < prices[at] and times[back] > since:
                back -= 1
            begin = since if back < 0 or prices[back] < prices[at] else max(since, times[back + 1])
            begin = max(begin, times[0], load.start) + lag
            if begin < times[at]:
                first = max(0, math.floor((begin - load.start) / load.window))
                found[first : math.ceil((times[at] - load.start) / load.window)] = True
    return found


def _solve(
    load: Load, prices: NDArray[np.float64], free: NDArray[np.bool_], startup: float, share: float,
    hourly: bool, function: FunctionProfile | None,
) -> Bound:  # fmt: skip
    """The linear program: served and carried requests by window, calls of functions, and capacity."""
    n, window = len(load.counts), load.window
    blind = math.floor(startup / window)
    """Windows in which no lease can have started up."""
    counts, tails = load.counts, np.minimum(load.tails, load.counts)
    unit = _matrices.identity(n, format="csr")
    shift = _matrices.diags([np.ones(n - 1)], [-1], shape=(n, n), format="csr")
    if hourly:
        fresh, later = _hours(n, window, startup)
        capacity = _matrices.hstack([fresh, later])
        costs = np.concatenate([prices, prices])
        hour = round(_HOUR / window)
        ended = np.arange(max(0, n - hour))
        follows = _matrices.csr_matrix((np.ones(len(ended)), (ended + hour, ended)), shape=(n, n))
        # What follows upon an hour is no more than what ended: later[s] <= (fresh + later)[s - 1 h].
        rules = _matrices.hstack([-follows, unit - follows])
        most = np.full(2 * n, math.inf)
    else:
        capacity = _matrices.hstack([unit * window, _matrices.csr_matrix((n, n))])
        before = math.ceil(startup / window) + 2
        least = np.array([prices[max(0, at - before) : at + 1].min() for at in range(n)])
        costs = np.concatenate([prices * window, least * startup]) / _HOUR
        # What is added was started up: n[t] - n[t - 1] <= added[t].
        rules = _matrices.hstack([unit - shift, -unit])
        most = np.concatenate([np.where(np.arange(n) < blind, 0.0, math.inf), np.full(n, math.inf)])
    per_call = math.inf if function is None else function.per_request
    nothing = _matrices.csr_matrix((n, n))
    capped = ~free
    # Variables: served (n), carried (n), calls (n), capacity (2 n).
    uses = _matrices.hstack([unit, shift - unit, nothing, -capacity]).tocsr()[capped]
    carried = _matrices.hstack([-unit, unit, nothing, _matrices.csr_matrix((n, 2 * n))])
    both = _matrices.hstack([unit, nothing, unit, _matrices.csr_matrix((n, 2 * n))])
    chained = _matrices.hstack([_matrices.csr_matrix((rules.shape[0], 3 * n)), rules])
    enough = _matrices.csr_matrix(
        np.concatenate([-np.ones(n), np.zeros(n), -np.ones(n), np.zeros(2 * n)])[None]
    )
    wanted = share * (counts.sum() - tails[-1])
    upper = np.concatenate([
        counts, tails, counts if function is not None else np.zeros(n), most,
    ])  # fmt: skip
    if startup > 0:
        upper[:blind] = np.where(free[:blind], upper[:blind], np.minimum(upper[:blind], tails[:blind]))
    objective = np.concatenate([
        np.zeros(2 * n), np.full(n, per_call if function is not None else 0.0), costs,
    ])  # fmt: skip
    limits = np.concatenate(
        [np.zeros(uses.shape[0]), np.zeros(n), counts, np.zeros(rules.shape[0]), [-wanted]]
    )
    finite = np.isfinite(objective)
    upper[~finite], objective[~finite] = 0.0, 0.0
    found = _solver(
        objective,
        A_ub=_matrices.vstack([uses, carried, both, chained, enough]).tocsc(),
        b_ub=limits,
        bounds=np.stack([np.zeros(len(upper)), upper], axis=1),
        method="highs",
    )
    if not found.success:
        raise Permanent(f"no plan answers {share:.4g} of these requests in time: {found.message}")
    calls = float(found.x[2 * n : 3 * n].sum())
    cost = max(0.0, float(found.fun) * (1 - _SAFE))
    return Bound(cost, float(found.x[:n].sum()) + calls, calls, int(free.sum()))


def _hours(n: int, window: float, startup: float) -> tuple[Any, Any]:
    """[window][start] seconds of a window that an hour covers which begins anywhere in window `start`: as the
    first of a lease, and as a later one."""
    covered = []
    for lag in (startup, 0.0):
        rows, columns, seconds = [], [], []
        for ahead in range(math.ceil(_HOUR / window) + 1):
            # The hour may begin at either end of its window: it is taken to reach from the one to the other.
            low, high = max(lag, ahead * window), min(_HOUR + window, (ahead + 1) * window)
            if high > low:
                starts = np.arange(max(0, n - ahead))
                rows.append(starts + ahead)
                columns.append(starts)
                seconds.append(np.full(len(starts), high - low))
        covered.append(
            _matrices.csr_matrix(
                (np.concatenate(seconds), (np.concatenate(rows), np.concatenate(columns))), shape=(n, n)
            )
        )
    return covered[0], covered[1]
