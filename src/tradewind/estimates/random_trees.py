"""Regression trees that chance makes differ: what they believe together, and how far they disagree.

Two kinds. Extremely randomized trees cut each column that they look at in one random place (Geurts, Ernst
and Wehenkel, "Extremely randomized trees", Machine Learning 63, 2006, table 1). Bagged random trees look at a
few columns at each split, cut where the squares fall most, and see a bootstrap sample each (Breiman, "Random
forests", Machine Learning 45, 2001, sections 1 and 4).
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import ArrayLike, NDArray

from tradewind.errors import Misuse

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]
_SHORT = 48
"""Points up to which sorting by insertion is the fastest."""


class RandomTrees(Struct, frozen=True):
    """T trees of at most N nodes; the root of each is node 0."""

    columns: Numbers
    """(T, N) which column a node cuts; -1 for a leaf."""
    cuts: Array
    """(T, N) up to and with which a value goes to the first child."""
    children: Numbers
    """(T, N) number of the first child; the second is the next."""
    values: Array
    """(T, N) mean of the targets there."""

    @classmethod
    def fitted(
        cls,
        rows: ArrayLike,
        targets: ArrayLike,
        *,
        trees: int,
        seed: int | tuple[int, ...],
        looks: int | None = None,
        depth: int | None = None,
        bootstrap: bool = False,
        random_cuts: bool = False,
        source: str = "observations",
    ) -> RandomTrees:
        """Trees of targets (n,) at rows (n, d).

        Each split looks at `looks` columns that are not constant there (None for all), in one random place if
        `random_cuts`, otherwise in the best; `depth` splits at most lie above a leaf (None for no limit).
        O(trees n log n looks) for as long as they are balanced. Misuse for shapes that do not agree and for
        what is not finite.
        """
        X = np.ascontiguousarray(np.asarray(rows, np.float64))
        y = np.ascontiguousarray(np.asarray(targets, np.float64))
        if X.ndim != 2 or y.shape != (len(X),) or not len(X):
            raise Misuse(
                f"rows of shape {X.shape} and targets of shape {y.shape}", source=source,
                fix="Give (n, d) and (n,), with at least one of them.",
            )  # fmt: skip
        if not (np.isfinite(X).all() and np.isfinite(y).all()):
            raise Misuse(
                "a value is not finite", source=source, field="targets" if np.isfinite(X).all() else "rows"
            )
        n, d = X.shape
        if trees < 1 or (looks is not None and looks < 1) or (depth is not None and depth < 0):
            raise Misuse("trees and looks start at 1, depth at 0", source=source, field="trees")
        nodes = 2 * n - 1 if depth is None else min(2 * n - 1, 2 ** (depth + 1) - 1)
        chance = np.random.default_rng(seed)
        picks = chance.integers(0, n, (trees, n)) if bootstrap else np.broadcast_to(np.arange(n), (trees, n))
        grown = _grown(
            X, y, np.ascontiguousarray(picks, np.int64), chance.random((trees, nodes, 2 * d)),
            looks or d, 2 * n if depth is None else depth, random_cuts,
        )  # fmt: skip
        return cls(*grown)

    def each(self, rows: ArrayLike) -> Array:
        """(T, m) what every tree says of rows (m, d)."""
        X = np.ascontiguousarray(np.asarray(rows, np.float64))
        return np.asarray(_said(X, self.columns, self.cuts, self.children, self.values))

    def predict(self, rows: ArrayLike) -> tuple[Array, Array]:
        """Means (m,) over the trees, and standard deviations (m,) between them, at rows (m, d)."""
        said = self.each(rows)
        return said.mean(axis=0), said.std(axis=0)


@njit(cache=True, nogil=True)
def _grown(
    rows: Array, targets: Array, picks: Numbers, chance: Array, looks: int, depth: int, random_cuts: bool
) -> tuple[Numbers, Array, Numbers, Array]:
    trees, nodes, _ = chance.shape
    columns = np.full((trees, nodes), -1, np.int64)
    cuts, values = np.zeros((trees, nodes)), np.zeros((trees, nodes))
    children = np.zeros((trees, nodes), np.int64)
    todo = np.empty((nodes + 1, 4), np.int64)
    for tree in range(trees):
        order = picks[tree].copy()
        todo[0] = 0, 0, order.size, 0
        waiting, made = 1, 1
        while waiting:
            waiting -= 1
            node, start, end, above = todo[waiting]
            total = 0.0
            for i in range(start, end):
                total += targets[order[i]]
            values[tree, node] = total / (end - start)
            if end - start < 2 or above >= depth or made + 2 > nodes:
                continue
            column, cut = _split(rows, targets, order[start:end], chance[tree, node], looks, random_cuts)
            if column < 0:
                continue
            middle = start
            for i in range(start, end):
                if rows[order[i], column] <= cut:
                    order[i], order[middle] = order[middle], order[i]
                    middle += 1
            columns[tree, node], cuts[tree, node], children[tree, node] = column, cut, made
            todo[waiting] = made, start, middle, above + 1
            todo[waiting + 1] = made + 1, middle, end, above + 1
            waiting += 2
            made += 2
    return columns, cuts, children, values


@njit(cache=True, nogil=True)
def _split(
    rows: Array, targets: Array, here: Numbers, chance: Array, looks: int, random_cuts: bool
) -> tuple[int, float]:
    """The column and the cut that leave the fewest squares among those looked at; -1 where none can."""
    d, n = rows.shape[1], here.size
    first, total, same = targets[here[0]], 0.0, True
    for i in range(n):
        total += targets[here[i]]
        same = same and targets[here[i]] == first
    if same:
        return -1, 0.0
    found, where, most, looked = -1, 0.0, -np.inf, 0
    points, seen = np.empty(n), np.empty(n)
    for column in np.argsort(chance[:d]):
        low, high = np.inf, -np.inf
        for i in range(n):
            points[i], seen[i] = rows[here[i], column], targets[here[i]]
            low, high = min(low, points[i]), max(high, points[i])
        if low == high:
            continue
        if random_cuts:
            cut = low + chance[d + column] * (high - low)
            if cut >= high:
                cut = low
            left, count = 0.0, 0
            for i in range(n):
                if points[i] <= cut:
                    left += seen[i]
                    count += 1
            gain = left * left / count + (total - left) ** 2 / (n - count)
            if gain > most:
                found, where, most = column, cut, gain
        else:
            _sort(points, seen)
            left = 0.0
            for i in range(n - 1):
                left += seen[i]
                if points[i] < points[i + 1]:
                    gain = left * left / (i + 1) + (total - left) ** 2 / (n - i - 1)
                    if gain > most:
                        found, where, most = column, 0.5 * (points[i] + points[i + 1]), gain
                        if where >= points[i + 1]:  # neighbouring doubles have no middle
                            where = points[i]
        looked += 1
        if looked == looks:
            break
    return found, where


@njit(cache=True, nogil=True)
def _sort(points: Array, seen: Array) -> None:
    """Both by the first, which is sorted in place."""
    if points.size > _SHORT:
        order = np.argsort(points)
        points[:], seen[:] = points[order], seen[order]
        return
    for i in range(1, points.size):
        point, target, j = points[i], seen[i], i
        while j > 0 and points[j - 1] > point:
            points[j], seen[j] = points[j - 1], seen[j - 1]
            j -= 1
        points[j], seen[j] = point, target


@njit(cache=True, nogil=True)
def _said(rows: Array, columns: Numbers, cuts: Array, children: Numbers, values: Array) -> Array:
    found = np.empty((len(columns), len(rows)))
    for tree in range(len(columns)):
        for i in range(len(rows)):
            node = 0
            while columns[tree, node] >= 0:
                right = rows[i, columns[tree, node]] > cuts[tree, node]
                node = children[tree, node] + (1 if right else 0)
            found[tree, i] = values[tree, node]
    return found
