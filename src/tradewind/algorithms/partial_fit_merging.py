"""How what estimators learn with `partial_fit` is merged: which attributes are sums, which are means.

Sums: each worker adds what its rows alone come to, so the result is that of one pass over all rows. Means:
each worker goes on from where all stand, and the mean of the changes is taken (parameter mixing: McDonald,
Hall and Mann, NAACL 2010, section 3, iterated; Zinkevich et al., NIPS 2010).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.errors import Misuse

SUM, MEAN = "sum", "mean"


class Merging(Struct, frozen=True):
    """What of an estimator is learned, and how it is merged."""

    how: str
    """`sum` or `mean`."""
    attributes: tuple[str, ...]


_COUNTS = ("class_count_", "feature_count_")
_LINEAR = ("coef_", "intercept_", "t_")

KNOWN: dict[str, Merging] = {
    "sklearn.naive_bayes:MultinomialNB": Merging(SUM, _COUNTS),
    "sklearn.naive_bayes:BernoulliNB": Merging(SUM, _COUNTS),
    "sklearn.naive_bayes:ComplementNB": Merging(SUM, (*_COUNTS, "feature_all_")),
    "sklearn.naive_bayes:GaussianNB": Merging(SUM, ("class_count_", "theta_", "var_")),
    "sklearn.linear_model:SGDClassifier": Merging(MEAN, _LINEAR),
    "sklearn.linear_model:SGDRegressor": Merging(MEAN, _LINEAR),
    "sklearn.linear_model:Perceptron": Merging(MEAN, _LINEAR),
    "sklearn.linear_model:PassiveAggressiveClassifier": Merging(MEAN, _LINEAR),
    "sklearn.linear_model:PassiveAggressiveRegressor": Merging(MEAN, _LINEAR),
}
"""Estimators whose merging is verified. Models of these, and of no others, are built from a file unasked."""

_NETWORK = "TorchLearner trains networks through the state"
_SCALES = "Use ColumnScaler, which merges exactly"
REFUSED: dict[str, tuple[str, str]] = {
    "MLPClassifier": ("its optimizer's moments are in an object of its own", _NETWORK),
    "MLPRegressor": ("its optimizer's moments are in an object of its own", _NETWORK),
    "MiniBatchKMeans": ("it counts in secret and moves centres at random", "Use the streaming k-means here"),
    "IncrementalPCA": (
        "bases of two workers have no sum and no mean",
        "Use the PCA here, which merges exactly",
    ),
    "Birch": ("a tree has no sum and no mean", "Use the streaming k-means here"),
    "LatentDirichletAllocation": ("its steps depend on a count of its own", "Use the LDA here"),
    "MiniBatchDictionaryLearning": ("atoms of two workers are in no common order", "Train it in one process"),
    "MiniBatchSparsePCA": ("components of two workers are in no common order", "Train it in one process"),
    "MiniBatchNMF": ("components of two workers are in no common order", "Train it in one process"),
    "BernoulliRBM": ("its chains are its own rows", _NETWORK),
    "CategoricalNB": ("its tables grow with the categories that it meets", "Encode them and use BernoulliNB"),
    "StandardScaler": ("its moments are not sums", _SCALES),
    "MinMaxScaler": ("its bounds are neither sums nor means", _SCALES),
    "MaxAbsScaler": ("its bounds are neither sums nor means", _SCALES),
}
"""Of scikit-learn's, by class: why they are not merged, and what to do."""

_CONSTANT = {"classes_", "n_features_in_", "feature_names_in_", "n_iter_", "n_outputs_", "n_features_"}


def begun(estimator: Any, features: int, classes: NDArray[np.float64] | None) -> Any:
    """A copy of the estimator that has learned from one row of zeros, so that its attributes are there."""
    found = copy.deepcopy(estimator)
    _learn_zero(found, features, classes)
    return found


def merging_of(
    estimator: Any, home: str, merge: str, features: int, classes: NDArray[np.float64] | None
) -> Merging:
    """What of an estimator is merged, and how; Misuse, with the reason, where it cannot be."""
    name = type(estimator).__name__
    if home in KNOWN:
        if merge not in ("auto", KNOWN[home].how):
            raise _unmerged(f"{name} is merged by {KNOWN[home].how}, not by {merge}", "Leave merge='auto'.")
        if getattr(estimator, "average", False):
            raise _unmerged(
                f"{name}(average=True) keeps a mean of its own", "Leave it out: workers are averaged already."
            )
        return KNOWN[home]
    if type(estimator).__module__.startswith("sklearn.") and name in REFUSED:
        raise _unmerged(f"{name} cannot be merged: {REFUSED[name][0]}", REFUSED[name][1] + ".")
    if merge == "auto":
        raise _unmerged(
            f"how {name} is merged is not known",
            "Say merge='sum' if what it learns is counts and sums of rows, or 'mean' for a gradient's steps.",
        )
    return Merging(merge, _found(estimator, name, features, classes))


def taken(merging: Merging, estimator: Any, centre: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What the estimator has learned, in the coordinates in which it is merged."""
    found = {name: np.array(getattr(estimator, name), np.float64) for name in merging.attributes}
    if "var_" in found:  # sums of values less a centre, and of their squares
        count = found["class_count_"][:, None]
        mean = found["theta_"] - centre["centre"]
        spread = found["var_"] - estimator.epsilon_
        found = {**found, "theta_": count * mean, "var_": count * (spread + mean * mean)}
    return found


def give(
    merging: Merging, estimator: Any, values: Mapping[str, NDArray[Any]], centre: Mapping[str, NDArray[Any]]
) -> None:
    """Make the estimator what `values`, as `taken` gives them, say that it is."""
    found = {name: np.array(values[name]) for name in merging.attributes}
    if "var_" in found:
        count = np.maximum(found["class_count_"], 1)[:, None]
        mean = found["theta_"] / count
        estimator.epsilon_ = float(centre["epsilon"][0])
        spread = np.maximum(found["var_"] / count - mean * mean, 0) + estimator.epsilon_
        found = {**found, "theta_": mean + centre["centre"], "var_": spread}
        if estimator.priors is None:
            whole = found["class_count_"].sum()
            estimator.class_prior_ = found["class_count_"] / (whole if whole else 1)
    for name, value in found.items():
        like = np.asarray(getattr(estimator, name))
        setattr(
            estimator, name, value.astype(like.dtype) if like.ndim else type(getattr(estimator, name))(value)
        )


def refresh(merging: Merging, estimator: Any) -> None:
    """Have the estimator reckon again what it derives from sums, by a row that counts for next to nothing."""
    if merging.how != SUM or not hasattr(estimator, "feature_log_prob_"):
        return
    most = int(np.argmax(estimator.class_count_))  # no count of a class that was seen changes by so little
    row = np.zeros((1, estimator.feature_count_.shape[1]))
    estimator.partial_fit(row, estimator.classes_[[most]], sample_weight=np.array([1e-300]))


def centre_of(home: str, estimator: Any, rows: Any) -> dict[str, NDArray[Any]]:
    """What the coordinates of `taken` need to know of the first rows: for GaussianNB their centre and the
    variance that it adds to all; for the others nothing."""
    if not home.endswith(":GaussianNB"):
        return {}
    plain = rows.toarray() if hasattr(rows, "toarray") else np.asarray(rows, np.float64)
    spread = estimator.var_smoothing * float(plain.var(axis=0).max())
    return {"centre": plain.mean(axis=0), "epsilon": np.array([spread])}


def _first(classes: NDArray[np.float64] | None) -> Any:
    return np.zeros(1) if classes is None else classes[:1]


def _learn_zero(
    estimator: Any, features: int, classes: NDArray[np.float64] | None, value: float = 0.0
) -> None:
    rows, how = np.full((1, features), value), {} if classes is None else {"classes": classes}
    estimator.partial_fit(rows, _first(classes), **how)


def _found(estimator: Any, name: str, features: int, classes: NDArray[np.float64] | None) -> tuple[str, ...]:
    """The numeric attributes that an estimator not known here learns; Misuse if it learns anything else."""
    try:
        first = begun(estimator, features, classes)
        second = copy.deepcopy(first)
        _learn_zero(second, features, classes, 1.0)
    except Exception as problem:  # whatever a user's own code raises
        raise _unmerged(
            f"{name} does not learn from single rows: {problem}", "Let partial_fit take one row."
        ) from problem
    learned = []
    settings = (
        set(estimator.get_params(deep=False)) if hasattr(estimator, "get_params") else set(vars(estimator))
    )
    for key, value in vars(first).items():
        if key in settings or key in _CONSTANT:
            continue
        after = vars(second)[key]
        plain = value is None or isinstance(value, (str, bool, int, float, np.ndarray, np.generic))
        numeric = plain and not isinstance(value, (str, bool)) and value is not None
        numeric = numeric and np.asarray(value).dtype.kind in "fiu"
        if numeric and np.shape(value) == np.shape(after) and key.endswith("_") and not key.startswith("_"):
            learned.append(key)
        elif not plain or not np.array_equal(np.asarray(value), np.asarray(after)):
            raise _unmerged(
                f"{name} keeps {key!r}, of type {type(value).__name__}, which is no table of a fixed shape",
                "Keep all that is learned in numbers and arrays whose names end in an underscore.",
            )
    if not learned:
        raise _unmerged(
            f"{name} has no attribute that ends in an underscore", "Keep what is learned in such."
        )
    return tuple(sorted(learned))


def _unmerged(problem: str, fix: str) -> Misuse:
    return Misuse(problem, source="PartialFitLearner", field="estimator", fix=fix)
