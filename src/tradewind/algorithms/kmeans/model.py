"""A k-means model that was learned: centres, and what to do with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.graph import Graph, Node, Port, constant, rows
from tradewind.algorithms.kmeans.assignment import (
    LARGEST,
    Doubles,
    Labels,
    Rows,
    nearest,
    squared_distances,
)
from tradewind.algorithms.scaler_model import check_width
from tradewind.errors import Misuse, suggestion

KIND = "KMeansModel"
_VALUES = 2**21
"""Numbers of dense rows that are worked on at once."""


class KMeansModel:
    """k centres; a row belongs to the nearest. O(n d k) time for n rows."""

    metric = "msd"

    def __init__(self, centres: Doubles, weights: Doubles) -> None:
        self.centres, self.weights = centres, weights
        self._shift = centres.mean(axis=0).astype(np.float32).astype(np.float64)
        self._places = (centres - self._shift).astype(np.float32)
        self._plain = centres.astype(np.float32)

    def evaluate(self, batch: Batch | ArrayLike) -> NDArray[np.int32]:
        """The number of the nearest centre for each row, (n,); the first, where several are."""
        return self.nearest(batch)[0]

    def transform(self, batch: Batch | ArrayLike) -> Doubles:
        """The distances to every centre, (n, k)."""
        given = _batch(batch)
        check_width(given, self.centres.shape[1], "transform")
        out = np.empty((len(given), len(self.centres)))
        for start, stop in _parts(given):
            part = given.rows(start, stop)
            if part.dense is not None:
                x: Any = np.asarray(part.dense, np.float64) - self._shift
                places, squares = self.centres - self._shift, np.einsum("ij,ij->i", x, x)
            else:
                x = part.matrix().astype(np.float64)
                places, squares = self.centres, np.asarray(x.multiply(x).sum(axis=1)).reshape(-1)
            found = squares[:, None] - 2 * (x @ places.T) + np.einsum("ij,ij->i", places, places)
            out[start:stop] = np.sqrt(np.maximum(found, 0.0))
        return out

    def score(self, batch: Batch, metric: str = "") -> float:
        """`msd`, the mean squared distance to the nearest centre, or `ssd`, the sum; of weighted rows."""
        if metric not in ("", "msd", "ssd"):
            raise Misuse(
                f"{metric!r} is no metric of k-means", field="metric", fix=suggestion(metric, ("msd", "ssd"))
            )
        squares = self.nearest(batch)[1]
        weights = np.ones(len(squares)) if batch.weights is None else batch.weights.astype(np.float64)
        total = float(squares @ weights)
        return total if metric == "ssd" else total / max(float(weights.sum()), np.finfo(np.float64).tiny)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`centres` (k, d), and `weights` (k,): for how many rows each stands."""
        return {"centres": self.centres, "weights": self.weights}

    def header(self) -> dict[str, Any]:
        """How to use the arrays."""
        return {
            "kind": KIND, "version": 1, "k": len(self.centres), "features": self.centres.shape[1],
            "formula": "the label of a row x is the argmin over c of sum((x - centres[c])**2)",
        }  # fmt: skip

    def graph(self) -> Graph:
        """Two outputs for dense rows: `label` (n,), int64, and `distances` (n, k)."""
        k, d = self.centres.shape
        moved = self.centres - self._shift
        return Graph(
            nodes=(
                Node("Sub", ("X", "shift"), ("moved",)),
                Node("Mul", ("moved", "moved"), ("squared",)),
                Node("ReduceSum", ("squared", "last"), ("lengths",), {"keepdims": 1}),
                Node("MatMul", ("moved", "turned"), ("products",)),
                Node("Add", ("products", "centre_lengths"), ("scores",)),
                Node("ArgMin", ("scores",), ("label",), {"axis": 1, "keepdims": 0}),
                Node("Add", ("scores", "lengths"), ("squares",)),
                Node("Relu", ("squares",), ("positive",)),
                Node("Sqrt", ("positive",), ("distances",)),
            ),
            inputs=(rows(d),),
            outputs=(Port("label", ("rows",), "int64"), Port("distances", ("rows", k))),
            constants={
                "shift": constant(self._shift),
                "turned": constant(-2 * moved.T),
                "centre_lengths": constant(np.einsum("ij,ij->i", moved, moved)),
                "last": constant([1], np.int64),
            },
        )

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> KMeansModel:
        """The model that gave `arrays` and `header`."""
        return cls(np.asarray(arrays["centres"], np.float64), np.asarray(arrays["weights"], np.float64))

    def nearest(self, batch: Batch | ArrayLike) -> tuple[Labels, Doubles]:
        """The number of the nearest centre for each row and the squared distance to it, (n,) each."""
        given = _batch(batch)
        check_width(given, self.centres.shape[1], "evaluate")
        labels, squares = np.empty(len(given), np.int32), np.empty(len(given))
        places = self._plain if given.sparse else self._places
        for start, stop in _parts(given):
            with np.errstate(over="ignore", invalid="ignore"):  # what is too large is found below
                x = shifted(given.rows(start, stop), self._shift, move=not given.sparse)
                labels[start:stop] = nearest(x, places)
            squares[start:stop] = squared_distances(x, places, labels[start:stop])
        if not (squares < LARGEST).all():
            row = int(np.flatnonzero(~(squares < LARGEST))[0])
            raise Misuse(
                f"row {row} has a value that is missing, infinite, or too large to be squared",
                source="evaluate", field="X", fix="Fill or drop such rows.",
            )  # fmt: skip
        return labels, squares


def shifted(batch: Batch, shift: Doubles, move: bool = True) -> Rows:
    """The rows less `shift` in float32, dense wherever something is taken off; unmoved ones stay sparse."""
    if batch.dense is None:
        matrix = batch.matrix()
        if not move:
            return csr_matrix(matrix, dtype=np.float32)
        dense = csr_matrix(matrix).toarray()
    else:
        dense = batch.dense
    if not move:
        return np.ascontiguousarray(dense, np.float32)
    if dense.dtype == np.float32:
        return np.ascontiguousarray(np.subtract(dense, shift.astype(np.float32)))
    return np.ascontiguousarray(dense - shift, np.float32)


def _batch(given: Batch | ArrayLike) -> Batch:
    return given if isinstance(given, Batch) else batch_of(given)


def _parts(batch: Batch) -> Iterator[tuple[int, int]]:
    step = max(64, _VALUES // max(batch.features, 1)) if batch.dense is not None else 2**14
    for start in range(0, len(batch), step):
        yield start, min(start + step, len(batch))
