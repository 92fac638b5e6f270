"""An inverted file of our own: rows in cells around centres, and only the cells near a query are searched.

Sivic and Zisserman, Video Google, ICCV 2003, and Jegou, Douze and Schmid, TPAMI 2011, section 4, without the
quantizer. Queries that want the same cell are multiplied with it together, which is where the time goes that
a cell at a time for each query would take.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tradewind.algorithms.neighbors.search import (
    Rows,
    all_scanned,
    beside,
    bias_of,
    heaps,
    offer,
    widened,
)

_ROUNDS = 10
_PER_CELL = 64
"""Rows a cell that the centres are learned from."""
_BATCH = 4096
"""Queries searched together at most."""
_TILE = 60
"""Queries multiplied with a part of a cell at once."""
_ALONE = 2**18
"""Multiplications that a BLAS does on the thread that asks: to wake others for so few would cost more, and
far more where something else runs on their cores."""


class Cells:
    """Rows sorted by the nearest of their centres.

    O(n c d) time to build for c cells; a search of q queries scans `probes` / c of the rows, for O(q d (c +
    n probes / c)) time.
    """

    def __init__(self, rows: Rows, count: int, distance: bool, seed: int) -> None:
        self.distance = distance
        self.centres = _centres(rows, min(count, len(rows)), np.random.default_rng(seed))
        self._near = beside(self.centres, bias_of(self.centres, True))
        cell = _nearest(rows, self._near)
        self.order = np.argsort(cell, kind="stable")
        self.bounds = np.searchsorted(cell[self.order], np.arange(len(self.centres) + 1))
        sorted_rows = rows[self.order]
        self._columns = beside(sorted_rows, bias_of(sorted_rows, distance))

    def search(self, queries: Rows, k: int, probes: int) -> NDArray[np.int64]:
        """The places (q, k) of the best rows of each query's `probes` nearest cells, in no order; or -1."""
        found = [self._some(queries[i : i + _BATCH], k, probes) for i in range(0, len(queries), _BATCH)]
        places = np.concatenate(found) if found else np.empty((0, k), np.int64)
        return np.where(places >= 0, self.order[places], -1)

    def _some(self, queries: Rows, k: int, probes: int) -> NDArray[np.int64]:
        best, places = heaps(len(queries), k)
        near = all_scanned(queries, self._near, min(probes, len(self.centres)))
        cells = near.ravel()
        who = np.repeat(np.arange(len(queries)), near.shape[1])
        by_cell = np.argsort(cells, kind="stable")
        cells, who = cells[by_cell], who[by_cell]
        wide = widened(queries)
        starts = np.flatnonzero(np.diff(cells, prepend=-1))
        room = np.empty(_TILE * int(np.diff(self.bounds).max(initial=0)), np.float32)
        for start, end in zip(starts, np.append(starts[1:], len(cells)), strict=True):
            cell = cells[start]
            first, last = self.bounds[cell], self.bounds[cell + 1]
            columns = self._columns[:, first:last]
            step = max(_ALONE // (wide.shape[1] * min(_TILE, end - start)), 1)
            for tile in range(start, end, _TILE):
                some = who[tile : min(tile + _TILE, end)]
                asked, scores = wide[some], room[: len(some) * (last - first)].reshape(len(some), -1)
                for at in range(0, last - first, step):
                    np.matmul(asked, columns[:, at : at + step], out=scores[:, at : at + step])
                offer(scores, some, first, best, places)
        return places


def _centres(rows: Rows, count: int, chance: np.random.Generator) -> Rows:
    """Lloyd's centres of some rows; a cell that loses its rows begins anew at one of them."""
    some = rows
    if len(rows) > count * _PER_CELL:
        some = rows[np.sort(chance.choice(len(rows), count * _PER_CELL, replace=False))]
    centres = some[np.sort(chance.choice(len(some), count, replace=False))].astype(np.float32)
    for _ in range(_ROUNDS):
        cell = _nearest(some, beside(centres, bias_of(centres, True)))
        sizes = np.bincount(cell, minlength=count)
        order = np.argsort(cell, kind="stable")
        filled = np.flatnonzero(sizes)
        firsts = np.searchsorted(cell[order], filled)
        sums = np.add.reduceat(some[order].astype(np.float64), firsts, axis=0)
        centres[filled] = sums / sizes[filled, None]
        empty = np.flatnonzero(sizes == 0)
        centres[empty] = some[chance.integers(0, len(some), len(empty))]
    return centres


def _nearest(rows: Rows, near: Rows) -> NDArray[np.int64]:
    """The centre that each row is nearest to, (n,); a heap of one."""
    return all_scanned(rows, near, 1)[:, 0]
