"""What an algorithm with two faces has for nothing: scikit-learn's, by way of its three functions.

A subclass writes `__init__` as scikit-learn asks (plain arguments under their own names), describes them in
`_parameter_constraints`, and gives `initialize`, `update` and `finalize`. `fit` and `partial_fit` run these
here, over a state in this process, and keep the state; a job runs the same three over the state engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_classifier
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.interface import Model, State
from tradewind.algorithms.labels import classes_in
from tradewind.algorithms.local_state import LocalState
from tradewind.errors import Misuse


class StreamEstimator(BaseEstimator):
    """An estimator that learns from batches through `initialize`, `update` and `finalize`.

    With scikit-learn's face labels of classes are numbered 0, 1, ... in the order of `classes_` before the
    three functions see them; in a job they are what the data says. The constructor's argument `batch_size`,
    where there is one, is how many rows `fit` gives at a time, `epochs` how often it goes through them.
    """

    labels: ClassVar[str] = "none"
    """What the labels are taken for: `none` (they are not read), `number`, `binary` or `classes`."""
    takes_sparse: ClassVar[bool] = True
    """Whether sparse rows may be given."""
    sample_size: int = 10_000
    """How many rows `initialize` wants to see, the first of the data."""
    _parameter_constraints: ClassVar[dict[str, Any]] = {}
    _model: Any

    # the three functions

    def initialize(self, state: State, sample: Batch) -> None:
        """Register the tables."""
        raise NotImplementedError

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """Learn from a part of the data."""
        raise NotImplementedError

    def finalize(self, state: State, **config: Any) -> Model:
        """Make a model of the state."""
        raise NotImplementedError

    def parameters(self) -> dict[str, Any]:
        """The constructor's arguments, as plain JSON values."""
        return parameters_of(self)

    def check(self) -> None:
        """Raise Misuse for an argument of the constructor that cannot be meant."""
        check_parameters(self)

    # scikit-learn's

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from scratch."""
        self._validate_params()
        batch = self._rows(X, y, reset=True)
        self._state = LocalState()
        self.initialize(self._state, batch.rows(0, min(len(batch), self.sample_size)))
        for epoch in range(int(getattr(self, "epochs", 1))):
            self._learn(self._ordered(batch, epoch))
        self.n_iter_ = int(getattr(self, "epochs", 1))
        return self._made()

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None) -> Self:
        """Learn from some more rows, in their order; a classifier's first call must name all `classes`."""
        first = not hasattr(self, "_state")
        if first:
            self._validate_params()
        batch = self._rows(X, y, reset=first, classes=classes)
        if first:
            state = LocalState()
            self.initialize(state, batch.rows(0, min(len(batch), self.sample_size)))
            self._state = state
        self._learn(batch)
        return self._made()

    @property
    def model_(self) -> Any:
        """The model; it can be saved and opened without scikit-learn, see `finalize`."""
        check_is_fitted(self)
        return self._model

    def known_classes(self, labels: NDArray[np.float64], source: str) -> NDArray[np.float64]:
        """The classes of a fresh state, rising.

        Those of the face's labels, which are numbers by now; in a job the constructor's argument `classes`,
        where there is one, or else those among `labels`. Misuse where these show one class only.
        """
        if hasattr(self, "classes_"):
            return np.arange(len(self.classes_), dtype=np.float64)
        given = getattr(self, "classes", None)
        return classes_in(labels, source) if given is None else np.unique(np.asarray(given, np.float64))

    def _learn(self, batch: Batch) -> None:
        """One pass over rows in memory."""
        size = int(getattr(self, "batch_size", 1000))
        parts = (batch.rows(at, min(at + size, len(batch))) for at in range(0, len(batch), size))
        self.update(self._state, self._state.draw(parts), False)

    def _made(self) -> Self:
        self._model = self.finalize(self._state)
        self._fitted()
        return self

    def _fitted(self) -> None:
        """Set the attributes that end in an underscore, from `self._model`."""

    def _ordered(self, batch: Batch, epoch: int) -> Batch:
        """The rows in the order in which an epoch reads them; subclasses that shuffle override it."""
        return batch

    def _rows(self, X: Any, y: Any = None, *, reset: bool, classes: Any = None) -> Batch:
        """A batch of what the user gave, checked by scikit-learn; labels as `labels` says."""
        how: dict[str, Any] = {"accept_sparse": "csr" if self.takes_sparse else False, "reset": reset}
        how["dtype"] = [np.float64, np.float32]
        if self.labels == "none" or (y is None and not reset):
            return batch_of(validate_data(self, X, **how))
        if not is_classifier(self):
            rows, labels = validate_data(self, X, y, y_numeric=True, **how)
            return batch_of(rows, np.asarray(labels, np.float64))
        rows, labels = validate_data(self, X, y, **how)
        return batch_of(rows, self._numbered(labels, reset, classes))

    def _numbered(self, labels: NDArray[Any], first: bool, classes: Any) -> NDArray[np.float64]:
        """The place of each label among `classes_`, which the first call sets."""
        check_classification_targets(labels)
        if first:
            self.classes_ = np.unique(labels if classes is None else classes)
            if len(self.classes_) < 2:
                raise ValueError(
                    f"the labels have one class only, {self.classes_.tolist()[0]!r}: two or more are needed"
                )
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"`classes={classes!r}` is not the same as on last call: {self.classes_!r}")
        places = np.minimum(np.searchsorted(self.classes_, labels), len(self.classes_) - 1)
        strange = self.classes_[places] != labels
        if strange.any():
            first = labels[strange].tolist()[0]
            raise ValueError(f"the label {first!r} is none of the classes {self.classes_!r}")
        return places.astype(np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.takes_sparse
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_model")


def parameters_of(estimator: BaseEstimator) -> dict[str, Any]:
    """The arguments of an estimator's constructor, as plain JSON values."""
    return {name: _plain(value) for name, value in estimator.get_params(deep=False).items()}


def check_parameters(estimator: BaseEstimator) -> None:
    """Raise Misuse where scikit-learn's validation refuses an argument of an estimator's constructor."""
    try:
        estimator._validate_params()
    except InvalidParameterError as problem:
        field = next((each for each in estimator.get_params(deep=False) if f"'{each}'" in str(problem)), "")
        raise Misuse(str(problem).rstrip("."), source=type(estimator).__name__, field=field) from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value
