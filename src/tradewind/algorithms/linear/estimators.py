"""The linear learner with scikit-learn's face: it learns from rows in memory, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import assert_all_finite, check_random_state
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.linear import online
from tradewind.algorithms.linear.fitting import Stopping, fit, learn, merged
from tradewind.algorithms.linear.learner import LinearLearner
from tradewind.algorithms.linear.losses import CLASSIFYING
from tradewind.algorithms.linear.model import LinearModel
from tradewind.errors import Misuse

_FEW = 10_000
"""Up to as many rows equal ones are merged and the result does not depend on the order given."""

_SMALL = 100_000
"""Weights that are folded back at once, not when the model is asked for."""


class _Linear(BaseEstimator):
    """What the classifier and the regressor share."""

    def _learner(self, loss: str | Sequence[str], task: str) -> LinearLearner:
        """The learner that the parameters describe; Misuse for one that cannot be meant."""
        return LinearLearner(
            loss,
            task=task,
            rate=online.RATE if self.rate is None else self.rate,
            l1=self.l1,
            l2=self.l2,
            num_models=self.num_models,
            normalize_data=self.normalize_data,
            bias=self.fit_intercept,
            sample_size=self.sample_size,
            **self._own(),
        )

    def _rows(self, X: Any, **how: Any) -> tuple[Any, Batch]:
        """Labels and a batch, checked by scikit-learn; many rows for `fit` are checked while learning."""
        if how.pop("later", False) and getattr(X, "shape", (0,))[0] > _FEW:
            how["ensure_all_finite"] = False
        found = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], **how)
        labels = None
        if isinstance(found, tuple):
            found, labels = found
        return labels, batch_of(found)

    def _begin(self, learner: LinearLearner, batch: Batch, targets: NDArray[Any]) -> None:
        """A fresh table for these first rows, whose labels are numbers."""
        few = batch.rows(0, min(len(batch), learner.sample_size))
        sample = Batch(
            few.features, dense=few.dense, indptr=few.indptr, indices=few.indices, values=few.values,
            labels=targets[: len(few)],
        )  # fmt: skip
        pack, scaling, _ = learner.prepare(sample)
        self._online = online.OnlineLearner(pack, scaling, bias=learner.bias)
        self._plan = learner
        self._losses = np.zeros(len(pack))
        self._seen = 0.0
        self._model: LinearModel | None = None

    def _scaled(self, targets: NDArray[Any]) -> NDArray[np.float32]:
        """Targets as the kernels take them."""
        scaling, pack = self._online.scaling, self._online.pack
        if not self._plan.classifies:
            return np.asarray((targets - scaling.label_shift) / scaling.label_scale, np.float32)
        numbers = np.asarray(targets, np.float32)
        return numbers if pack.multiclass else numbers * np.float32(2) - np.float32(1)

    def _fit(
        self, learner: LinearLearner, batch: Batch, targets: NDArray[Any], weights: NDArray[Any] | None
    ) -> None:
        """Learn from scratch."""
        stopping = Stopping(self.epochs, self.tolerance, self.patience)
        if stopping.epochs < 1:
            raise Misuse(f"{self.epochs} epochs learn nothing", field="epochs", fix="Give 1 or more.")
        if not 0 <= self.validation_fraction < 1:
            raise Misuse(
                f"{self.validation_fraction} is no share",
                field="validation_fraction",
                fix="Give 0 to below 1.",
            )
        chance = check_random_state(self.random_state)
        if len(batch) <= _FEW:
            batch, targets, own = merged(
                batch, targets, np.ones(len(targets)) if weights is None else weights
            )
            weights = None if (own == 1).all() else own
            if not len(batch):
                raise ValueError("every sample_weight is zero: there is nothing to learn from")
        seed = chance.randint(2**31) if self.shuffle or self.validation_fraction else 0
        order = np.random.default_rng(seed)
        held: Batch | None = None
        if self.validation_fraction:
            batch, targets, weights, held = _apart(batch, targets, weights, self.validation_fraction, order)
        try:
            self._begin(learner, batch, targets)
            self._curve, self._losses = fit(
                self._online, batch, self._scaled(targets),
                None if weights is None else weights.astype(np.float32),
                stopping=stopping, chance=order if self.shuffle else None,
                validate=None if held is None else lambda: self._validated(held),
            )  # fmt: skip
        except Misuse:
            self.__dict__.pop("_online", None)
            assert_all_finite(batch.matrix(), input_name="X")
            raise
        self.n_iter_ = len(self._curve)
        self.loss_curve_ = list(self._curve)
        self._seen = float(len(batch) * self.n_iter_)
        if held is None and learner.criterion in ("loss_function", "cross_entropy_loss"):
            self._make()
            return
        chosen_on = batch if held is None else held
        if held is None:
            chosen_on = Batch(
                batch.features, dense=batch.dense, indptr=batch.indptr, indices=batch.indices,
                values=batch.values, labels=targets,
                weights=None if weights is None else np.asarray(weights, np.float32),
            )  # fmt: skip
        self._choose(chosen_on)

    def _go_on(
        self, learner: LinearLearner, batch: Batch, targets: NDArray[Any], weights: NDArray[Any] | None
    ) -> None:
        """Learn from some more rows, in their order."""
        if not hasattr(self, "_online"):
            self._begin(learner, batch, targets)
            self.n_iter_ = 1
        several = len(self._online.pack) > 1
        own = None if weights is None else np.asarray(weights, np.float32)
        mean = learn(self._online, batch, self._scaled(targets), own, keep=several, source="partial_fit")
        self._losses = self._losses + mean * len(batch)
        self._seen += len(batch)
        self._make()

    def _models(self, only: int | None = None) -> list[LinearModel]:
        numbers = np.arange(len(self.classes_), dtype=np.float64) if self._plan.classifies else np.empty(0)
        return self._plan.models(
            self._online.pack, self._online.weights, self._online.bias, self._online.scaling, numbers,
            rows=self._seen, only=only,
        )  # fmt: skip

    def _validated(self, held: Batch) -> NDArray[np.float64]:
        return np.array([each.score(held, "loss_function") for each in self._models()])

    def _make(self) -> None:
        """Make the model of what was learned, or where that takes long leave it until it is asked for."""
        self._model = None
        if self._online.weights.size <= _SMALL:
            self._choose(None)

    def _choose(self, rows: Batch | None) -> None:
        """Choose the pack's best, and the threshold where the criterion asks for one."""
        only = self._plan.best(self._losses) if rows is None else None
        chosen = self._plan.choose(self._models(only), validation=rows)
        if self._plan.classifies:
            chosen.classes = self.classes_
        self._model = chosen

    @property
    def model_(self) -> LinearModel:
        """The model chosen, for raw features; it can be saved and opened without scikit-learn."""
        check_is_fitted(self)
        if self._model is None:
            self._choose(None)
        assert self._model is not None
        return self._model

    @property
    def models_(self) -> list[LinearModel]:
        """All models of the pack, in the order of its settings, at threshold one half."""
        check_is_fitted(self)
        models = self._models()
        for each in models:
            each.classes = self.classes_ if self._plan.classifies else None
        return models

    @property
    def coef_(self) -> NDArray[np.float64]:
        """Weights: (d,) of a regression, (1, d) of two classes, (k, d) of more."""
        model = self.model_
        if model.classes is None:
            return model.weights
        return model.weights[None, :] if model.weights.ndim == 1 else model.weights.T

    @property
    def intercept_(self) -> Any:
        """A number of a regression, else (1,) or (k,)."""
        model = self.model_
        return float(model.bias) if model.classes is None else np.atleast_1d(model.bias)

    def _scores(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self)
        _, batch = self._rows(X, reset=False)
        return self.model_.scores(batch)

    def _answers(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self)
        _, batch = self._rows(X, reset=False)
        return self.model_.evaluate(batch)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class InMemoryClassifier(ClassifierMixin, _Linear):
    """What linear classifiers share, but for the constructor: labels of any kind, weights, answers."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from scratch; ValueError for labels of one class only."""
        labels, batch = self._rows(X, y=y, later=True)
        labels = column_or_1d(labels, warn=True)
        assert_all_finite(labels, input_name="y")
        self.classes_ = _classes(labels)
        check_classification_targets(self.classes_)
        learner = self._learner_for()
        weights = self._weights(batch, labels, sample_weight, self.classes_)
        self._fit(learner, batch, self._numbers(labels), weights)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Learn from some more rows, in their order; the first call must name all `classes`."""
        first = not hasattr(self, "_online")
        labels, batch = self._rows(X, y=y, reset=first)
        labels = column_or_1d(labels, warn=True)
        if first:
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self.classes_ = np.unique(classes)
            check_classification_targets(self.classes_)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"`classes={classes!r}` is not the same as on last call: {self.classes_!r}")
        learner = self._learner_for() if first else self._plan
        weights = self._weights(batch, labels, sample_weight, self.classes_)
        self._go_on(learner, batch, self._numbers(labels), weights)
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Scores: (n,) for two classes, (n, k) for more."""
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.ndim == 2 and scores.shape[1] == 2 else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """The class of each row."""
        check_is_fitted(self)
        _, batch = self._rows(X, reset=False)
        return self.model_.predict(batch)

    def _learner_for(self) -> LinearLearner:
        """The learner for `classes_`; ValueError for labels of one class only."""
        if len(self.classes_) < 2:
            raise ValueError(
                f"the labels have one class only, {self.classes_.tolist()[0]!r}: two or more are needed"
            )
        return self._planned()

    def _planned(self) -> LinearLearner:
        """The learner for so many classes."""
        raise NotImplementedError

    def _numbers(self, labels: NDArray[Any]) -> NDArray[Any]:
        """The place of each label among the classes, as numbers or truth values."""
        if len(self.classes_) == 2:
            second = labels == self.classes_[1]
            if (second | (labels == self.classes_[0])).all():
                return np.asarray(second)
        numbers = np.minimum(np.searchsorted(self.classes_, labels), len(self.classes_) - 1)
        if not np.array_equal(self.classes_[numbers], labels):
            unknown = np.setdiff1d(labels, self.classes_).tolist()
            raise ValueError(f"y holds labels that are none of the classes: {unknown}")
        return numbers.astype(np.float64)

    def _weights(
        self, batch: Batch, labels: NDArray[Any], sample_weight: Any, classes: NDArray[Any]
    ) -> NDArray[np.float64] | None:
        if sample_weight is None and self.class_weight is None:
            return None
        weights = _sample_weights(sample_weight, batch)
        if self.class_weight is None:
            return weights
        if self.class_weight == "balanced":
            # counted by weight, so that a weight of two stays the same as a row given twice
            numbers = np.searchsorted(classes, labels)
            sums = np.bincount(numbers, weights, len(classes))
            share = np.divide(weights.sum(), len(classes) * sums, out=np.ones(len(classes)), where=sums > 0)
            return np.asarray(weights * share[numbers])
        factors = compute_class_weight(self.class_weight, classes=classes, y=labels)
        return np.asarray(weights * factors[np.searchsorted(classes, labels)])


class LinearClassifier(InMemoryClassifier):
    """Linear classification by adaptive steps, row by row.

    Two classes by `logistic` (the usual one), `hinge`, or any loss of values on -1 and 1; more by `softmax`.
    `loss="auto"` takes logistic or softmax. The parameters are those of `LinearLearner` and:

    Args:
        epochs: passes over the data at most.
        tolerance, patience: stop after `patience` passes that lowered the loss by less than this share.
        shuffle: draw a new order of the rows for each pass.
        class_weight: `balanced`, or a weight for each class.
        validation_fraction: share of the rows to hold back for stopping, for choosing among a pack and for
            the threshold; 0 takes the rows learned from.
        random_state: seed of the order and of the rows held back.

    Up to 10,000 rows, equal ones are merged, so that their order does not matter and a weight of two is the
    same as a row given twice.

    >>> import numpy as np
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> LinearClassifier(random_state=0).fit(X, ["no", "no", "yes", "yes"]).predict([[0.5], [2.5]]).tolist()
    ['no', 'yes']
    """

    def __init__(
        self,
        loss: str | Sequence[str] = "auto",
        *,
        rate: float | Sequence[float] | None = None,
        l1: float | Sequence[float] = 0.0,
        l2: float | Sequence[float] = 0.0,
        epochs: int = 15,
        tolerance: float = 0.001,
        patience: int = 3,
        shuffle: bool = True,
        fit_intercept: bool = True,
        normalize_data: bool = True,
        num_models: int | str | None = None,
        class_weight: Any = None,
        criterion: str = "loss_function",
        f_beta: float = 1.0,
        target_precision: float = 0.8,
        target_recall: float = 0.8,
        margin: float = 1.0,
        validation_fraction: float = 0.0,
        sample_size: int = 10_000,
        random_state: Any = None,
    ) -> None:
        self.loss, self.rate, self.l1, self.l2 = loss, rate, l1, l2
        self.epochs, self.tolerance, self.patience, self.shuffle = epochs, tolerance, patience, shuffle
        self.fit_intercept, self.normalize_data, self.num_models = fit_intercept, normalize_data, num_models
        self.class_weight, self.criterion, self.f_beta = class_weight, criterion, f_beta
        self.target_precision, self.target_recall, self.margin = target_precision, target_recall, margin
        self.validation_fraction, self.sample_size = validation_fraction, sample_size
        self.random_state = random_state

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """How likely each class is, (n, k); see `losses.probabilities` for losses without one."""
        likely = self._answers(X)
        return likely if likely.ndim == 2 else np.stack([1 - likely, likely], axis=1)

    def _own(self) -> dict[str, Any]:
        return {
            "criterion": self.criterion, "f_beta": self.f_beta, "margin": self.margin,
            "target_precision": self.target_precision, "target_recall": self.target_recall,
            "classes": list(range(len(self.classes_))),
        }  # fmt: skip

    def _planned(self) -> LinearLearner:
        loss = self.loss
        if loss == "auto":
            loss = "logistic" if len(self.classes_) == 2 else "softmax"
        return self._learner(loss, "classification")


class LinearRegressor(RegressorMixin, _Linear):
    """Linear regression by adaptive steps, row by row.

    `loss` is `squared`, `absolute`, `eps_insensitive_absolute`, `eps_insensitive_squared`, `quantile` or
    `huber`; insensitivity and delta count in deviations of the label where `normalize_label` is on. The other
    parameters are those of `LinearLearner` and `LinearClassifier`.
    """

    def __init__(
        self,
        loss: str | Sequence[str] = "squared",
        *,
        rate: float | Sequence[float] | None = None,
        l1: float | Sequence[float] = 0.0,
        l2: float | Sequence[float] = 0.0,
        epochs: int = 15,
        tolerance: float = 0.001,
        patience: int = 3,
        shuffle: bool = True,
        fit_intercept: bool = True,
        normalize_data: bool = True,
        normalize_label: bool = True,
        num_models: int | str | None = None,
        huber_delta: float = 1.0,
        quantile: float = 0.5,
        loss_insensitivity: float = 0.01,
        validation_fraction: float = 0.0,
        sample_size: int = 10_000,
        random_state: Any = None,
    ) -> None:
        self.loss, self.rate, self.l1, self.l2 = loss, rate, l1, l2
        self.epochs, self.tolerance, self.patience, self.shuffle = epochs, tolerance, patience, shuffle
        self.fit_intercept, self.normalize_data, self.num_models = fit_intercept, normalize_data, num_models
        self.normalize_label, self.huber_delta, self.quantile = normalize_label, huber_delta, quantile
        self.loss_insensitivity, self.validation_fraction = loss_insensitivity, validation_fraction
        self.sample_size, self.random_state = sample_size, random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> LinearRegressor:
        """Learn from scratch."""
        labels, batch = self._rows(X, y=y, y_numeric=True, later=True)
        weights = None if sample_weight is None else _sample_weights(sample_weight, batch)
        self._fit(self._learner_for(), batch, np.asarray(labels, np.float64), weights)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> LinearRegressor:
        """Learn from some more rows, in their order; the first call's rows set the scaling."""
        first = not hasattr(self, "_online")
        labels, batch = self._rows(X, y=y, y_numeric=True, reset=first)
        weights = None if sample_weight is None else _sample_weights(sample_weight, batch)
        learner = self._learner_for() if first else self._plan
        self._go_on(learner, batch, np.asarray(labels, np.float64), weights)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The value of each row."""
        return self._scores(X)

    def _own(self) -> dict[str, Any]:
        return {
            "normalize_label": self.normalize_label, "huber_delta": self.huber_delta,
            "quantile": self.quantile, "loss_insensitivity": self.loss_insensitivity,
        }  # fmt: skip

    def _learner_for(self) -> LinearLearner:
        names = [self.loss] if isinstance(self.loss, str) else list(self.loss)
        if any(name in CLASSIFYING for name in names):
            raise Misuse(f"{self.loss!r} learns classes", field="loss", fix="Use LinearClassifier.")
        return self._learner(self.loss, "regression")


def _classes(labels: NDArray[Any]) -> NDArray[Any]:
    """The distinct labels, rising; without a sort where they are two numbers."""
    if labels.dtype.kind in "iuf" and len(labels):
        low, high = labels.min(), labels.max()
        if low < high and ((labels == low) | (labels == high)).all():
            return np.array([low, high], labels.dtype)
    return np.asarray(np.unique(labels))


def _sample_weights(sample_weight: Any, batch: Batch) -> NDArray[np.float64]:
    shape = np.empty((len(batch), 0))
    checked = _check_sample_weight(sample_weight, shape, dtype=np.float64, ensure_non_negative=True)
    return np.asarray(checked)


def _apart(
    batch: Batch,
    targets: NDArray[Any],
    weights: NDArray[Any] | None,
    share: float,
    chance: np.random.Generator,
) -> tuple[Batch, NDArray[Any], NDArray[Any] | None, Batch]:
    """The rows to learn from with their targets and weights, and a share held back as a labelled batch."""
    order = chance.permutation(len(batch))
    cut = max(1, min(len(batch) - 1, round(len(batch) * share))) if len(batch) > 1 else 0
    rows: Any = batch.matrix()
    back, stay = np.sort(order[:cut]), np.sort(order[cut:])
    if not len(back):
        raise ValueError("validation_fraction needs at least two rows")
    held = batch_of(rows[back], targets[back], None if weights is None else weights[back])
    return batch_of(rows[stay]), targets[stay], None if weights is None else weights[stay], held
