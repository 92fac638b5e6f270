"""Which index a search uses, chosen by counting what it would scan for the recall that is asked."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from tradewind.algorithms.neighbors.cells import Cells
from tradewind.algorithms.neighbors.index import FAISS, FaissIndex
from tradewind.algorithms.neighbors.search import SPARE, Rows, all_scanned, beside, bias_of, measured

INDEXES = ("auto", "exact", "cells", *FAISS)
SMALL = 20_000
"""Rows up to which `auto` scans them all."""
_WORTH = 0.2
"""The share of the rows that `auto` would rather scan through cells; above it, scanning all is faster."""
_ASKED = 256
"""Rows that the recall is measured on."""
_REFINED = 8
"""Candidates for each neighbour that an index of codes is asked for."""


class IndexPlan(Struct, frozen=True, kw_only=True):
    """An index and its settings."""

    kind: str = "auto"
    """`exact` and `cells` need nothing else, `flat`, `ivf_flat` and `ivf_pq` are faiss's, `auto` chooses."""
    recall: float = 0.99
    """The share of the true neighbours that a search is to find."""
    cells: int = 0
    """How many cells; 0 is the root of the number of rows."""
    probes: int = 0
    """How many cells a search looks into; 0 is as many as the recall needs."""
    parts: int = 8
    """Parts that `ivf_pq` cuts a row into."""
    seed: int = 0
    measured_recall: float | None = None
    """What was found of some of the rows' own neighbours; None where it was not measured."""


class Found(Protocol):
    """Anything that finds candidates."""

    def search(self, queries: Rows, k: int, probes: int) -> NDArray[np.int64]:
        """The places (q, k) of candidates; -1 where there are fewer."""
        ...


class _Exact:
    def __init__(self, rows: Rows, distance: bool) -> None:
        self._columns = beside(rows, bias_of(rows, distance))

    def search(self, queries: Rows, k: int, probes: int) -> NDArray[np.int64]:
        return all_scanned(queries, self._columns, k)


class Searcher:
    """Rows that can be searched: by distance, or by product.

    Args:
        rows: (n, d).
        distance: whether near means a small distance; otherwise a large product.
        plan: how; `self.plan` is what came of it.
        k: how many neighbours the recall is measured with.
    """

    def __init__(self, rows: Rows, distance: bool, plan: IndexPlan, k: int) -> None:
        self.rows, self._distance = rows, distance
        # far from zero, single precision could not tell near rows apart
        self._middle = rows.mean(axis=0, dtype=np.float64) if distance else np.zeros(rows.shape[1])
        self._near = self._moved(rows)
        self.plan, self._index = self._chosen(plan, k)

    def search(self, queries: Rows, k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The k nearest rows of each query, nearest first: squared distances or products negated, places."""
        return self._found(self._index, self.plan, queries, k)

    def _moved(self, rows: Rows) -> Rows:
        return np.ascontiguousarray(rows - self._middle, np.float32)

    def _found(
        self, index: Found, plan: IndexPlan, queries: Rows, k: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        wanted = k * _REFINED if plan.kind == "ivf_pq" else k + SPARE
        places = index.search(self._moved(queries), min(wanted, len(self.rows)), plan.probes)
        values, found = measured(queries, self.rows, places, self._distance, k)
        short = np.flatnonzero(found[:, -1] < 0)
        if len(short) and plan.cells:  # the cells that were looked into hold too few: look into all
            places = index.search(self._moved(queries[short]), min(wanted, len(self.rows)), plan.cells)
            values[short], found[short] = measured(queries[short], self.rows, places, self._distance, k)
        return values, found

    def _chosen(self, plan: IndexPlan, k: int) -> tuple[IndexPlan, Any]:
        """The plan with all its numbers, and its index."""
        n = len(self.rows)
        cells = min(plan.cells or max(1, round(n**0.5)), n)
        exact = replace(plan, kind="exact", cells=0, probes=0, measured_recall=1.0)
        kind = plan.kind
        if kind == "auto":
            kind = "exact" if n <= SMALL or plan.recall >= 1 else "cells"
        if kind == "exact" or (kind == "ivf_pq" and n == 1):  # one row makes no codebook
            return exact, _Exact(self._near, self._distance)
        if kind == "flat":
            index = FaissIndex(self._near, kind, cells, self._distance, plan.parts, plan.seed)
            return replace(exact, kind="flat"), index
        found: Any
        if kind == "cells":
            found = Cells(self._near, cells, self._distance, plan.seed)
        else:
            found = FaissIndex(self._near, kind, cells, self._distance, plan.parts, plan.seed)
        settled = replace(plan, kind=kind, cells=cells)
        if plan.probes:
            return replace(settled, probes=min(plan.probes, cells)), found
        most = cells if plan.kind != "auto" else max(1, int(cells * _WORTH))
        settled = self._tuned(settled, found, k, most)
        if plan.kind == "auto" and (settled.measured_recall or 0.0) < plan.recall:
            return exact, _Exact(self._near, self._distance)
        return settled, found

    def _tuned(self, plan: IndexPlan, index: Found, k: int, most: int) -> IndexPlan:
        """The plan with as many probes as find what is asked, with something to spare, or `most`."""
        asked = np.random.default_rng(plan.seed).permutation(len(self.rows))[:_ASKED]
        queries, k = self.rows[asked], min(max(k, 10), len(self.rows) - 1)
        if k < 1:
            return replace(plan, probes=most, measured_recall=1.0)
        exact = _Exact(self._near, self._distance)
        _, true = self._found(exact, replace(plan, kind="exact"), queries, k + 1)

        def recall(probes: int) -> float:
            _, found = self._found(index, replace(plan, probes=probes), queries, k + 1)
            # a row is its own neighbour everywhere: it counts on neither side
            others = true != asked[:, None]
            hits = (found[:, :, None] == true[:, None, :]) & others[:, None, :]
            return float(hits.sum() / others.sum())

        wanted = (1 + plan.recall) / 2
        low, high = 0, 1
        held = recall(high)
        while held < wanted and high < most:
            low, high = high, min(high * 2, most)
            held = recall(high)
        while held >= wanted and high - low > max(1, high // 16):
            middle = (low + high) // 2
            there = recall(middle)
            if there >= wanted:
                high, held = middle, there
            else:
                low = middle
        return replace(plan, probes=high, measured_recall=held)
