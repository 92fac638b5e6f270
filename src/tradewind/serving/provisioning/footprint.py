"""How likely a set of revocable leases leaves enough capacity: nested bids, markets, and their common shocks.

Harlap et al., "Tributary: spot-dancing for elastic services with latency SLOs", USENIX ATC 2018, section 4.
Within a market the revocations are nested: what kills a bid kills every lower one, so that J bids have J + 1
outcomes. The distributions of the markets are convolved. The paper takes markets for independent; those of
one type in several zones are not. So a type may have a common shock: with its probability all markets of the
type draw the same fate, otherwise each its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.estimates.outlook import Outlook
from tradewind.market.instances import Pool

CELLS = 128
"""Parts of the demand in which capacity is counted; what is more than the demand counts as the demand."""


class Stake(Struct, frozen=True):
    """Leases of one pool with one bid."""

    pool: Pool
    capacity: float
    """Requests a second."""
    revoked: float
    """Probability that they are revoked within the hour."""


def outcomes(stakes: Sequence[Stake], draw: NDArray[np.float64]) -> NDArray[np.float64]:
    """The capacity that one market's stakes leave for each draw in [0, 1): those survive whose chance of
    being revoked is at most the draw."""
    left = np.zeros(len(draw))
    for each in stakes:
        left += np.where(draw >= each.revoked, each.capacity, 0.0)
    return left


def spread_of(stakes: Sequence[Stake], demand: float) -> NDArray[np.float64]:
    """(CELLS + 1,) the distribution of the capacity left by one market, or by several that share a fate."""
    found = np.zeros(CELLS + 1)
    cuts = np.unique([0.0, *(min(1.0, max(0.0, each.revoked)) for each in stakes), 1.0])
    left = outcomes(stakes, cuts[:-1])
    np.add.at(found, _cells(left, demand), np.diff(cuts))
    return found


def _cells(capacity: NDArray[np.float64], demand: float) -> NDArray[np.int64]:
    # Rounded down, but for what is as good as whole: half a cell too little would never reach the demand.
    return np.clip(np.floor(capacity / demand * CELLS + 1e-6), 0, CELLS).astype(np.int64)


def joined(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distribution of the sum of two independent capacities, held at the demand."""
    both = np.convolve(one, other)
    found = both[: CELLS + 1].copy()
    found[CELLS] += both[CELLS + 1 :].sum()
    return found


def distribution(
    stakes: Sequence[Stake], demand: float, shocks: Mapping[str, float] | None = None
) -> NDArray[np.float64]:
    """(CELLS + 1,) the distribution of the whole footprint's capacity; the last cell is P(S >= demand).

    `shocks` are the probabilities of a common shock, by type; none are independent markets.
    """
    total = np.zeros(CELLS + 1)
    total[0] = 1.0
    types: dict[str, dict[Pool, list[Stake]]] = {}
    for each in stakes:
        types.setdefault(each.pool.instance_type, {}).setdefault(each.pool, []).append(each)
    for kind in sorted(types):
        total = joined(total, of_type(types[kind], demand, (shocks or {}).get(kind, 0.0)))
    return total


def of_type(markets: Mapping[Pool, Sequence[Stake]], demand: float, shock: float) -> NDArray[np.float64]:
    """The distribution of all markets of one type."""
    apart = np.zeros(CELLS + 1)
    apart[0] = 1.0
    for pool in sorted(markets):
        apart = joined(apart, spread_of(markets[pool], demand))
    if shock <= 0 or len(markets) < 2:
        return apart
    together = spread_of([each for pool in sorted(markets) for each in markets[pool]], demand)
    return (1 - shock) * apart + shock * together


def expected(found: NDArray[np.float64], demand: float) -> float:
    """E[min(S, demand)]."""
    return float(found @ np.arange(CELLS + 1)) * demand / CELLS


class Rest(Struct, frozen=True):
    """What the rest of a footprint leaves, ready to be asked of any capacity beside it."""

    tail: NDArray[np.float64]
    """(CELLS + 1,) [c] the probability that it leaves so many cells or more."""
    mean: NDArray[np.float64]
    """(CELLS + 1,) [c] E[min(rest + c, CELLS)], in cells."""


def rest_of(found: NDArray[np.float64]) -> Rest:
    """Of a distribution."""
    tail = np.cumsum(found[::-1])[::-1]
    # One more cell beside it counts where the rest leaves room for it.
    room = np.concatenate(([0.0], np.cumsum(1.0 - tail[:0:-1])))
    return Rest(tail, float(found @ np.arange(CELLS + 1)) + room)


def beside(rest: Rest, stakes: Sequence[Stake], demand: float) -> tuple[float, float]:
    """P(S >= demand) and E[min(S, demand)] of the rest with one market's stakes beside it."""
    order = sorted(stakes, key=lambda each: each.revoked)
    secured = mean = 0.0
    left, low = 0.0, 0.0
    for at in range(len(order) + 1):
        high = min(1.0, max(low, order[at].revoked)) if at < len(order) else 1.0
        if high > low:
            cells = min(CELLS, int(left / demand * CELLS + 1e-6))
            secured += (high - low) * float(rest.tail[CELLS - cells])
            mean += (high - low) * float(rest.mean[cells])
        if at < len(order):
            left += order[at].capacity
            low = high
    return secured, mean * demand / CELLS


def shocks_of(outlook: Outlook, delta: float, horizon: float = 3600.0) -> dict[str, float]:
    """By type, the probability of a common shock that explains how often zones are revoked together.

    Of two zones with chances p and q it makes the joint chance p q + s (min(p, q) - p q); s is the ratio of
    the sums over all pairs of zones of the type, from the outlook's joint scenarios, for bids of `delta`
    above the price, within 0 and 1.
    """
    column = min(range(len(outlook.deltas)), key=lambda at: abs(outlook.deltas[at] - delta))
    by_type: dict[str, list[int]] = {}
    for row, pool in enumerate(outlook.pools):
        by_type.setdefault(pool.instance_type, []).append(row)
    weights = np.array([each.weight for each in outlook.scenarios])
    found: dict[str, float] = {}
    for kind, rows in by_type.items():
        gone = np.array(
            [[each.revoked[row][column] <= horizon for row in rows] for each in outlook.scenarios], np.float64
        )
        above = possible = 0.0
        for one, other in combinations(range(len(rows)), 2):
            first, second = float(weights @ gone[:, one]), float(weights @ gone[:, other])
            above += float(weights @ (gone[:, one] * gone[:, other])) - first * second
            possible += min(first, second) - first * second
        if possible > 1e-12:
            found[kind] = min(1.0, max(0.0, above / possible))
    return found
