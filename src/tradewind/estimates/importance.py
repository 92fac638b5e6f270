"""How much each hyper-parameter matters by itself: the shares of the variance in a forest of trees.

Functional analysis of variance over a forest (Hutter, Hoos, Leyton-Brown, "An Efficient Approach for
Assessing Hyperparameter Importance", ICML 2014, section 3). A regression tree is constant on boxes of the
unit cube, so the mean of its prediction over all parameters but one is a sum over its leaves, without
sampling; the variance of that mean, as a share of the variance of the tree over the whole cube, is the
parameter's main effect. What the main effects leave over is in how parameters act together.

A parameter that has its place only beside certain values of others is judged where it has one, and its
variance counts by how much of the cube that is: so shares add up as they do without conditions. What a trial
leaves out is drawn anew for each tree, so that a tree learns nothing from it, and categories are put in a new
order for each tree, so that their order says nothing.

How sure a share is, is asked of resamples of the trials, each with trees of its own. Beside the parameters
each tree gets a column of random numbers: what that column gets by chance is what a share has to exceed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from tradewind.errors import Misuse

Array = NDArray[np.float64]
Intervals = tuple[tuple[float, float], ...]

LEAST = 10
"""Trials below which nothing is said."""
_RESAMPLES, _TREES = 32, 4
_MOST = 600
"""Trials that a resample holds at most; more would only take longer."""


class Column(Struct, frozen=True):
    """A hyper-parameter as a column of the unit cube."""

    categories: int = 0
    """How many values without order it has, each an equal part of the column; 0 for a number."""
    when: tuple[tuple[int, Intervals], ...] = ()
    """Columns before it, each with the parts of it in which this one has a place."""


class Share(Struct, frozen=True):
    """Of the variance, what one parameter explains by itself; bounds hold 80 % of the resamples."""

    low: float
    mean: float
    high: float


class Importance(Struct, frozen=True):
    """What matters how much."""

    shares: tuple[Share, ...]
    """One for each column."""
    together: float
    """The share that the main effects leave over."""
    chance: float
    """What a column of random numbers exceeds in one resample of ten."""
    fit: float
    """How much of the variance the forest foretells in trials that it has not seen: 1 for all, 0 or less for
    none; then the shares say nothing."""
    trials: int


def importance(
    points: ArrayLike, losses: ArrayLike, columns: Sequence[Column], *, seed: int = 0
) -> Importance | None:
    """The shares of `columns` (d) in the variance of losses (n,) at points (n, d) of the unit cube.

    nan in a point is a parameter without a place. Losses far beyond the worse quarter (by more than one and
    a half times the middle half's width) count as being there, so that a diverged trial outweighs nothing.
    None for fewer than ten trials or where all losses are equal. Equal arguments give equal answers; takes
    about a second for 1,000 trials. Misuse where a number does not fit the others or a loss is not finite.
    """
    x, y = np.asarray(points, np.float64), np.asarray(losses, np.float64)
    if x.ndim != 2 or x.shape != (len(y), len(columns)):
        raise Misuse(
            f"points of shape {x.shape} for {len(y)} losses and {len(columns)} columns", field="points",
            fix="Give a row for each loss, with a number for each column.",
        )  # fmt: skip
    if not np.isfinite(y).all():
        raise Misuse("not every one is finite", field="losses", fix="Leave such trials out.")
    y = _tamed(y)
    if len(y) < LEAST or not np.ptp(y) > 0:
        return None
    y = y / np.abs(y).max()
    y = (y - y.mean()) / y.std()  # a tree takes small differences for none
    chance = np.random.default_rng(seed)
    shares = np.full((_RESAMPLES, len(columns) + 1), np.nan)
    foretold, told = np.zeros(len(y)), np.zeros(len(y))
    for row in shares:
        drawn = chance.integers(len(y), size=min(len(y), _MOST))
        unseen = np.setdiff1d(np.arange(len(y)), drawn)
        found = []
        for _ in range(_TREES):
            orders = [chance.permutation(each.categories) for each in columns]
            design = _design(x, columns, orders, chance)
            tree = _grown(design[drawn], y[drawn], int(chance.integers(1 << 31)))
            if len(unseen):
                foretold[unseen] += tree.predict(design[unseen].astype(np.float32))
                told[unseen] += 1
            found.append(_main_effects(tree.tree_, columns, orders))
        good = [each for each in found if each is not None]
        if good:
            row[:] = np.mean(good, axis=0)
    shares = shares[np.isfinite(shares).all(axis=1)]
    if not len(shares):
        return None
    low, high = np.quantile(shares, [0.1, 0.9], axis=0)
    mean = shares.mean(axis=0)
    seen = told > 0
    error = float(np.mean((foretold[seen] / told[seen] - y[seen]) ** 2))
    return Importance(
        tuple(Share(float(low[j]), float(mean[j]), float(high[j])) for j in range(len(columns))),
        max(0.0, 1.0 - float(mean[:-1].sum())),
        float(high[-1]),
        1.0 - error / float(y[seen].var()) if y[seen].var() > 0 else 0.0,
        len(y),
    )


def _tamed(y: Array) -> Array:
    if not len(y):
        return y
    quarter, three = np.quantile(y, [0.25, 0.75])
    return np.minimum(y, three + 1.5 * (three - quarter)) if three > quarter else y


def _design(
    x: Array, columns: Sequence[Column], orders: Sequence[NDArray[np.int64]], chance: np.random.Generator
) -> Array:
    """Points (n, d + 1) as one tree sees them: what is absent drawn, categories reordered, chance beside."""
    found = np.column_stack([x, chance.random(len(x))])
    for j, (each, order) in enumerate(zip(columns, orders, strict=True)):
        if each.categories:
            cells = np.clip((x[:, j] * each.categories), 0, each.categories - 1)
            there = np.isfinite(cells)
            found[there, j] = (order[cells[there].astype(np.int64)] + 0.5) / each.categories
        absent = ~np.isfinite(x[:, j])
        found[absent, j] = chance.random(int(absent.sum()))
    return found


def _grown(design: Array, y: Array, seed: int) -> Any:
    from sklearn.tree import DecisionTreeRegressor  # noqa: PLC0415 (a second to import)

    tree = DecisionTreeRegressor(min_samples_split=4, random_state=seed)
    return tree.fit(design.astype(np.float32), y)


def _main_effects(tree: Any, columns: Sequence[Column], orders: Sequence[NDArray[np.int64]]) -> Array | None:
    """(d + 1,) shares of a tree's variance over the unit cube; None for a tree of one leaf."""
    lows, highs, values = _boxes(tree, len(columns) + 1)
    widths = highs - lows
    volume = widths.prod(axis=1)
    middle = float(volume @ values)
    whole = float(volume @ (values - middle) ** 2)
    if not whole > 0:
        return None
    found = np.zeros(len(columns) + 1)
    for j in range(len(columns) + 1):
        weights, part = volume, 1.0
        for other, allowed in _conditions(columns, orders, j).items():
            measure = sum(high - low for low, high in allowed)
            if not measure > 0:
                part = 0.0
                break
            inside = sum(
                np.clip(np.minimum(highs[:, other], high) - np.maximum(lows[:, other], low), 0.0, None)
                for low, high in allowed
            )
            weights = weights / widths[:, other] * inside / measure
            part *= measure
        if part > 0:
            found[j] = part * _marginal(lows[:, j], highs[:, j], weights, values) / whole
    return found


def _marginal(lows: Array, highs: Array, weights: Array, values: Array) -> float:
    """The variance over one column of the mean over all others."""
    edges = np.unique(np.concatenate([lows, highs]))
    starts, ends = np.searchsorted(edges, lows), np.searchsorted(edges, highs)
    # What a leaf adds to each piece of the column between its edges, as steps up and down.
    heights = weights / (highs - lows) * values
    steps = np.zeros(len(edges))
    np.add.at(steps, starts, heights)
    np.add.at(steps, ends, -heights)
    means, pieces = np.cumsum(steps)[:-1], np.diff(edges)
    middle = float(pieces @ means)
    return float(pieces @ (means - middle) ** 2)


def _conditions(
    columns: Sequence[Column], orders: Sequence[NDArray[np.int64]], j: int
) -> dict[int, Intervals]:
    """The columns that must be in parts of theirs for column j to have a place, and those parts."""
    found: dict[int, Intervals] = {}
    todo = list(columns[j].when) if j < len(columns) else []
    while todo:
        other, allowed = todo.pop()
        count = columns[other].categories
        if count:
            cells = {int((low + high) / 2 * count) for low, high in allowed}
            allowed = tuple(
                (float(orders[other][at]) / count, (orders[other][at] + 1.0) / count) for at in cells
            )
        before = found.get(other)
        if before is not None:
            allowed = tuple(
                (max(a, c), min(b, d)) for a, b in before for c, d in allowed if max(a, c) < min(b, d)
            )
        found[other] = allowed
        todo += columns[other].when
    return found


def _boxes(tree: Any, width: int) -> tuple[Array, Array, Array]:
    """The lower and upper corners (leaves, width) of a tree's leaves in the unit cube, and their values."""
    lows, highs = np.zeros((tree.node_count, width)), np.ones((tree.node_count, width))
    for node in range(tree.node_count):  # a parent comes before its children
        left, right = tree.children_left[node], tree.children_right[node]
        if left < 0:
            continue
        lows[[left, right]], highs[[left, right]] = lows[node], highs[node]
        at = tree.feature[node]
        highs[left, at] = lows[right, at] = tree.threshold[node]
    leaves = tree.children_left < 0
    return lows[leaves], highs[leaves], np.asarray(tree.value[leaves, 0, 0], np.float64)
