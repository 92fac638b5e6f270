"""Linear classifiers with both faces: scikit-learn's in memory, the linear learner's in a job."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.estimator import check_parameters, parameters_of
from tradewind.algorithms.interface import State
from tradewind.algorithms.labels import classes_in, numeric
from tradewind.algorithms.linear import online
from tradewind.algorithms.linear.arguments import OPTIMIZERS
from tradewind.algorithms.linear.estimators import InMemoryClassifier
from tradewind.algorithms.linear.learner import CLASSES, LinearLearner
from tradewind.algorithms.linear.model import LinearModel
from tradewind.algorithms.linear.rows import check_rows
from tradewind.errors import Misuse


class TwoFacedClassifier(InMemoryClassifier):
    """A linear classifier that jobs run too, through a `LinearLearner` that its arguments describe.

    A subclass has the arguments named in `_parameter_constraints` and gives `_settings`.
    """

    labels: ClassVar[str] = "classes"
    """What a job takes the labels for."""
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "rate": [Interval(Real, 0, None, closed="neither"), None],
        "l1": [Interval(Real, 0, None, closed="left")],
        "l2": [Interval(Real, 0, None, closed="left")],
        "optimizer": [StrOptions({*OPTIMIZERS, "auto"})],
        "classes": ["array-like", None],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "tolerance": [Interval(Real, 0, None, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "fit_intercept": ["boolean"],
        "normalize_data": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "sample_size": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    rate: float | None
    l1: float
    l2: float
    optimizer: str
    classes: Any
    sample_size: int
    fit_intercept: bool
    normalize_data: bool
    class_weight: Any

    def _settings(self, classes: int) -> dict[str, Any]:
        """Arguments of the linear learner that so many classes call for; its `loss` at least."""
        raise NotImplementedError

    # the three functions

    def initialize(self, state: State, sample: Batch) -> None:
        """Register the tables; `sample` gives the scaling, and the classes unless `classes` names them."""
        self.check()
        check_rows(sample, sample.features, "initialize")
        if not len(sample):
            raise Misuse("there is no row to begin with", source="initialize", fix="Give at least one row.")
        labels = numeric(sample.labels, "initialize")
        given = self.classes
        classes = (
            classes_in(labels, "initialize") if given is None else np.unique(np.asarray(given, np.float64))
        )
        self._in_job(classes).initialize(state, sample)

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """Learn from a part of the data, as `LinearLearner` does."""
        self._in_job(np.asarray(state.pull(CLASSES))).update(state, stream, synchronized)

    def finalize(self, state: State, **config: Any) -> LinearModel:
        """The model for raw features; `config` as `LinearLearner` takes it."""
        return self._in_job(np.asarray(state.pull(CLASSES))).finalize(state, **config)

    def check(self) -> None:
        """Raise Misuse for an argument that cannot be meant."""
        check_parameters(self)
        if self.class_weight is not None:
            raise Misuse(
                "a job weighs rows, not classes",
                source=type(self).__name__,
                field="class_weight",
                fix="Give the data a column of weights.",
            )
        if self.classes is not None and len(np.unique(np.asarray(self.classes))) < 2:
            raise Misuse(
                f"{self.classes!r} are fewer than two classes",
                source=type(self).__name__,
                field="classes",
                fix="Name all labels that occur.",
            )

    def parameters(self) -> dict[str, Any]:
        """The constructor's arguments, as plain JSON values; a generator as `random_state` is left out."""
        found = parameters_of(self)
        if not isinstance(found["random_state"], int):
            found["random_state"] = None
        return found

    def _in_job(self, classes: NDArray[Any]) -> LinearLearner:
        return LinearLearner(
            rate=self.rate,
            optimizer=self.optimizer,
            classes=classes.tolist(),
            **self._shared(),
            **self._settings(len(classes)),
        )

    # scikit-learn's

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from scratch; ValueError for labels of one class only."""
        self._validate_params()
        return super().fit(X, y, sample_weight)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Learn from some more rows, in their order; the first call must name all `classes`."""
        if not hasattr(self, "_online"):
            self._validate_params()
        return super().partial_fit(X, y, classes, sample_weight)

    def _planned(self) -> LinearLearner:
        return LinearLearner(
            rate=online.RATE if self.rate is None else self.rate,
            classes=list(range(len(self.classes_))),
            **self._shared(),
            **self._settings(len(self.classes_)),
        )

    def _shared(self) -> dict[str, Any]:
        return {
            "l1": self.l1,
            "l2": self.l2,
            "bias": self.fit_intercept,
            "normalize_data": self.normalize_data,
            "sample_size": self.sample_size,
        }
