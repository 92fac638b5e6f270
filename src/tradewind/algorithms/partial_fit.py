"""Any estimator with scikit-learn's `partial_fit` as a learner: its fitted attributes are tables of a state.

Iterative parameter mixing (McDonald, Hall and Mann, NAACL 2010, section 3) for those that take steps; exact
sums for those that count. Which is which, `partial_fit_merging` says.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier, is_regressor
from sklearn.utils import get_tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.chance import chance_of
from tradewind.algorithms.estimator import StreamEstimator
from tradewind.algorithms.importable import found_at, home_of, plain_arguments
from tradewind.algorithms.interface import PROGRESS, State
from tradewind.algorithms.labels import numeric
from tradewind.algorithms.local_state import LocalState
from tradewind.algorithms.partial_fit_merging import (
    KNOWN,
    MEAN,
    REFUSED,
    SUM,
    Merging,
    begun,
    centre_of,
    give,
    merging_of,
    refresh,
    taken,
)
from tradewind.algorithms.partial_fit_model import CLASSIFIER, OTHER, REGRESSOR, PartialFitModel, wide
from tradewind.algorithms.shuffling import shuffled
from tradewind.errors import Misuse

CLASSES, FEATURES, LEARNED, CENTRE = "classes", "features", "learned/", "centre/"
"""Tables of the classes, (k,), and of the number of columns, (1,); and before the names of attributes'."""

_SOURCE = "PartialFitLearner"


def _has(name: str) -> Any:
    def there(self: PartialFitLearner) -> bool:
        return hasattr(self._model.estimator if hasattr(self, "_model") else self._made_estimator(), name)

    return available_if(there)


class PartialFitLearner(StreamEstimator):
    """An estimator with `partial_fit`, of scikit-learn or of the user's own, that learns through a state.

    A batch is a pull of what is learned, a `partial_fit` and a push of the change. Verified are
    SGDClassifier, SGDRegressor, Perceptron and the two PassiveAggressive (the mean of the workers' changes;
    the score within 0.05 of one worker's for 2 and 4 workers on the data of the tests), and MultinomialNB,
    BernoulliNB, ComplementNB (counts, exactly as one pass) and GaussianNB (moments, to rounding). Others
    must say how they are merged; what cannot be is refused with the reason. Memory and time are the
    estimator's own; a push is as large as what it learns.

    Through a state a row's chance is the batch's: `random_state` is set from `seed` for each. Sums count a
    row as often as it is read, so give them one epoch, as `fit` does.

    Args:
        estimator: `module:Class`, such as `sklearn.linear_model:SGDClassifier`; see `of`.
        arguments: those of its constructor, plain values.
        merge: `auto` for verified ones; else `sum` where what is learned is counts and sums of rows, `mean`
            for steps of a gradient.
        classes: all labels that occur in a job, where its first rows may not show them.
        batch_size, epochs: of `fit`; a job says its own.
        seed: of the order of rows, and of the estimator's own chance.
        sample_size: rows that `initialize` sees.

    >>> learner = PartialFitLearner("sklearn.naive_bayes:MultinomialNB", arguments={"alpha": 0.5})
    >>> learner.fit([[3, 0], [0, 2]], ["a", "b"]).predict([[1, 0]]).tolist()
    ['a']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [str],
        "arguments": [None, dict],
        "merge": [StrOptions({"auto", SUM, MEAN})],
        "classes": [None, "array-like"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "seed": [Interval(Integral, 0, None, closed="left")],
        "sample_size": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        merge: str = "auto",
        classes: Sequence[float] | None = None,
        batch_size: int = 200,
        epochs: int = 5,
        seed: int = 0,
        sample_size: int = 10_000,
    ) -> None:
        self.estimator, self.arguments, self.merge, self.classes = estimator, arguments, merge, classes
        self.batch_size, self.epochs, self.seed, self.sample_size = batch_size, epochs, seed, sample_size

    @classmethod
    def of(cls, estimator: Any, **settings: Any) -> Self:
        """A learner of an estimator at hand, unfitted: its class and settings; or of its class.

        `settings` are the constructor's others. Misuse where a worker could not import the class, or JSON
        could not say a setting.
        """
        if inspect.isclass(estimator):
            return cls(_canonical(home_of(estimator, _SOURCE)), **settings)
        home = _canonical(home_of(type(estimator), _SOURCE))
        given = estimator.get_params(deep=False) if hasattr(estimator, "get_params") else {}
        usual = {name: each.default for name, each in inspect.signature(type(estimator)).parameters.items()}
        changed = {name: each for name, each in given.items() if each is not usual.get(name)}
        changed = {name: each for name, each in changed.items() if not _same(each, usual.get(name))}
        return cls(home, arguments=plain_arguments(changed, _SOURCE), **settings)

    # as an algorithm

    @property
    def labels(self) -> str:  # type: ignore[override]
        """What it takes the labels for: `classes`, `number` or `none`, by the estimator."""
        return {CLASSIFIER: "classes", REGRESSOR: "number"}.get(self._role(), "none")

    @property
    def takes_sparse(self) -> bool:  # type: ignore[override]
        """Whether the estimator takes sparse rows."""
        return bool(get_tags(self._made_estimator()).input_tags.sparse)

    def check(self) -> None:
        """Raise Misuse for an argument that cannot be meant, or an estimator that cannot be merged."""
        super().check()
        plain_arguments(self.arguments, _SOURCE)
        self._begun(2, np.array([0.0, 1.0]) if self._role() == CLASSIFIER else None)

    def initialize(self, state: State, sample: Batch) -> None:
        """Register what the estimator learns, before it has learned."""
        self.check()
        if not len(sample):
            raise Misuse("there is no row to begin with", source="initialize", fix="Give at least one row.")
        classes = None
        if self._role() == CLASSIFIER:
            classes = self.known_classes(numeric(sample.labels, "initialize"), "initialize")
            state.initialize(CLASSES, classes)
        made, merging, start = self._begun(sample.features, classes)
        if sample.sparse and not self.takes_sparse:
            raise Misuse(
                f"{type(made).__name__} takes no sparse rows", source="initialize", field="data",
                fix="Give dense rows, or another estimator.",
            )  # fmt: skip
        centre = centre_of(_canonical(self.estimator), made, wide(sample))
        for name, value in centre.items():
            state.initialize(CENTRE + name, value)
        for name in merging.attributes:
            value = np.array(getattr(start, name), np.float64)
            fresh = merging.how == SUM or _canonical(self.estimator) in KNOWN
            first = np.ones_like(value) if name == "t_" else np.zeros_like(value)
            state.initialize(LEARNED + name, first if fresh else value)
        state.initialize(FEATURES, np.array([sample.features]))
        state.initialize(PROGRESS, np.zeros(2))

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """A `partial_fit` a batch, and a push of the change; PROGRESS has the loss before it, of means."""
        role = self._role()
        classes = np.array(state.pull(CLASSES)) if role == CLASSIFIER else None
        features = int(state.pull(FEATURES)[0])
        estimator: Any = None
        for batch in stream:
            if not len(batch):
                raise Misuse("a batch has no rows", source="update", field="data", fix="Leave it out.")
            if batch.features != features:
                raise Misuse(
                    f"the rows have {batch.features} features, the first had {features}", source="update",
                    field="features", fix="Give rows with the same columns.",
                )  # fmt: skip
            if estimator is None:
                made, merging, estimator = self._begun(features, classes)
                nothing = {name: np.zeros(np.shape(getattr(estimator, name))) for name in merging.attributes}
                centre = self._centre(state, made)
                zeros = {name: np.zeros_like(each) for name, each in centre.items()}
                seeded = "random_state" in self._settings(made)
            labels = None if role == OTHER else self._labels(batch, classes)
            x = wide(batch)
            if not np.isfinite(x.data if batch.sparse else x).all():
                raise Misuse(
                    "a value is missing or not finite", source="update", field="data",
                    fix="Fill it in, or drop the row.",
                )  # fmt: skip
            if seeded:
                estimator.random_state = int(chance_of(self.seed, state).integers(2**31))
            if merging.how == SUM:
                give(merging, estimator, nothing, zeros)
                self._learn_rows(estimator, batch, x, labels)
                change = taken(merging, estimator, centre)
                loss = 0.0
            else:
                before = {name: np.array(state.pull(LEARNED + name)) for name in merging.attributes}
                give(merging, estimator, before, centre)
                loss = self._loss(estimator, x, labels, role)
                self._learn_rows(estimator, batch, x, labels)
                after = taken(merging, estimator, centre)
                change = {name: (after[name] - before[name]) / state.workers for name in before}
            for name in merging.attributes:
                if not np.isfinite(change[name]).all():
                    raise Misuse(
                        f"{name} is no longer finite", source="update", field="arguments",
                        fix="Scale the columns, or give a smaller step.",
                    )  # fmt: skip
                state.push(LEARNED + name, change[name])
            state.push(PROGRESS, np.array([loss, len(batch)]))
            if synchronized:
                state.barrier()

    def finalize(self, state: State, **config: Any) -> PartialFitModel:
        """The estimator, fitted."""
        for name in config:
            if name != "validation":
                raise Misuse(f"finalize takes no {name!r}", field=name, fix="It takes none.")
        classes = np.array(state.pull(CLASSES)) if self._role() == CLASSIFIER else None
        features = int(state.pull(FEATURES)[0])
        made, merging, estimator = self._begun(features, classes)
        values = {name: np.array(state.pull(LEARNED + name)) for name in merging.attributes}
        give(merging, estimator, values, self._centre(state, made))
        refresh(merging, estimator)
        arguments = plain_arguments(self.arguments, _SOURCE)
        return PartialFitModel(estimator, _canonical(self.estimator), arguments, self._role(), features)

    # scikit-learn's

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from scratch: `epochs` passes for what is merged by mean, one for sums."""
        self._validate_params()
        batch = self._rows(X, y, reset=True)
        self._state = LocalState()
        self.initialize(self._state, batch.rows(0, min(len(batch), self.sample_size)))
        known = KNOWN.get(_canonical(self.estimator))
        once = (self.merge if known is None else known.how) == SUM
        self.n_iter_ = 1 if once else self.epochs
        for epoch in range(self.n_iter_):
            self._learn(shuffled(batch, self.seed, epoch))
        return self._made()

    @_has("predict")
    def predict(self, X: Any) -> NDArray[Any]:
        """The class or the value of each row, (n,)."""
        answer = self._checked().predict(self._rows(X, reset=False))
        return self.classes_[answer.astype(np.int64)] if self._role() == CLASSIFIER else answer

    @_has("predict_proba")
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each class, (n, k)."""
        model = self._checked()
        return np.asarray(model.estimator.predict_proba(wide(self._rows(X, reset=False))))

    @_has("decision_function")
    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """The score of the second class (n,), or of each of more (n, k)."""
        model = self._checked()
        return np.asarray(model.estimator.decision_function(wide(self._rows(X, reset=False))))

    @_has("score")
    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy of classes, r2 of values."""
        if self._role() == OTHER:
            return float(self._checked().estimator.score(wide(self._rows(X, reset=False)), y))
        answer = self.predict(X)
        if self._role() == CLASSIFIER:
            return float(np.average(np.asarray(y) == answer, weights=sample_weight))
        y = np.asarray(y, np.float64)
        mean = np.average(y, weights=sample_weight)
        return 1 - float(
            np.average((y - answer) ** 2, weights=sample_weight)
            / max(np.average((y - mean) ** 2, weights=sample_weight), 1e-300)
        )

    def _rows(self, X: Any, y: Any = None, *, reset: bool, classes: Any = None) -> Batch:
        found = super()._rows(X, y, reset=reset, classes=classes)
        if y is not None and get_tags(self).input_tags.positive_only:
            values: Any = found.values if found.sparse else found.dense
            if np.min(values, initial=0) < 0:
                raise ValueError(f"Negative values in data passed to {self.estimator}")
        return found

    def _checked(self) -> PartialFitModel:
        check_is_fitted(self)
        found: PartialFitModel = self._model
        return found

    def _fitted(self) -> None:
        for name in ("coef_", "intercept_", "feature_log_prob_", "theta_", "var_"):
            if hasattr(self._model.estimator, name):
                setattr(self, name, getattr(self._model.estimator, name))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(self._made_estimator())
        tags.estimator_type, tags.target_tags = inner.estimator_type, inner.target_tags
        tags.classifier_tags, tags.regressor_tags = inner.classifier_tags, inner.regressor_tags
        if tags.classifier_tags is not None:
            tags.classifier_tags.poor_score = inner.classifier_tags.poor_score
        tags.input_tags.positive_only = inner.input_tags.positive_only
        tags.input_tags.sparse = inner.input_tags.sparse
        return tags

    # the estimator

    def _made_estimator(self) -> Any:
        kind = found_at(self.estimator, _SOURCE)
        try:
            made = kind(**(self.arguments or {}))
        except TypeError as problem:
            raise Misuse(
                str(problem), source=_SOURCE, field="arguments", fix=f"Give what {kind.__name__} takes."
            ) from problem
        if not hasattr(made, "partial_fit"):
            known = REFUSED.get(type(made).__name__)
            raise Misuse(
                f"{type(made).__name__} has no partial_fit" + (f": {known[0]}" if known else ""),
                source=_SOURCE, field="estimator", fix="Give one that learns batch by batch.",
            )  # fmt: skip
        return made

    def _settings(self, made: Any) -> Mapping[str, Any]:
        return made.get_params(deep=False) if hasattr(made, "get_params") else {}

    def _role(self) -> str:
        made = self._made_estimator()
        return CLASSIFIER if is_classifier(made) else REGRESSOR if is_regressor(made) else OTHER

    def _begun(self, features: int, classes: NDArray[np.float64] | None) -> tuple[Any, Merging, Any]:
        """The estimator as it comes, what of it is merged, and one that has all its attributes."""
        made = self._made_estimator()
        merging = merging_of(made, _canonical(self.estimator), self.merge, features, classes)
        if "random_state" in self._settings(made):
            made.random_state = self.seed
        try:
            return made, merging, begun(made, features, classes)
        except ValueError as problem:  # scikit-learn looks at its arguments when it learns
            raise Misuse(
                str(problem).splitlines()[0].rstrip("."), source=_SOURCE, field="arguments",
                fix=f"Give what {type(made).__name__} takes for partial_fit.",
            ) from problem  # fmt: skip

    def _learn_rows(self, estimator: Any, batch: Batch, x: Any, labels: NDArray[np.float64] | None) -> None:
        how: dict[str, Any] = {}
        if batch.weights is not None:
            if "sample_weight" not in inspect.signature(estimator.partial_fit).parameters:
                raise Misuse(
                    f"{type(estimator).__name__} takes no weights of rows", source="update", field="weights",
                    fix="Give rows without weights.",
                )  # fmt: skip
            how["sample_weight"] = np.asarray(batch.weights, np.float64)
        try:
            estimator.partial_fit(x, labels, **how)
        except ValueError as problem:
            raise Misuse(
                str(problem).splitlines()[0], source="update", field="data", fix="Mend the rows."
            ) from problem

    def _labels(self, batch: Batch, classes: NDArray[np.float64] | None) -> NDArray[np.float64]:
        found = numeric(batch.labels, "update")
        if classes is not None and not np.isin(found, classes).all():
            strange = found[~np.isin(found, classes)][0]
            raise Misuse(
                f"the label {strange:g} is none of the classes {classes.tolist()}", source="update",
                field="labels", fix="Name all of them, such as classes=(0, 1), or shuffle the rows.",
            )  # fmt: skip
        return found

    def _loss(self, estimator: Any, x: Any, labels: NDArray[np.float64] | None, role: str) -> float:
        """How wrong it is about a batch that it has not learned from: errors, or squares of them."""
        if labels is None or not hasattr(estimator, "predict"):
            return 0.0
        answer = estimator.predict(x)
        return float(np.sum(answer != labels if role == CLASSIFIER else np.square(answer - labels)))

    def _centre(self, state: State, made: Any) -> dict[str, NDArray[Any]]:
        names = centre_of(_canonical(self.estimator), made, np.zeros((1, 1)))
        return {name: np.array(state.pull(CENTRE + name)) for name in names}


def _canonical(home: str) -> str:
    """The name that the verified estimators go by, whichever of their names was given."""
    module, _, name = home.partition(":")
    public = ".".join(part for part in module.split(".") if not part.startswith("_"))
    return f"{public}:{name}" if f"{public}:{name}" in KNOWN else home


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(np.all(one == other))
    except (TypeError, ValueError):
        return False
