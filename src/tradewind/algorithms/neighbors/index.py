"""The only module that knows faiss: its indexes of rows, as candidates for a search."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.algorithms.neighbors.search import Rows
from tradewind.errors import MissingExtra

FAISS = ("flat", "ivf_flat", "ivf_pq")
"""The indexes that faiss makes."""


def _faiss() -> Any:
    try:
        import faiss  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError as problem:
        raise MissingExtra("faiss-cpu", "neighbors", "an index of faiss") from problem
    return faiss


class FaissIndex:
    """An index of faiss over rows (n, d).

    Args:
        kind: one of `FAISS`.
        count: cells of the two inverted files.
        parts: parts that `ivf_pq` cuts a row into; columns of zeros are added where they do not divide d.
    """

    def __init__(self, rows: Rows, kind: str, count: int, distance: bool, parts: int, seed: int) -> None:
        faiss = _faiss()
        self._pad = -rows.shape[1] % parts if kind == "ivf_pq" else 0
        rows = self._padded(rows)
        n, d = rows.shape
        metric = faiss.METRIC_L2 if distance else faiss.METRIC_INNER_PRODUCT
        self._flat = kind == "flat"
        if self._flat:
            self._index = faiss.IndexFlat(d, metric)
        else:
            coarse = faiss.IndexFlat(d, metric)
            count = min(count, n)
            if kind == "ivf_flat":
                self._index = faiss.IndexIVFFlat(coarse, d, count, metric)
            else:
                # a codebook cannot have more words than rows to learn them from
                bits = int(min(8, np.log2(max(n, 2))))
                self._index = faiss.IndexIVFPQ(coarse, d, count, parts, bits, metric)
                self._index.pq.cp.seed = self._index.pq.cp.seed + seed
                self._index.pq.cp.min_points_per_centroid = 1
            self._index.cp.seed = self._index.cp.seed + seed
            self._index.cp.min_points_per_centroid = 1
            self._coarse = coarse  # the index only points to it
            self._index.train(rows)
        self._index.add(rows)

    def search(self, queries: Rows, k: int, probes: int) -> NDArray[np.int64]:
        """The places (q, k) of candidates; -1 where there are fewer."""
        if not self._flat:
            self._index.nprobe = probes
        return np.asarray(self._index.search(self._padded(queries), k)[1], np.int64)

    def _padded(self, rows: Rows) -> Rows:
        rows = np.ascontiguousarray(rows, np.float32)
        if not self._pad:
            return rows
        return np.concatenate([rows, np.zeros((len(rows), self._pad), np.float32)], axis=1)
