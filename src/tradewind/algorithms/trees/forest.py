"""A forest as arrays: what was grown, and how a row falls through it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.graph import ML_OPSET, Graph, Node, Port, constant, rows
from tradewind.algorithms.labels import class_numbers, numeric
from tradewind.algorithms.linear import metrics
from tradewind.algorithms.scaler_model import check_width
from tradewind.errors import Misuse, suggestion

KIND = "ForestModel"
LEAF = -1
"""The feature of a node that has no children."""

_ROWS_AT_A_TIME = 4096


class ForestModel:
    """Mean of the trees' answers: of values, or of the classes' shares in the leaf that a row falls into.

    Arrays: `feature`, `threshold`, `left`, `right` (trees, nodes); `values` (trees, nodes, outputs);
    `classes` (outputs,) for classes. A row begins at node 0 of each tree and goes left where its value of
    `feature`, as a float32, is at most `threshold`; at a node whose feature is -1 its answer is `values`.
    """

    def __init__(
        self,
        feature: NDArray[np.int64],
        threshold: NDArray[np.float64],
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        values: NDArray[np.float64],
        *,
        features: int,
        classes: NDArray[Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """`classes` None means regression; `settings` say how it was grown and come back in the header."""
        self.feature, self.threshold, self.left, self.right = feature, threshold, left, right
        self.values, self.features, self.classes = values, features, classes
        self.settings = dict(settings or {})

    @property
    def metric(self) -> str:
        """Accuracy for classes, r2 for values."""
        return "r2" if self.classes is None else "accuracy"

    def evaluate(self, batch: Batch | ArrayLike) -> NDArray[np.float64]:
        """Values (n,), or how likely each class is (n, k)."""
        given = batch if isinstance(batch, Batch) else batch_of(batch)
        check_width(given, self.features, "evaluate")
        out = np.zeros((len(given), self.values.shape[2]))
        for at in range(0, len(given), _ROWS_AT_A_TIME):
            part: Any = given.rows(at, min(at + _ROWS_AT_A_TIME, len(given))).matrix()
            dense = np.ascontiguousarray(part.toarray() if hasattr(part, "toarray") else part, np.float32)
            _fall(
                dense, self.feature, self.threshold, self.left, self.right, self.values,
                out[at : at + len(dense)],
            )  # fmt: skip
        out /= len(self.feature)
        return out[:, 0] if self.classes is None else out

    def predict(self, batch: Batch | ArrayLike) -> NDArray[Any]:
        """Values, or the likeliest class as it was labelled, (n,)."""
        answer = self.evaluate(batch)
        return answer if self.classes is None else np.asarray(self.classes[answer.argmax(axis=1)])

    def score(self, batch: Batch, metric: str = "") -> float:
        """`accuracy` or `log_loss` of classes; `r2`, `mse`, `rmse` or `mae` of values."""
        metric = metric or self.metric
        truth = numeric(batch.labels, "score")
        weights = metrics.mean_weights(batch.weights, len(truth))
        answer = self.evaluate(batch)
        if self.classes is None:
            if metric not in metrics.REGRESSION:
                raise _unknown(metric, tuple(metrics.REGRESSION))
            return metrics.REGRESSION[metric](truth, answer, weights)
        numbers = class_numbers(truth, np.asarray(self.classes, np.float64), "score")
        if metric == "accuracy":
            return float(np.average(answer.argmax(axis=1) == numbers, weights=weights))
        if metric == "log_loss":
            return metrics.log_loss(numbers, answer, weights)
        raise _unknown(metric, ("accuracy", "log_loss"))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The trees, see the class; and `classes`, where they are numbers."""
        found: dict[str, NDArray[Any]] = {
            "feature": self.feature, "threshold": self.threshold, "left": self.left, "right": self.right,
            "values": self.values,
        }  # fmt: skip
        if self.classes is not None and self.classes.dtype.kind in "biuf":
            found["classes"] = self.classes.astype(np.float64)
        return found

    def header(self) -> dict[str, Any]:
        """Its kind and settings, and how to use the arrays."""
        textual = self.classes is not None and self.classes.dtype.kind not in "biuf"
        return {
            "kind": KIND, "version": 1, "task": "regression" if self.classes is None else "classification",
            "features": self.features, "settings": self.settings,
            "class_names": [str(each) for each in self.classes] if textual else None,  # type: ignore[union-attr]
            "formula": "from node 0 left where float32(x[feature]) <= threshold, else right, to feature -1;"
            " the mean over the trees of values[node]",
        }  # fmt: skip

    def graph(self) -> Graph:
        """A TreeEnsembleRegressor whose targets are the classes' shares, or the value."""
        trees, nodes = np.nonzero(self._reached())
        leaf = self.feature[trees, nodes] == LEAF
        at_leaf = np.flatnonzero(leaf)
        outputs = self.values.shape[2]
        shares = self.values[trees[at_leaf], nodes[at_leaf]] / len(self.feature)
        # a float32 is at most the threshold exactly where it is at most the next float32 below it
        bounds = self.threshold[trees, nodes]
        below = bounds.astype(np.float32)
        below = np.where(below > bounds, np.nextafter(below, np.float32(-np.inf)), below)
        ensemble = Node(
            "TreeEnsembleRegressor", ("X",), ("sums",), domain="ai.onnx.ml",
            attributes={
                "n_targets": outputs, "aggregate_function": "SUM", "post_transform": "NONE",
                "nodes_treeids": trees.tolist(), "nodes_nodeids": nodes.tolist(),
                "nodes_featureids": np.where(leaf, 0, self.feature[trees, nodes]).tolist(),
                "nodes_values": np.where(leaf, 0.0, below).astype(float).tolist(),
                "nodes_modes": ["LEAF" if each else "BRANCH_LEQ" for each in leaf],
                "nodes_truenodeids": np.where(leaf, 0, self.left[trees, nodes]).tolist(),
                "nodes_falsenodeids": np.where(leaf, 0, self.right[trees, nodes]).tolist(),
                "target_treeids": np.repeat(trees[at_leaf], outputs).tolist(),
                "target_nodeids": np.repeat(nodes[at_leaf], outputs).tolist(),
                "target_ids": np.tile(np.arange(outputs), len(at_leaf)).tolist(),
                "target_weights": shares.ravel().astype(float).tolist(),
            },
        )  # fmt: skip
        assert ML_OPSET >= 3
        if self.classes is not None:
            last = Node("Identity", ("sums",), ("Y",))
            return Graph((ensemble, last), (rows(self.features),), (Port("Y", ("rows", outputs)),))
        last = Node("Reshape", ("sums", "flat"), ("Y",))
        return Graph(
            (ensemble, last), (rows(self.features),), (Port("Y", ("rows",)),),
            {"flat": constant([-1], np.int64)},
        )  # fmt: skip

    def _reached(self) -> NDArray[np.bool_]:
        """Which nodes of each tree there are, (trees, nodes)."""
        reached = np.zeros(self.feature.shape, bool)
        reached[:, 0] = True
        inner = self.feature != LEAF
        for children in (self.left, self.right):
            tree, node = np.nonzero(inner)
            reached[tree, children[tree, node]] = True
        return reached

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> ForestModel:
        """The model that gave `arrays` and `header`; Misuse where they do not fit together."""
        missing = [name for name in ("feature", "threshold", "left", "right", "values") if name not in arrays]
        if missing:
            raise Misuse(
                "the arrays are not those that the header tells of", source="model", field=missing[0],
                fix="Restore both files from the same save.",
            )  # fmt: skip
        features = int(header["features"])
        _check_nodes(arrays["feature"], arrays["left"], arrays["right"], features)
        classes = arrays.get("classes")
        if header.get("class_names"):
            classes = np.array(header["class_names"])
        return cls(
            arrays["feature"], arrays["threshold"], arrays["left"], arrays["right"], arrays["values"],
            features=features, classes=classes, settings=header.get("settings"),
        )  # fmt: skip


def _check_nodes(
    feature: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64], features: int
) -> None:
    """Raise Misuse unless every row falls to a leaf: a node's children come after it, within its tree.

    Nodes that none leads to are room that a tree did not need, and hold anything.
    """
    trees, count = feature.shape
    tree, node = np.arange(trees), np.zeros(trees, np.int64)
    fits = bool(trees and count)
    while fits and len(tree):
        inner = feature[tree, node] != LEAF
        tree, node = tree[inner], node[inner]
        fits = bool(((feature[tree, node] >= 0) & (feature[tree, node] < features)).all())
        children = np.stack([left[tree, node], right[tree, node]])
        fits = fits and bool(((children > node) & (children < count)).all())
        new = np.unique(np.concatenate([tree, tree]) * count + children.ravel())
        tree, node = new // count, new % count
    if not fits:
        raise Misuse(
            "the nodes are no trees over the features that the header tells of", source="model",
            field="feature", fix="Restore both files from the same save.",
        )  # fmt: skip


def _unknown(metric: str, known: tuple[str, ...]) -> Misuse:
    return Misuse(f"{metric!r} is no metric of this model", field="metric", fix=suggestion(metric, known))


@njit(cache=True, nogil=True)
def _fall(x: Any, feature: Any, threshold: Any, left: Any, right: Any, values: Any, out: Any) -> None:
    for t in range(feature.shape[0]):
        for i in range(x.shape[0]):
            node = 0
            while feature[t, node] != -1:
                node = left[t, node] if x[i, feature[t, node]] <= threshold[t, node] else right[t, node]
            for j in range(out.shape[1]):
                out[i, j] += values[t, node, j]
