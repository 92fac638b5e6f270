"""Factorization machines for values and for two classes, with scikit-learn's face: they learn row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.factorization.learner import FactorizationLearner
from tradewind.algorithms.factorization.model import FactorizationModel
from tradewind.algorithms.factorization.online import OnlineMachine
from tradewind.algorithms.linear.fitting import Stopping, fit, learn, merged
from tradewind.errors import Misuse

ONLINE_RATES = (0.1, 0.05)
"""The usual rates of weights and of factors, row by row in one process."""

_FEW = 10_000
"""Up to as many rows equal ones are merged and the result does not depend on the order given."""

_SMALL = 100_000
"""Numbers of a model that is made at once, not when it is asked for."""


class _InMemory(FactorizationLearner):
    """Learning from rows in memory, in this process."""

    _online: OnlineMachine

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> Self:
        """Learn from scratch, row by row."""
        self._validate_params()
        batch = self._rows(X, y, reset=True)
        labels, weights = batch.labels, _given_weights(sample_weight, batch)
        assert labels is not None
        rows = Batch(
            batch.features, dense=batch.dense, indptr=batch.indptr, indices=batch.indices, values=batch.values
        )
        if len(rows) <= _FEW:
            rows, labels, sums = merged(rows, labels, np.ones(len(labels)) if weights is None else weights)
            weights = None if (sums == 1).all() else sums
        if not len(rows) or (weights is not None and not weights.any()):
            raise ValueError("every sample_weight is zero: there is nothing to learn from")
        chance = np.random.default_rng(self.seed)
        held: Batch | None = None
        if self.validation_fraction:
            order = chance.permutation(len(rows))
            cut = max(1, min(len(rows) - 1, round(len(rows) * self.validation_fraction)))
            if len(rows) < 2:
                raise ValueError("validation_fraction needs at least two rows")
            back, stay = np.sort(order[:cut]), np.sort(order[cut:])
            matrix: Any = rows.matrix()
            held = batch_of(matrix[back], labels[back], None if weights is None else weights[back])
            rows, labels = batch_of(matrix[stay]), labels[stay]
            weights = None if weights is None else weights[stay]
        self._begin(rows, labels)
        best: list[Any] = [np.inf, None]

        def validated() -> NDArray[np.float64]:
            assert held is not None
            loss = self._made_model().score(held, "loss_function")
            if loss < best[0]:
                best[:] = loss, self._online.copy()
            return np.array([loss])

        try:
            self.loss_curve_, _ = fit(
                self._online, rows, self._targets(labels, self._scaling, self._numbers, "fit"),
                None if weights is None else weights.astype(np.float32),
                stopping=Stopping(self.epochs, self.tolerance, self.patience),
                chance=chance if self.shuffle else None, validate=None if held is None else validated,
            )  # fmt: skip
        except Misuse:
            del self._online
            raise
        if best[1] is not None:
            self._online.restore(best[1])
        self.n_iter_ = len(self.loss_curve_)
        self._seen = float(len(rows) * self.n_iter_)
        return self._made()

    def _go_on(self, X: Any, y: Any, classes: Any, sample_weight: Any) -> Self:
        """Learn from some more rows, in their order."""
        first = not hasattr(self, "_online")
        if first:
            self._validate_params()
        batch = self._rows(X, y, reset=first, classes=classes)
        weights = _given_weights(sample_weight, batch)
        if batch.labels is None:
            raise ValueError("requires y to be passed, but the target y is None")
        if first:
            self._begin(batch, batch.labels)
            self.n_iter_ = 1
        learn(
            self._online, batch, self._targets(batch.labels, self._scaling, self._numbers, "partial_fit"),
            None if weights is None else weights.astype(np.float32), source="partial_fit",
        )  # fmt: skip
        self._seen += len(batch)
        return self._made()

    def _begin(self, batch: Batch, labels: NDArray[Any]) -> None:
        """A fresh machine for these rows."""
        few = batch.rows(0, min(len(batch), self.sample_size))
        sample = Batch(
            few.features, dense=few.dense, indptr=few.indptr, indices=few.indices, values=few.values,
            labels=labels[: len(few)],
        )  # fmt: skip
        self._scaling, self._numbers = self._prepared(sample)
        weights, factors = self._rates(ONLINE_RATES)
        self._online = OnlineMachine(
            self._scaling, self.num_factors, logistic=self._classifies, rate=weights, factors_rate=factors,
            l2=self.l2, factors_l2=self.factors_l2, spread=self._spread, seed=self.seed,
        )  # fmt: skip
        self._seen = 0.0

    def _made_model(self) -> FactorizationModel:
        return self._machine(
            self._online.table, self._online.bias, self._scaling, self._numbers, self._seen, {}
        )

    def _made(self) -> Self:
        self._model = None
        if len(self._scaling.scale) * self.num_factors <= _SMALL:
            self._model = self._finished()
        return self

    def _finished(self) -> FactorizationModel:
        model = self._made_model()
        if self._classifies:
            model.classes = self.classes_
        return model

    @property
    def model_(self) -> FactorizationModel:
        """The model, for raw features; it can be saved and opened without scikit-learn."""
        check_is_fitted(self)
        if self._model is None:
            self._model = self._finished()
        model: FactorizationModel = self._model
        return model

    @property
    def factors_(self) -> NDArray[np.float32]:
        """The factors of the features, (d, k)."""
        return self.model_.factors

    @property
    def coef_(self) -> NDArray[np.float64]:
        """The weights of the features, (d,)."""
        return self.model_.weights

    @property
    def intercept_(self) -> float:
        """The bias."""
        return float(self.model_.bias)

    def _asked(self, X: Any) -> Batch:
        check_is_fitted(self)
        found = validate_data(self, X, reset=False, accept_sparse="csr", dtype=[np.float64, np.float32])
        return batch_of(found)


class FactorizationMachineRegressor(RegressorMixin, _InMemory):
    """A factorization machine for values, by the squared loss.

    A pair of features counts by the product of its factors, so that pairs that never met are told of too.
    Made for sparse rows of many indicators, (n, d). `fit` goes row by row in this process, O(k) a non-zero;
    in a job a batch pulls and pushes the features that it holds, O(k) each, and memory is O(k) for each
    feature that was ever met. The two learn the same within 3 % of the loss. A feature that was never met has
    no weight and no factors.

    The bounds are SageMaker's; its documented steps (plain, .001 for weights and .0001 for factors, first
    factors of deviation .001) learn next to nothing in one pass, so that ours are adaptive. It draws first
    factors from a normal distribution, ours are uniform with that deviation.

    Args:
        num_factors: k, the factors of a feature.
        rate, factors_rate: learning rates of weights and bias, and of factors; None is the usual one, in
            memory .1 and .05, in jobs by the optimizer, see `RATES`.
        l2, factors_l2: decay of weights and factors: each row adds half of it times the squares of those
            that it holds to the loss.
        optimizer: how a job's state takes gradients in: `adagrad`, `adam` or `sgd`. `fit` takes adaptive
            steps row by row whatever it is.
        initial_scale: deviation of the first factors.
        normalize_data: scale features by the first `sample_size` rows, undone in the model: dense columns to
            mean zero and deviation one, sparse or mostly empty ones to non-zeros of size one.
        normalize_label: the same for the labels.
        epochs: passes of `fit` over the rows, at most; a job has its own.
        tolerance, patience: stop after `patience` passes that lowered the loss by less than this share.
        shuffle: draw a new order of the rows for each pass of `fit`.
        validation_fraction: share of the rows that `fit` holds back to stop by, and to go back to the pass
            that was best for them; 0 takes the rows learned from.
        sample_size: how many of the first rows the scaling is measured on.
        seed: of the first factors and the orders.

    >>> import numpy as np
    >>> X = np.array([[a, 1 - a, b, 1 - b] for a in (0, 1) for b in (0, 1)], float)
    >>> y = [1.0, -1.0, -1.0, 1.0]  # the two agree, or not: no linear model sees it
    >>> fm = FactorizationMachineRegressor(epochs=200, l2=0, factors_l2=0, tolerance=0, factors_rate=0.5)
    >>> np.sign(fm.fit(X, y).predict(X)).tolist()
    [1.0, -1.0, -1.0, 1.0]
    """

    labels: ClassVar[str] = "number"
    _loss: ClassVar[str] = "squared"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **_InMemory._parameter_constraints,
        "normalize_label": ["boolean"],
    }

    def __init__(
        self,
        num_factors: int = 8,
        *,
        rate: float | None = None,
        factors_rate: float | None = None,
        l2: float = 0.003,
        factors_l2: float = 0.01,
        optimizer: str = "adagrad",
        initial_scale: float = 0.03,
        normalize_data: bool = True,
        normalize_label: bool = True,
        epochs: int = 10,
        tolerance: float = 0.001,
        patience: int = 3,
        shuffle: bool = True,
        validation_fraction: float = 0.0,
        sample_size: int = 10_000,
        seed: int = 0,
    ) -> None:
        self.num_factors, self.rate, self.factors_rate = num_factors, rate, factors_rate
        self.l2, self.factors_l2, self.optimizer, self.initial_scale = (
            l2,
            factors_l2,
            optimizer,
            initial_scale,
        )
        self.normalize_data, self.normalize_label = normalize_data, normalize_label
        self.epochs, self.tolerance, self.patience, self.shuffle = epochs, tolerance, patience, shuffle
        self.validation_fraction, self.sample_size, self.seed = validation_fraction, sample_size, seed

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn from scratch, row by row."""
        return self._fit(X, y, sample_weight)

    def partial_fit(  # type: ignore[override]  # values have no classes
        self, X: Any, y: Any, sample_weight: Any = None
    ) -> Self:
        """Learn from some more rows, in their order; the first call's rows set the scaling."""
        return self._go_on(X, y, None, sample_weight)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The value of each row, (n,)."""
        batch = self._asked(X)
        return self.model_.evaluate(batch)


class FactorizationMachineClassifier(ClassifierMixin, _InMemory):
    """A factorization machine for two classes, by the logistic loss.

    In a job labels are two numbers, such as 0 and 1 or -1 and 1. All else is as with
    `FactorizationMachineRegressor`, and:

    Args:
        classes: the two labels of a job, where its first rows may not show both.
    """

    labels: ClassVar[str] = "binary"
    _loss: ClassVar[str] = "logistic"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **_InMemory._parameter_constraints,
        "classes": ["array-like", None],
    }

    def __init__(
        self,
        num_factors: int = 8,
        *,
        rate: float | None = None,
        factors_rate: float | None = None,
        l2: float = 0.0003,
        factors_l2: float = 0.001,
        optimizer: str = "adagrad",
        initial_scale: float = 0.03,
        normalize_data: bool = True,
        classes: Sequence[float] | None = None,
        epochs: int = 10,
        tolerance: float = 0.001,
        patience: int = 3,
        shuffle: bool = True,
        validation_fraction: float = 0.0,
        sample_size: int = 10_000,
        seed: int = 0,
    ) -> None:
        self.num_factors, self.rate, self.factors_rate = num_factors, rate, factors_rate
        self.l2, self.factors_l2, self.optimizer, self.initial_scale = (
            l2,
            factors_l2,
            optimizer,
            initial_scale,
        )
        self.normalize_data, self.classes = normalize_data, classes
        self.epochs, self.tolerance, self.patience, self.shuffle = epochs, tolerance, patience, shuffle
        self.validation_fraction, self.sample_size, self.seed = validation_fraction, sample_size, seed

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn from scratch, row by row; ValueError for other than two classes."""
        return self._fit(X, y, sample_weight)

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None, sample_weight: Any = None) -> Self:
        """Learn from some more rows, in their order; the first call must name the two `classes`."""
        return self._go_on(X, y, classes, sample_weight)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """The log-odds of the second class, (n,)."""
        batch = self._asked(X)
        return self.model_.scores(batch)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """How likely each of the two classes is, (n, 2)."""
        batch = self._asked(X)
        second = self.model_.evaluate(batch)
        return np.stack([1 - second, second], axis=1)

    def predict(self, X: Any) -> NDArray[Any]:
        """The class of each row, (n,)."""
        batch = self._asked(X)
        return self.model_.predict(batch)

    def _numbered(self, labels: NDArray[Any], first: bool, classes: Any) -> NDArray[np.float64]:
        numbers = super()._numbered(labels, first, classes)
        if len(self.classes_) > 2:
            count = len(self.classes_)
            del self.classes_
            raise ValueError(
                "Only binary classification is supported. The type of the target is multiclass: "
                f"there are {count} classes"
            )
        return numbers

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


def _given_weights(sample_weight: Any, batch: Batch) -> NDArray[np.float64] | None:
    """scikit-learn's weights of rows, checked."""
    if sample_weight is None:
        return None
    shape = np.empty((len(batch), 0))
    return np.asarray(_check_sample_weight(sample_weight, shape, dtype=np.float64, ensure_non_negative=True))
