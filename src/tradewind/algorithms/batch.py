"""Rows of data on their way through an algorithm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some rows: features, and where they are known labels and weights.

    Features are dense (`dense`, shape (n, d)) or sparse rows (`indptr` (n + 1), `indices`, `values`), never
    both. `labels` are (n,) or None, `weights` (n,) or None for all one.
    """

    features: int
    """d, the number of columns."""
    dense: NDArray[Any] | None = None
    indptr: NDArray[np.int64] | None = None
    indices: NDArray[np.int32] | None = None
    values: NDArray[np.float32] | None = None
    labels: NDArray[Any] | None = None
    weights: NDArray[np.float32] | None = None
    epoch: int = 0
    """How often the data was gone through before these rows."""

    def __len__(self) -> int:
        if self.dense is not None:
            return len(self.dense)
        assert self.indptr is not None
        return len(self.indptr) - 1

    @property
    def sparse(self) -> bool:
        """Whether the features are sparse rows."""
        return self.dense is None

    def rows(self, start: int, stop: int) -> Batch:
        """The rows from `start` up to `stop`, sharing memory where it can."""
        labels = None if self.labels is None else self.labels[start:stop]
        weights = None if self.weights is None else self.weights[start:stop]
        if self.dense is not None:
            return Batch(
                self.features, dense=self.dense[start:stop], labels=labels, weights=weights, epoch=self.epoch
            )
        assert self.indptr is not None and self.indices is not None and self.values is not None
        bounds = self.indptr[start : stop + 1] if stop < len(self) else self.indptr[start:]
        first, last = int(bounds[0]), int(bounds[-1])
        return Batch(
            self.features,
            indptr=bounds - first,
            indices=self.indices[first:last],
            values=self.values[first:last],
            labels=labels,
            weights=weights,
            epoch=self.epoch,
        )

    def matrix(self) -> NDArray[Any] | csr_matrix:
        """The features as an array or a scipy CSR matrix."""
        if self.dense is not None:
            return self.dense
        assert self.values is not None and self.indices is not None and self.indptr is not None
        return csr_matrix((self.values, self.indices, self.indptr), shape=(len(self), self.features))


def batch_of(features: Any, labels: Any = None, weights: Any = None) -> Batch:
    """A batch of an array or scipy sparse matrix (n, d), unchecked; dense values keep their dtype."""
    labels = None if labels is None else np.asarray(labels)
    weights = None if weights is None else np.asarray(weights, np.float32)
    if hasattr(features, "tocsr"):
        rows = features.tocsr()
        return Batch(
            rows.shape[1],
            indptr=rows.indptr.astype(np.int64, copy=False),
            indices=rows.indices.astype(np.int32, copy=False),
            values=rows.data.astype(np.float32, copy=False),
            labels=labels,
            weights=weights,
        )
    dense = np.asarray(features)
    return Batch(dense.shape[1], dense=dense, labels=labels, weights=weights)
