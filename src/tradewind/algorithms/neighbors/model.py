"""Rows with labels, and what the labels of the nearest ones say of a new row."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from msgspec import to_builtins
from numpy.typing import ArrayLike, NDArray

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.graph import Graph, Node, Port, constant
from tradewind.algorithms.graph import rows as port
from tradewind.algorithms.neighbors.plan import INDEXES, IndexPlan, Searcher
from tradewind.algorithms.neighbors.projection import Projection
from tradewind.errors import Misuse, suggestion

KIND = "NeighborsModel"
PREDICTORS = ("classifier", "regressor")
METRICS = ("l2", "inner_product", "cosine")
WEIGHTINGS = ("uniform", "distance")
SCORES = {"classifier": ("accuracy",), "regressor": ("r2", "mse", "mae")}
_BATCH = 8192


class NeighborsModel:
    """The nearest of some rows vote, or their mean is taken.

    `k`, `predictor` and `weighting` may be set at any time; what is asked next goes by them. The index is
    built when it is first needed, from the rows and `plan` alone: nothing of it is stored.

    Args:
        rows: (n, d), projected if there is a projection; of length one where the metric is `cosine`.
        labels: (n,).
        k: how many neighbours.
        predictor: `classifier` or `regressor`.
        distance: the metric: `l2`, `inner_product` or `cosine`.
        weighting: `uniform`, or `distance` for votes of 1 / distance, where equal rows, if any, are all.
        plan: which index.
        features: columns of what is asked, before the projection.
        projection: what brings them to d.
        classes: the labels that a classifier tells apart; None is those that occur.
    """

    def __init__(
        self,
        rows: NDArray[np.float32],
        labels: NDArray[np.float64],
        *,
        k: int,
        predictor: str,
        distance: str = "l2",
        weighting: str = "uniform",
        plan: IndexPlan | None = None,
        features: int | None = None,
        projection: Projection | None = None,
        classes: NDArray[np.float64] | None = None,
    ) -> None:
        self.rows, self.labels = rows, labels
        self.k, self.predictor, self.distance, self.weighting = k, predictor, distance, weighting
        self.features = rows.shape[1] if features is None else features
        self.projection = projection
        self.classes = np.unique(labels) if classes is None else classes
        self._plan = plan or IndexPlan()
        self._searcher: Searcher | None = None

    @property
    def metric(self) -> str:
        """`accuracy` of a classifier, `r2` of a regressor."""
        return SCORES[self.predictor][0]

    @property
    def plan(self) -> IndexPlan:
        """The index and its settings; the first call builds it."""
        return self._ready().plan

    def neighbors(
        self, batch: Batch | ArrayLike, k: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The k nearest rows of each row, nearest first: distances (m, k) and their places (m, k).

        The distance is one minus the cosine for `cosine`, the product negated for `inner_product`. Misuse
        where there are fewer than k rows.
        """
        k = self.k if k is None else k
        if not isinstance(k, Integral) or not 1 <= k <= len(self.rows):
            raise Misuse(
                f"{k!r} neighbours of {len(self.rows)} rows", source="NeighborsModel", field="k",
                fix=f"Give 1 to {len(self.rows)}.",
            )  # fmt: skip
        queries = self._queries(batch)
        found = [self._ready().search(queries[i : i + _BATCH], k) for i in range(0, len(queries), _BATCH)]
        if not found:
            return np.empty((0, k)), np.empty((0, k), np.int64)
        values = np.concatenate([each for each, _ in found])
        places = np.concatenate([each for _, each in found])
        if self.distance == "l2":
            values = np.sqrt(values)
        elif self.distance == "cosine":
            values = np.maximum(1 + values, 0.0)
        return values, places

    def shares(self, batch: Batch | ArrayLike) -> NDArray[np.float64]:
        """Each class's share of the votes, (m, classes)."""
        self._check()
        weights, places = self._weighed(batch)
        codes = np.searchsorted(self.classes, self.labels)[places]
        at = np.arange(len(places))[:, None] * len(self.classes) + codes
        votes = np.bincount(at.ravel(), weights.ravel(), len(places) * len(self.classes))
        return np.asarray(votes.reshape(len(places), len(self.classes)))

    def evaluate(self, batch: Batch | ArrayLike) -> NDArray[np.float64]:
        """The class with most votes, the smaller among equals, or the neighbours' mean: (m,)."""
        self._check()
        if self.predictor == "classifier":
            return np.asarray(self.classes[self.shares(batch).argmax(axis=1)])
        weights, places = self._weighed(batch)
        return np.asarray((weights * self.labels[places]).sum(axis=1))

    def score(self, batch: Batch, metric: str = "") -> float:
        """`accuracy` of a classifier; `r2`, `mse` or `mae` of a regressor."""
        self._check()
        metric = metric or self.metric
        if metric not in SCORES[self.predictor]:
            fix = suggestion(metric, SCORES[self.predictor])
            raise Misuse(f"{metric!r} is no metric of a {self.predictor}", field="metric", fix=fix)
        if batch.labels is None:
            raise Misuse("there are no labels", source="score", field="labels", fix="Give rows with labels.")
        answers, truth = self.evaluate(batch), np.asarray(batch.labels, np.float64)
        weights = np.ones(len(truth)) if batch.weights is None else batch.weights.astype(np.float64)
        if metric == "accuracy":
            return float(np.average(answers == truth, weights=weights))
        if metric == "mae":
            return float(np.average(np.abs(answers - truth), weights=weights))
        error = float(np.average(np.square(answers - truth), weights=weights))
        if metric == "mse":
            return error
        spread = float(np.average(np.square(truth - np.average(truth, weights=weights)), weights=weights))
        return 1 - error / spread if spread > 0 else float(error == 0)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`rows` (n, d), `labels` (n,), `classes`; with a projection `signs`, and `chosen` of `fjlt`."""
        found: dict[str, NDArray[Any]] = {"rows": self.rows, "labels": self.labels, "classes": self.classes}
        if self.projection is not None:
            found["signs"] = self.projection.signs
            if self.projection.kind == "fjlt":
                found["chosen"] = self.projection.chosen
        return found

    def header(self) -> dict[str, Any]:
        """How to use the arrays, and how the index is built again."""
        kind = None if self.projection is None else self.projection.kind
        steps = {
            None: "",
            "sign": "X = X @ signs / sqrt(columns of signs); ",
            "fjlt": "X = (X * signs, with zeros up to a power of two) @ Hadamard, columns `chosen`, "
            "/ sqrt(their number); ",
        }[kind]
        near = {
            "l2": "the least |x - row|",
            "inner_product": "the largest x . row",
            "cosine": "the largest x . row / |x|",
        }[self.distance]
        return {
            "kind": KIND, "version": 1, "features": self.features, "k": self.k, "predictor": self.predictor,
            "distance": self.distance, "weighting": self.weighting, "projection": kind,
            "index": to_builtins(self.plan),
            "formula": f"{steps}the k rows of {near}; their most frequent label, or their labels' mean",
        }  # fmt: skip

    def graph(self) -> Graph:
        """An exact search in operators, on dense rows; Misuse for votes weighted by distance."""
        self._check()
        if self.weighting != "uniform":
            raise Misuse(
                "votes weighted by distance lose their digits in single precision", field="weighting",
                fix="Set weighting to 'uniform' for an ONNX file.",
            )  # fmt: skip
        constants = {
            "columns": constant(self.rows.T),
            "k": constant([self.k], np.int64),
        }
        nodes, at = [], "X"
        if self.projection is not None:
            constants["projection"] = constant(self.projection.matrix())
            nodes.append(Node("MatMul", (at, "projection"), ("projected",)))
            at = "projected"
        if self.distance == "l2":  # rows are moved near zero, where single precision tells them apart
            middle = self.rows.mean(axis=0, dtype=np.float64)
            moved = self.rows - middle
            constants["columns"] = constant(moved.T)
            constants["middle"] = constant(middle)
            constants["bias"] = constant(np.einsum("ij,ij->i", moved, moved) / 2)
            nodes.append(Node("Sub", (at, "middle"), ("centred",)))
            nodes.append(Node("MatMul", ("centred", "columns"), ("products",)))
            nodes.append(Node("Sub", ("products", "bias"), ("scores",)))
        else:  # a query's length changes no order
            nodes.append(Node("MatMul", (at, "columns"), ("scores",)))
        nodes.append(Node("TopK", ("scores", "k"), ("nearness", "places"), {"axis": 1}))
        if self.predictor == "classifier":
            votes = self.labels[:, None] == self.classes
            constants["votes"], constants["classes"] = constant(votes), constant(self.classes)
            constants["axis"] = constant([1], np.int64)
            nodes.append(Node("Gather", ("votes", "places"), ("each",), {"axis": 0}))
            nodes.append(Node("ReduceSum", ("each", "axis"), ("counts",), {"keepdims": 0}))
            nodes.append(Node("ArgMax", ("counts",), ("winner",), {"axis": 1, "keepdims": 0}))
            nodes.append(Node("Gather", ("classes", "winner"), ("Y",), {"axis": 0}))
        else:
            constants["labels"] = constant(self.labels)
            nodes.append(Node("Gather", ("labels", "places"), ("each",), {"axis": 0}))
            nodes.append(Node("ReduceMean", ("each",), ("Y",), {"axes": [1], "keepdims": 0}))
        return Graph(tuple(nodes), (port(self.features),), (Port("Y", ("rows",)),), constants)

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> NeighborsModel:
        """The model that gave `arrays` and `header`."""
        projection = None
        if header["projection"] is not None:
            chosen = arrays.get("chosen", np.empty(0, np.int64))
            projection = Projection(str(header["projection"]), arrays["signs"], chosen)
        plan = IndexPlan(**header["index"])
        if plan.kind not in INDEXES:
            raise Misuse(
                f"{plan.kind!r} is no index",
                source="model",
                field="index",
                fix=suggestion(plan.kind, INDEXES),
            )
        return cls(
            arrays["rows"], arrays["labels"], k=int(header["k"]), predictor=str(header["predictor"]),
            distance=str(header["distance"]), weighting=str(header["weighting"]), plan=plan,
            features=int(header["features"]), projection=projection, classes=arrays["classes"],
        )  # fmt: skip

    def _ready(self) -> Searcher:
        if self._searcher is None:
            self._searcher = Searcher(self.rows, self.distance == "l2", self._plan, self.k)
        return self._searcher

    def _queries(self, given: Batch | ArrayLike) -> NDArray[np.float32]:
        batch = given if isinstance(given, Batch) else batch_of(given)
        if batch.features != self.features:
            raise Misuse(
                f"the rows have {batch.features} features, the model was made for {self.features}",
                source="evaluate", field="features", fix="Give the same columns in the same order.",
            )  # fmt: skip
        with np.errstate(over="ignore"):  # what is too large is found below
            found = as_dense(batch) if self.projection is None else self.projection(batch.matrix())
        if not np.isfinite(found).all():
            row = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
            raise Misuse(
                f"row {row} has a value that is missing, infinite, or too large for single precision",
                source="evaluate", field="X", fix="Fill or drop such rows.",
            )  # fmt: skip
        return unit(found) if self.distance == "cosine" else found

    def _weighed(self, batch: Batch | ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The share that each neighbour has in the answer, and its place: (m, k) each."""
        distances, places = self.neighbors(batch)
        if self.weighting == "uniform":
            return np.full(places.shape, 1 / places.shape[1]), places
        equal = distances == 0
        weights = 1 / np.where(equal, 1.0, distances)
        weights = np.where(equal.any(axis=1, keepdims=True), equal, weights)
        return weights / weights.sum(axis=1, keepdims=True), places

    def _check(self) -> None:
        """Raise Misuse for an attribute that was set to something that cannot be meant."""
        for field, known in (("predictor", PREDICTORS), ("weighting", WEIGHTINGS), ("distance", METRICS)):
            value = getattr(self, field)
            if value not in known:
                raise Misuse(
                    f"{value!r} is no {field}", source="NeighborsModel", field=field,
                    fix=suggestion(str(value), known),
                )  # fmt: skip
        if self.weighting == "distance" and self.distance == "inner_product":
            raise Misuse(
                "an inner product is no distance to weight by", source="NeighborsModel", field="weighting",
                fix="Use 'uniform', or the metric 'cosine'.",
            )  # fmt: skip


def as_dense(batch: Batch) -> NDArray[np.float32]:
    """A batch's rows as one dense array in single precision."""
    matrix: Any = batch.matrix()
    return np.ascontiguousarray(matrix.toarray() if batch.sparse else matrix, np.float32)


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows at length one; zero stays zero."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0)[:, None], np.float32)
