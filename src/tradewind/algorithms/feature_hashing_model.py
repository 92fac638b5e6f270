"""The hashing of columns that `FeatureHashing` describes; it needs no scikit-learn.

Weinberger, Dasgupta, Langford, Smola and Attenberg, "Feature hashing for large scale multitask learning",
ICML 2009, section 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.graph import Graph
from tradewind.algorithms.mixing import GOLDEN, bits_of, mixed
from tradewind.algorithms.scaler_model import check_width
from tradewind.errors import Misuse

KIND = "HashingModel"


class HashingModel:
    """Rows (n, features) to sparse rows (n, columns not hashed + buckets)."""

    metric = "nonzeros"

    def __init__(
        self, features: int, columns: NDArray[np.int64], buckets: int, tokens: str, seed: int
    ) -> None:
        self.features, self.columns, self.buckets = features, columns, buckets
        self.tokens, self.seed = tokens, seed
        kept = np.ones(features, bool)
        kept[columns] = False
        self.places = np.where(kept, np.cumsum(kept) - 1, -1)
        """Where each column goes, (features,); -1 for those that are hashed."""

    @property
    def width(self) -> int:
        """How many columns there are afterwards."""
        return self.features - len(self.columns) + self.buckets

    def evaluate(self, batch: Batch | ArrayLike) -> Any:
        """The rows, CSR (n, width), float32, indices ascending."""
        rows = batch if isinstance(batch, Batch) else batch_of(batch)
        check_width(rows, self.features, "evaluate")
        n = len(rows)
        if rows.dense is not None:
            values = np.asarray(rows.dense, np.float64).reshape(-1)
            indices: NDArray[Any] = np.tile(np.arange(self.features, dtype=np.int32), n)
            indptr = np.arange(n + 1, dtype=np.int64) * self.features
        else:
            assert rows.indptr is not None and rows.indices is not None and rows.values is not None
            indptr, indices, values = rows.indptr, rows.indices, rows.values.astype(np.float64)
        starts = np.zeros(n + 1, np.int64)
        at, put = np.empty(len(indices), np.int32), np.empty(len(indices), np.float32)
        used = _hash_rows(
            indptr, indices, values, bits_of(values), self.places, self.features - len(self.columns),
            self.buckets, np.uint64(self.seed), self.tokens == "category", starts, at, put,
        )  # fmt: skip
        kept: Any = (put[:used].copy(), at[:used].copy(), starts)
        return csr_matrix(kept, shape=(n, self.width))

    def score(self, batch: Batch, metric: str = "") -> float:
        """`nonzeros`: stored values a row."""
        if metric not in ("", self.metric):
            raise Misuse(f"{metric!r} is no metric here", field="metric", fix=f"Give {self.metric!r}.")
        return float(self.evaluate(batch).nnz / max(len(batch), 1))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`columns`: the numbers of those that are hashed."""
        return {"columns": self.columns}

    def header(self) -> dict[str, Any]:
        """How to hash."""
        return {
            "kind": KIND, "version": 1, "features": self.features, "buckets": self.buckets,
            "tokens": self.tokens, "seed": self.seed,
            "formula": "m = SplitMix64's finalizer; h = m(m(column * 0x9E3779B97F4A7C15 + seed) ^ b) in "
            "64 bits, b the bits of the float64 value for tokens=category (0.0 for -0.0), else 0; column "
            "features - len(columns) + (h mod 2^63) mod buckets takes +1 (category) or the value (column), "
            "negated if h >= 2^63",
        }  # fmt: skip

    def graph(self) -> Graph:
        """Misuse: ONNX has no operator on the bits of a number."""
        raise Misuse(
            "ONNX cannot hash: it has no operator on the bits of a number", source=KIND, field="graph",
            fix="Hash before, with the formula in the header, and export the model behind it.",
        )  # fmt: skip

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> HashingModel:
        """The model that gave `arrays` and `header`."""
        return cls(
            int(header["features"]), np.asarray(arrays["columns"], np.int64), int(header["buckets"]),
            str(header["tokens"]), int(header["seed"]),
        )  # fmt: skip


@njit(cache=True, nogil=True)
def _hash_rows(
    indptr: Any, indices: Any, values: Any, bits: Any, places: Any, kept: Any, buckets: Any, seed: Any,
    category: Any, starts: Any, at: Any, put: Any,
) -> int:  # fmt: skip
    """Fill `starts`, `at` and `put` with the new rows; how many entries there are."""
    used = 0
    half = np.uint64(1) << np.uint64(63)
    for row in range(indptr.shape[0] - 1):
        for k in range(indptr[row], indptr[row + 1]):
            place = places[indices[k]]
            if place >= 0 and values[k] != 0.0:
                at[used], put[used] = place, values[k]
                used += 1
        first = used
        for k in range(indptr[row], indptr[row + 1]):
            column = indices[k]
            if places[column] >= 0 or (not category and values[k] == 0.0):
                continue
            h = mixed(np.uint64(column) * GOLDEN + seed)
            h = mixed(h ^ bits[k]) if category else mixed(h)
            value = np.float32(1.0) if category else np.float32(values[k])
            if h >= half:
                value = -value
                h -= half
            bucket = kept + np.int64(h % np.uint64(buckets))
            slot = used
            while slot > first and at[slot - 1] > bucket:
                slot -= 1
            if slot > first and at[slot - 1] == bucket:
                put[slot - 1] += value
                continue
            for j in range(used, slot, -1):
                at[j], put[j] = at[j - 1], put[j - 1]
            at[slot], put[slot] = bucket, value
            used += 1
        starts[row + 1] = used
    return used
