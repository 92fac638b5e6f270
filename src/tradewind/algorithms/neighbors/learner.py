"""Nearest neighbours of a stream: a fair sample of its rows, kept by all workers together.

SageMaker elastic algorithms (Liberty et al., SIGMOD 2020), section 4, and Amazon's developer guide, "How the
k-NN algorithm works": sample, reduce, index; the number of neighbours and what is made of their labels are
chosen after training.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.chance import chance_of
from tradewind.algorithms.estimator import StreamEstimator
from tradewind.algorithms.interface import PROGRESS, State
from tradewind.algorithms.neighbors.model import (
    METRICS,
    PREDICTORS,
    WEIGHTINGS,
    NeighborsModel,
    as_dense,
    unit,
)
from tradewind.algorithms.neighbors.plan import INDEXES, IndexPlan
from tradewind.algorithms.neighbors.projection import PROJECTIONS, Projection, projection_of
from tradewind.algorithms.reservoir import draw, shares
from tradewind.errors import Misuse, suggestion

ROWS, LABELS, SEEN, FEATURES = "rows", "labels", "seen", "features"
"""Tables: the reservoir's `rows` (size, d) and `labels` (size, 1), of which each worker fills its share; how
many rows each worker has `seen`; how many `features` there were before a projection."""
_LARGEST = float(np.finfo(np.float32).max)
_CONFIG = ("k", "predictor", "weighting", "metric", "index", "recall", "nlists", "probes", "pq_m", "classes")


class _Neighbors(StreamEstimator):
    """What the classifier and the regressor share."""

    predictor: ClassVar[str]
    sample_size = 100
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "k": [Interval(Integral, 1, None, closed="left")],
        "weighting": [StrOptions(set(WEIGHTINGS))],
        "metric": [StrOptions(set(METRICS))],
        "index": [StrOptions(set(INDEXES))],
        "recall": [Interval(Real, 0, 1, closed="right")],
        "nlists": [Interval(Integral, 1, None, closed="left"), None],
        "probes": [Interval(Integral, 1, None, closed="left"), None],
        "pq_m": [Interval(Integral, 1, None, closed="left")],
        "projection": [StrOptions(set(PROJECTIONS)), None],
        "dimension_reduction_target": [Interval(Integral, 1, None, closed="left"), None],
        "reservoir_size": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "seed": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        k: int = 5,
        *,
        weighting: str = "uniform",
        metric: str = "l2",
        index: str = "auto",
        recall: float = 0.99,
        nlists: int | None = None,
        probes: int | None = None,
        pq_m: int = 8,
        projection: str | None = None,
        dimension_reduction_target: int | None = None,
        reservoir_size: int = 200_000,
        batch_size: int = 10_000,
        seed: int = 0,
    ) -> None:
        self.k, self.weighting, self.metric = k, weighting, metric
        self.index, self.recall, self.nlists, self.probes, self.pq_m = index, recall, nlists, probes, pq_m
        self.projection, self.dimension_reduction_target = projection, dimension_reduction_target
        self.reservoir_size, self.batch_size, self.seed = reservoir_size, batch_size, seed

    def check(self) -> None:
        """Raise Misuse for an argument that cannot be meant."""
        super().check()
        source = type(self).__name__
        if (self.projection is None) != (self.dimension_reduction_target is None):
            raise Misuse(
                "a projection and its target go together", source=source, field="projection",
                fix="Give both projection and dimension_reduction_target, or neither.",
            )  # fmt: skip
        if self.weighting == "distance" and self.metric == "inner_product":
            raise Misuse(
                "an inner product is no distance to weight by", source=source, field="weighting",
                fix="Use 'uniform', or the metric 'cosine'.",
            )  # fmt: skip
        if self.k > self.reservoir_size:
            raise Misuse(
                f"{self.k} neighbours of at most {self.reservoir_size} rows", source=source, field="k",
                fix="Give a larger reservoir_size.",
            )  # fmt: skip

    def initialize(self, state: State, sample: Batch) -> None:
        """Register the tables; of `sample` only the number of columns counts."""
        self.check()
        width = self.dimension_reduction_target or sample.features
        self._projection(sample.features)
        state.initialize(ROWS, np.zeros(width, np.float32), aggregate="put", sparse=self.reservoir_size)
        state.initialize(LABELS, np.zeros(1), aggregate="put", sparse=self.reservoir_size)
        state.initialize(SEEN, np.zeros(max(state.workers, 1), np.int64), aggregate="put")
        state.initialize(FEATURES, np.array([sample.features]))
        state.initialize(PROGRESS, np.zeros(2))

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """Keep some rows of a part of the data: four pushes a batch; epochs after the first add nothing."""
        features, counts = int(state.pull(FEATURES)[0]), state.pull(SEEN)
        worker = state.worker or 0
        if worker >= len(counts):
            raise Misuse(
                f"worker {worker} of a reservoir for {len(counts)}", source="update", field="parts",
                fix="Learn on with as many parts as before.",
            )  # fmt: skip
        first, last = shares(self.reservoir_size, len(counts))[worker : worker + 2].tolist()
        seen = int(counts[worker])
        projection = self._projection(features)
        for batch in stream:
            rows, labels = self._checked(batch, features)
            kept, places = np.empty(0, np.int64), np.empty(0, np.int64)
            if batch.epoch == 0:
                kept, places = draw(seen, len(batch), last - first, 0, chance_of(self.seed, state))
                seen += len(batch)
            some = rows[kept]
            state.push(ROWS, as_rows(some, projection), places + first)
            state.push(LABELS, labels[kept, None], places + first)
            state.push(SEEN, np.array([seen]), np.array([worker]))
            state.push(PROGRESS, np.array([0.0, len(batch)]))
            if synchronized:
                state.barrier()

    def finalize(self, state: State, **config: Any) -> NeighborsModel:
        """The model; everything but the projection and the reservoir's size may be given anew.

        `predictor` is `classifier` or `regressor`; `k`, `weighting`, `metric`, `index`, `recall`, `nlists`,
        `probes` and `pq_m` are as in the constructor; `classes` are those that a classifier tells apart,
        where not all occur.
        """
        for name in config:
            if name not in _CONFIG:
                raise Misuse(f"finalize takes no {name!r}", field=name, fix=suggestion(name, _CONFIG))
        predictor, classes = config.pop("predictor", self.predictor), config.pop("classes", None)
        if predictor not in PREDICTORS:
            raise Misuse(
                f"{predictor!r} is no predictor",
                field="predictor",
                fix=suggestion(str(predictor), PREDICTORS),
            )
        plan = type(self)(**{**self.parameters(), **config})
        plan.check()
        counts = np.asarray(state.pull(SEEN))
        bounds = pairwise(shares(self.reservoir_size, len(counts)).tolist())
        filled = [
            np.arange(first, min(last, first + seen), dtype=np.int64)
            for (first, last), seen in zip(bounds, counts.tolist(), strict=True)
        ]
        places = np.concatenate(filled)
        if not len(places):
            raise Misuse("no row was kept", source=type(self).__name__, field="rows", fix="Learn first.")
        rows, labels = state.pull(ROWS, places), state.pull(LABELS, places)[:, 0]
        features = int(state.pull(FEATURES)[0])
        return NeighborsModel(
            unit(rows) if plan.metric == "cosine" else rows, labels, k=plan.k, predictor=predictor,
            distance=plan.metric, weighting=plan.weighting, features=features,
            projection=self._projection(features), classes=None if classes is None else np.asarray(classes),
            plan=IndexPlan(
                kind=plan.index, recall=plan.recall, cells=plan.nlists or 0, probes=plan.probes or 0,
                parts=plan.pq_m, seed=plan.seed,
            ),
        )  # fmt: skip

    # scikit-learn's

    def kneighbors(
        self, X: Any, n_neighbors: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The nearest kept rows of each row: distances and places in `model_.rows`, (m, k) each."""
        found: tuple[NDArray[np.float64], NDArray[np.int64]] = self._asked(X, "neighbors", n_neighbors)
        return found

    def _asked(self, X: Any, method: str, *arguments: Any) -> Any:
        check_is_fitted(self)
        found = validate_data(self, X, reset=False, accept_sparse="csr", dtype=[np.float64, np.float32])
        try:
            return getattr(self._model, method)(batch_of(found), *arguments)
        except Misuse as problem:
            raise ValueError(str(problem)) from problem

    def fit(self, X: Any, y: Any = None) -> Self:
        """Keep the rows, or a fair sample of them where there are more than `reservoir_size`."""
        rows = X.shape[0] if hasattr(X, "shape") and len(X.shape) else None
        if rows is not None and self.k > rows > 0:
            raise ValueError(f"k={self.k} neighbours of n_samples={rows} rows: give a smaller k")
        return super().fit(X, y)

    # how

    def _projection(self, features: int) -> Projection | None:
        if self.projection is None or self.dimension_reduction_target is None:
            return None
        return projection_of(self.projection, features, self.dimension_reduction_target, self.seed)

    def _checked(self, batch: Batch, features: int) -> tuple[Any, NDArray[np.float64]]:
        """The rows and their labels."""
        if batch.features != features:
            raise Misuse(
                f"the rows have {batch.features} features, the state was made for {features}",
                source="update", field="features", fix="Give the same columns in the same order.",
            )  # fmt: skip
        if batch.labels is None:
            raise Misuse("there are no labels", source="update", field="labels", fix="Give rows with labels.")
        rows: Any = batch.matrix()
        labels = np.asarray(batch.labels, np.float64)
        values: Any = batch.values if batch.sparse else rows
        if not ((np.abs(values) <= _LARGEST).all() and np.isfinite(labels).all()):
            raise Misuse(
                "a value or a label is missing or not finite, or too large for single precision",
                source="update", field="row", fix="Fill or drop such rows.",
            )  # fmt: skip
        return rows, labels


def as_rows(rows: Any, projection: Projection | None) -> NDArray[np.float32]:
    """What a reservoir keeps of rows, dense or sparse."""
    return as_dense(batch_of(rows)) if projection is None else projection(rows)


class KNeighborsClassifier(ClassifierMixin, _Neighbors):
    """The class that most of the nearest rows have; the smaller one where as many have another.

    Rows and labels are kept as they come, rows in single precision, up to `reservoir_size`; beyond it a
    sample in which every row of a worker's part is as likely as any other. O(reservoir_size d) memory. In a
    job each worker fills its share of the reservoir, and epochs after the first add nothing. Weights are not
    looked at.

    Args:
        k: how many neighbours; `model_.k` may be set after training, as may `predictor` and `weighting`.
        weighting: `uniform`, or `distance`: each neighbour counts by one over its distance.
        metric: `l2`, `inner_product` or `cosine`.
        index: `exact` scans all rows, O(n d) a query; `cells` those of the nearest of `nlists` cells; `flat`,
            `ivf_flat` and `ivf_pq` are faiss's; `auto` takes `cells` where they find `recall` of some rows'
            neighbours by looking into a fifth of the cells at most, else `exact`.
        recall: the share of the true neighbours that a search in cells is to find; it is measured on rows
            that were kept, so questions of another kind may find less.
        nlists: how many cells; None is the root of the number of rows.
        probes: how many cells a search looks into; None is as many as `recall` needs.
        pq_m: parts that `ivf_pq` cuts a row into.
        projection: None, `sign` or `fjlt`: a random map to `dimension_reduction_target` columns.
        reservoir_size: how many rows are kept at most.
        batch_size: rows that `fit` takes at a time.
        seed: of the sample, the projection and the cells.

    >>> KNeighborsClassifier(1).fit([[0.0], [1.0]], ["a", "b"]).predict([[0.8]]).tolist()
    ['b']
    """

    labels: ClassVar[str] = "classes"
    predictor: ClassVar[str] = "classifier"

    def predict(self, X: Any) -> NDArray[Any]:
        """The class of each row, (m,)."""
        numbers = self._asked(X, "evaluate").astype(np.int64)
        return np.asarray(self.classes_[numbers])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Each class's share of the votes, (m, classes)."""
        return np.asarray(self._asked(X, "shares"))

    def _made(self) -> Self:
        self._model = self.finalize(self._state, classes=np.arange(len(self.classes_), dtype=np.float64))
        return self


class KNeighborsRegressor(RegressorMixin, _Neighbors):
    """The mean of what the nearest rows have. Arguments and costs are those of `KNeighborsClassifier`.

    >>> KNeighborsRegressor(2).fit([[0.0], [1.0], [5.0]], [1.0, 2.0, 9.0]).predict([[0.8]]).tolist()
    [1.5]
    """

    labels: ClassVar[str] = "number"
    predictor: ClassVar[str] = "regressor"

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The mean of the neighbours' labels, (m,)."""
        return np.asarray(self._asked(X, "evaluate"))
