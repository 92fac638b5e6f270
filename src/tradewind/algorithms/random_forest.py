"""Random forests from a stream: every batch grows some trees, and the forest is all of them.

Breiman, "Pasting small votes for classification in large databases and on-line", Machine Learning 36 (1999):
each tree sees a bootstrap sample of one batch, so that no worker waits for another and no row is kept. The
trees are scikit-learn's; what is added is that they live in a state, so that a forest grows over any number
of workers and through revocations.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _num_samples, check_is_fitted

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.chance import chance_of
from tradewind.algorithms.estimator import StreamEstimator
from tradewind.algorithms.interface import PROGRESS, State
from tradewind.algorithms.labels import class_numbers, numeric
from tradewind.algorithms.linear.rows import check_rows
from tradewind.algorithms.trees.forest import LEAF, ForestModel
from tradewind.errors import Misuse, suggestion

TREES, CLASSES, FEATURES = "trees", "classes", "features"
"""Tables: a tree a row, see `_packed`; the classes; the number of columns."""


class _Forest(StreamEstimator):
    """What the classifier and the regressor share."""

    n_estimators: int
    trees_per_batch: int
    max_leaf_nodes: int
    min_samples_leaf: int
    max_features: Any
    batch_size: int
    seed: int
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "trees_per_batch": [Interval(Integral, 1, None, closed="left")],
        "max_leaf_nodes": [Interval(Integral, 2, None, closed="left")],
        "min_samples_leaf": [Interval(Integral, 1, None, closed="left")],
        "max_features": [
            StrOptions({"sqrt", "log2"}),
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="right"),
            None,
        ],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "classes": ["array-like", None],
        "seed": [Interval(Integral, 0, None, closed="left")],
    }

    def initialize(self, state: State, sample: Batch) -> None:
        """Register room for the trees; `sample` gives the classes where they were not given."""
        self.check()
        check_rows(sample, sample.features, "initialize")
        if not len(sample):
            raise Misuse("there is no row to begin with", source="initialize", fix="Give at least one row.")
        outputs = 1
        if self.labels == "classes":
            labels = numeric(sample.labels, "initialize")
            classes = self.known_classes(labels, "initialize")
            class_numbers(labels, classes, "initialize")
            state.initialize(CLASSES, classes)
            outputs = len(classes)
        nodes = 2 * self.max_leaf_nodes - 1
        state.initialize(TREES, np.zeros((self.n_estimators, nodes * (4 + outputs))), aggregate="put")
        state.initialize(FEATURES, np.array([sample.features]))
        state.initialize(PROGRESS, np.zeros(2))

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """Grow `trees_per_batch` trees a batch, which take the places of the oldest."""
        classes = np.array(state.pull(CLASSES)) if self.labels == "classes" else np.empty(0)
        features = int(state.pull(FEATURES)[0])
        count = min(self.trees_per_batch, self.n_estimators)
        for batch in stream:
            check_rows(batch, features, "update")
            if not len(batch):
                raise Misuse("the batch is empty", source="update", fix="Leave it out.")
            labels = numeric(batch.labels, "update")
            if self.labels == "classes":
                labels = class_numbers(labels, classes, "update").astype(np.float64)
            chance = chance_of(self.seed, state)
            number = state.clock * state.workers + (state.worker or 0)
            slots = (number * count + np.arange(count)) % self.n_estimators
            grown = [self._grow(batch, labels, len(classes), chance) for _ in range(count)]
            state.push(TREES, np.stack([tree for tree, _, _ in grown]), slots)
            state.push(PROGRESS, np.array([sum(each[1] for each in grown), sum(each[2] for each in grown)]))
            if synchronized:
                state.barrier()

    def finalize(self, state: State, **config: Any) -> ForestModel:
        """The forest; `trees` leaves all but the first so many out."""
        for name in config:
            if name != "trees":
                raise Misuse(f"finalize takes no {name!r}", field=name, fix=suggestion(name, ("trees",)))
        table = np.array(state.pull(TREES))
        grown = table[table[:, 0] > 0]
        if not len(grown):
            raise Misuse("no tree has been grown", source="finalize", fix="Learn from at least one batch.")
        wanted = int(config.get("trees", len(grown)))
        if not 1 <= wanted <= len(grown):
            raise Misuse(f"{wanted} of {len(grown)} trees", field="trees", fix=f"Give 1 to {len(grown)}.")
        classes = np.array(state.pull(CLASSES)) if self.labels == "classes" else None
        cells = grown[:wanted].reshape(wanted, -1, 4 + (1 if classes is None else len(classes)))
        whole = [np.ascontiguousarray(cells[:, :, at]).astype(np.int64) for at in (0, 2, 3)]
        return ForestModel(
            whole[0] - 2, np.ascontiguousarray(cells[:, :, 1]), whole[1], whole[2],
            np.ascontiguousarray(cells[:, :, 4:]),
            features=int(state.pull(FEATURES)[0]), classes=classes, settings=self.parameters(),
        )  # fmt: skip

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from scratch: blocks of `batch_size` rows, with as many trees each as fill the forest."""
        self._validate_params()
        blocks = max(1, -(-_num_samples(X) // self.batch_size))
        given, self.trees_per_batch = self.trees_per_batch, -(-self.n_estimators // blocks)
        try:
            return super().fit(X, y)
        finally:
            self.trees_per_batch = given

    def _grow(
        self, batch: Batch, labels: NDArray[np.float64], classes: int, chance: np.random.Generator
    ) -> tuple[NDArray[np.float64], float, float]:
        """A tree of a bootstrap sample as one row of numbers; its loss on the rows left out; their number."""
        n = len(batch)
        counts = np.bincount(chance.integers(0, n, n), minlength=n).astype(np.float64)
        weights = counts if batch.weights is None else counts * batch.weights
        if not weights.sum() > 0:
            weights = np.ones(n)
        kind = DecisionTreeRegressor if classes == 0 else DecisionTreeClassifier
        tree: Any = kind(
            max_features=self.max_features, max_leaf_nodes=self.max_leaf_nodes,
            min_samples_leaf=min(self.min_samples_leaf, n), random_state=int(chance.integers(2**31)),
        )  # fmt: skip
        matrix = batch.matrix()
        tree.fit(matrix, labels, sample_weight=weights)
        out = weights == 0
        loss, seen = 0.0, float(out.sum())
        if seen:
            answer = tree.predict(matrix[out])
            loss = float(np.sum((answer - labels[out]) ** 2 if classes == 0 else answer != labels[out]))
        return _packed(tree, classes, 2 * self.max_leaf_nodes - 1), loss, seen

    def _fitted(self) -> None:
        if self.labels == "classes":
            self._model.classes = self.classes_


class RandomForestClassifier(ClassifierMixin, _Forest):
    """A forest of scikit-learn's trees that grows as rows come by.

    O(n log n) time a batch of n rows and tree, O(trees * leaves * classes) memory, whatever the data's size.

    Args:
        n_estimators: places for trees; when all are taken the oldest give way.
        trees_per_batch: how many grow from each batch of a job; `fit` chooses as many as fill the forest.
        max_leaf_nodes: leaves of a tree at most.
        min_samples_leaf: distinct rows in a leaf at least.
        max_features: columns that a split looks at: `sqrt`, `log2`, a number, a share, or None for all.
        batch_size: rows that `fit` and `partial_fit` grow trees from at a time.
        classes: all labels that occur, where the first rows of a job may not show them.
        seed: of the bootstrap samples and the columns drawn.

    >>> RandomForestClassifier(5).fit([[0.0], [1.0], [2.0], [3.0]] * 5, [0, 0, 1, 1] * 5).predict([[0.2], [2.7]]).tolist()
    [0, 1]
    """  # noqa: E501

    labels: ClassVar[str] = "classes"

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        trees_per_batch: int = 10,
        max_leaf_nodes: int = 256,
        min_samples_leaf: int = 1,
        max_features: Any = "sqrt",
        batch_size: int = 10_000,
        classes: Any = None,
        seed: int = 0,
    ) -> None:
        self.n_estimators, self.trees_per_batch = n_estimators, trees_per_batch
        self.max_leaf_nodes, self.min_samples_leaf = max_leaf_nodes, min_samples_leaf
        self.max_features, self.batch_size, self.classes, self.seed = max_features, batch_size, classes, seed

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """How likely each class is, (n, k)."""
        check_is_fitted(self)
        return np.asarray(self._model.evaluate(self._rows(X, reset=False)))

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class of each row."""
        likely = self.predict_proba(X)
        return np.asarray(self.classes_[likely.argmax(axis=1)])


class RandomForestRegressor(RegressorMixin, _Forest):
    """As `RandomForestClassifier`, of values; a split looks at a third of the columns where nothing is said.

    >>> RandomForestRegressor(5).fit([[0.0], [1.0]] * 9, [0.0, 1.0] * 9).predict([[0.0]]).tolist()
    [0.0]
    """

    labels: ClassVar[str] = "number"

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        trees_per_batch: int = 10,
        max_leaf_nodes: int = 256,
        min_samples_leaf: int = 1,
        max_features: Any = 1 / 3,
        batch_size: int = 10_000,
        seed: int = 0,
    ) -> None:
        self.n_estimators, self.trees_per_batch = n_estimators, trees_per_batch
        self.max_leaf_nodes, self.min_samples_leaf = max_leaf_nodes, min_samples_leaf
        self.max_features, self.batch_size, self.seed = max_features, batch_size, seed

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The value of each row."""
        check_is_fitted(self)
        return np.asarray(self._model.evaluate(self._rows(X, reset=False)))


def _packed(tree: Any, classes: int, nodes: int) -> NDArray[np.float64]:
    """A fitted tree as one row: by node its feature plus two (1 for a leaf), threshold, children, answer."""
    grown, width = tree.tree_, 1 if classes == 0 else classes
    cells = np.zeros((nodes, 4 + width))
    n = grown.node_count
    leaf = grown.children_left == -1
    cells[:n, 0] = np.where(leaf, LEAF, grown.feature) + 2
    cells[:n, 1] = np.where(leaf, 0.0, grown.threshold)
    cells[:n, 2] = np.where(leaf, 0, grown.children_left)
    cells[:n, 3] = np.where(leaf, 0, grown.children_right)
    if classes == 0:
        cells[:n, 4] = grown.value[:, 0, 0]
    else:
        cells[:n, 4 + tree.classes_.astype(np.int64)] = grown.value[:, 0, :]
    return cells.ravel()
