"""The levels that a market moves between, drawn from the joint scenarios of an outlook."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tradewind.estimates.outlook import NEVER, Outlook
from tradewind.market.instances import Pool
from tradewind.training.elastic.bidding.reservation_price import LATE

MOST = 5
"""Levels of cost that are told apart, beside the one at which there is no spot."""
ALIKE = 0.1
"""The share by which costs of one level may differ whatever their weight: less is noise, not worth a wait."""
STEP = 900.0
"""Seconds of one move of the chain."""


def cheapest_paths(outlook: Outlook, rates: Mapping[Pool, float], steady: float) -> list[list[float]]:
    """[scenario][step] what an hour of work costs on the cheapest pool; LATE where `steady` is not undercut.

    `rates` says how many dollars an hour of work costs for each dollar of a pool's price. That all pools
    move together is kept: a step's cost is the least over the pools of one scenario.
    """
    known = [(index, rates[pool]) for index, pool in enumerate(outlook.pools) if pool in rates]
    paths = []
    for scenario in outlook.scenarios:
        path = []
        for step in range(len(outlook.steps)):
            cost = min(
                (
                    scenario.prices[index][step] * rate
                    for index, rate in known
                    if scenario.prices[index][step] < NEVER
                ),
                default=LATE,
            )
            path.append(cost if cost < steady else LATE)
        paths.append(path)
    return paths


def levels_of(
    paths: Sequence[Sequence[float]], weights: Sequence[float], steps: Sequence[float], most: int = MOST
) -> tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]:
    """The levels of the costs in `paths` and the moves between them over `STEP` seconds, for a `Chain`.

    `paths` are costs at the seconds of `steps`, LATE where there is no spot; `weights` their probabilities.
    At most `most` levels of about equal weight, each at its mean, and one for LATE at the end; costs that
    are `ALIKE` are one level.

    A level is left at a rate of its own, for others as often as they were seen to follow; the rate is the one
    at which as many steps as were seen end elsewhere, those that return in between included. Every level
    keeps a small chance of every other: what the paths do not show may happen.
    """
    every = np.asarray(paths, np.float64)
    sure = np.asarray(weights, np.float64) / sum(weights)
    bounds, means = _bounds(every, sure, most)
    costs = (*means, LATE)
    level = np.where(every >= LATE, len(means), np.minimum(np.searchsorted(bounds, every), len(means) - 1))
    gaps = np.diff(np.asarray(steps, np.float64))
    # Steps are close at first and far apart later: each stands for the time up to the next.
    lasts = np.append(gaps, gaps[-1]) if len(gaps) else np.ones(1)
    lasts = lasts / lasts.sum()
    share = np.array([(sure[:, None] * lasts * (level == each)).sum() for each in range(len(costs))]) + 1e-3
    share /= share.sum()
    moves = np.eye(len(costs))
    for here in range(len(costs)):
        at, gap = np.nonzero(level[:, :-1] == here)
        following = level[at, gap + 1]
        heavy = sure[at] * len(paths)
        left = following != here
        rate = _rate(heavy, gaps[gap], left, share[here])
        onward = share.copy()
        np.add.at(onward, following[left], heavy[left])
        onward[here] = 0.0
        onward = onward / onward.sum() if onward.sum() > 0 else onward
        leaves = (1 - share[here]) * (1 - math.exp(-rate * STEP)) if len(costs) > 1 else 0.0
        moves[here] = onward * leaves
        moves[here, here] = 1 - leaves
    return costs, tuple(tuple(float(each) for each in row) for row in moves)


def _bounds(
    paths: NDArray[np.float64], sure: NDArray[np.float64], most: int
) -> tuple[list[float], list[float]]:
    """The highest cost of each level and its mean: levels of about equal weight, no two of them alike."""
    heavy = np.repeat(sure / paths.shape[1], paths.shape[1])
    flat = paths.reshape(-1)
    order = np.argsort(flat, kind="stable")
    order = order[flat[order] < LATE]
    bounds: list[float] = []
    means: list[float] = []
    total = float(heavy[order].sum())
    summed = weight = done = 0.0
    least = flat[order[0]] if len(order) else 0.0
    for position, at in enumerate(order):
        if weight == 0:
            least = flat[at]
        summed, weight = summed + flat[at] * heavy[at], weight + heavy[at]
        last = position == len(order) - 1
        full = done + weight >= total * (len(means) + 1) / most - 1e-12
        if weight > 0 and (last or (full and flat[order[position + 1]] > least * (1 + ALIKE))):
            means.append(float(summed / weight))
            bounds.append(float(flat[at]))
            done, summed, weight = done + weight, 0.0, 0.0
    return bounds, means


def _rate(
    heavy: NDArray[np.float64], gaps: NDArray[np.float64], left: NDArray[np.bool_], share: float
) -> float:
    """The rate a second at which a level is left, if that many steps of those lengths end elsewhere.

    After a while the market is anywhere as often as it is on the whole: a step of g seconds ends elsewhere
    with probability (1 - share) (1 - exp(-rate g)). Short steps say the most: each counts by 1 / g. One
    unseen departure in a day is added.
    """
    short = heavy / np.maximum(gaps, 1.0)
    seen = float((short * left).sum()) + 1 / 86_400
    low, high = 1e-9, 1.0
    for _ in range(60):
        middle = math.sqrt(low * high)
        expected = float((short * (1 - share) * (1 - np.exp(-middle * gaps))).sum()) + (1 - share) * middle
        low, high = (middle, high) if expected < seen else (low, middle)
    return high
