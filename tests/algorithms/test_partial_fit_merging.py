"""What of an estimator is merged, in which coordinates, and what is refused."""

from __future__ import annotations

import numpy as np
import own_estimators
import pytest
from sklearn import (
    cluster,
    decomposition,
    feature_selection,
    linear_model,
    naive_bayes,
    neural_network,
    preprocessing,
)
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import ComplementNB, GaussianNB, MultinomialNB

from tradewind.algorithms.importable import found_at, home_of
from tradewind.algorithms.partial_fit_merging import (
    KNOWN,
    MEAN,
    REFUSED,
    SUM,
    begun,
    centre_of,
    give,
    merging_of,
    refresh,
    taken,
)
from tradewind.errors import Misuse

pytestmark = pytest.mark.filterwarnings("ignore:Class PassiveAggressive.*:FutureWarning")
PLACES = (
    cluster, decomposition, feature_selection, linear_model, naive_bayes, neural_network, preprocessing
)  # fmt: skip
"""Where scikit-learn has estimators that learn batch by batch."""
CLASSES = np.array([0.0, 1.0, 2.0])


def counts(seed: int = 0, rows: int = 30):
    chance = np.random.default_rng(seed)
    return chance.poisson(2.0, (rows, 5)).astype(float), chance.integers(3, size=rows).astype(float)


def merging(estimator, merge: str = "auto"):
    home = f"{type(estimator).__module__.rpartition('._')[0] or type(estimator).__module__}"
    name = f"{home}:{type(estimator).__name__}"
    known = next((each for each in KNOWN if each.endswith(f":{type(estimator).__name__}")), name)
    return merging_of(estimator, known, merge, 5, CLASSES)


@pytest.mark.parametrize("home", KNOWN)
def test_every_estimator_that_is_known_has_what_is_merged(home):
    made = begun(found_at(home, "test")(), 5, None if home.endswith("Regressor") else CLASSES)
    for name in KNOWN[home].attributes:
        assert np.asarray(getattr(made, name)).dtype.kind in "fiu"


def test_every_estimator_of_scikit_learns_is_known_or_refused_or_asked_about():
    """None of those with `partial_fit` is merged by guess."""
    everything = {name: getattr(place, name) for place in PLACES for name in place.__all__}
    found = {name: kind for name, kind in everything.items() if hasattr(kind, "partial_fit")}
    known = {home.partition(":")[2] for home in KNOWN}
    assert known <= found.keys() and REFUSED.keys() <= everything.keys() and not known & REFUSED.keys()
    assert len(found) >= 20 and "SGDOneClassSVM" in found
    for name, kind in found.items():
        if name not in known:
            made = kind.__new__(kind)  # some need arguments; what is refused is refused by the class
            with pytest.raises(Misuse, match="cannot be merged" if name in REFUSED else "is not known"):
                merging_of(made, home_of(kind, "test"), "auto", 5, None)


@pytest.mark.parametrize("kind", [MultinomialNB, ComplementNB, GaussianNB])
def test_sums_of_parts_are_the_whole(kind):
    parts, how = [counts(seed) for seed in range(3)], merging(kind())
    x, y = (np.concatenate(each) for each in zip(*parts, strict=True))
    centre = centre_of(f"sklearn.naive_bayes:{kind.__name__}", kind(), x)
    nothing = {name: np.zeros_like(each) for name, each in centre.items()}
    total: dict[str, np.ndarray] = {}
    for rows, labels in parts:
        made = begun(kind(), 5, CLASSES)
        give(how, made, {name: np.zeros(np.shape(getattr(made, name))) for name in how.attributes}, nothing)
        made.partial_fit(rows, labels)
        for name, value in taken(how, made, centre).items():
            total[name] = total.get(name, 0) + value
    merged = begun(kind(), 5, CLASSES)
    give(how, merged, total, centre)
    refresh(how, merged)
    whole = kind().fit(x, y)
    assert merged.predict_proba(x) == pytest.approx(whole.predict_proba(x), rel=1e-9, abs=1e-12)
    for name in how.attributes:
        assert getattr(merged, name) == pytest.approx(getattr(whole, name), rel=1e-9)


@pytest.mark.parametrize("kind", [SGDClassifier, GaussianNB, MultinomialNB])
def test_what_is_taken_can_be_given(kind):
    x, y = counts()
    made, how = kind().partial_fit(x, y, classes=CLASSES), merging(kind())
    centre = centre_of(f"sklearn:{kind.__name__}", made, x)
    other = begun(kind(), 5, CLASSES)
    give(how, other, taken(how, made, centre), centre)
    refresh(how, other)
    assert np.array_equal(other.predict(x), made.predict(x))
    again = taken(how, other, centre)
    for name, value in taken(how, made, centre).items():
        assert again[name] == pytest.approx(value, rel=1e-9) and name in how.attributes


def test_a_class_without_rows_is_refreshed_too():
    x, y = counts()
    made, how = MultinomialNB().partial_fit(x, np.minimum(y, 1), classes=CLASSES), merging(MultinomialNB())
    other = begun(MultinomialNB(), 5, CLASSES)
    give(how, other, taken(how, made, {}), {})
    with np.errstate(divide="ignore"):
        refresh(how, other)
    assert np.array_equal(other.feature_log_prob_, made.feature_log_prob_)
    assert np.array_equal(other.class_count_, made.class_count_)


def test_a_users_attributes_are_found():
    assert merging(own_estimators.Centroids(), SUM).attributes == ("counts_", "sums_")
    found = merging_of(own_estimators.Steps(), "own_estimators:Steps", MEAN, 5, None)
    assert found.attributes == ("offset_", "slope_") and found.how == MEAN


@pytest.mark.parametrize(
    ("estimator", "merge", "words"),
    [
        (own_estimators.Centroids(), "auto", "is not known"),
        (own_estimators.Secretive(), MEAN, "'generator', of type Generator"),
        (own_estimators.Growing(), SUM, "'seen_', of type ndarray"),
        (SGDClassifier(average=3), "auto", "a mean of its own"),
        (MultinomialNB(), MEAN, "merged by sum, not by mean"),
    ],
)
def test_what_cannot_be_merged_is_told(estimator, merge, words):
    regresses = isinstance(estimator, own_estimators.Steps)
    with pytest.raises(Misuse, match=words):
        if regresses:
            merging_of(estimator, "own_estimators:X", merge, 5, None)
        merging(estimator, merge)


def test_every_refusal_has_a_reason_and_a_way_out():
    for reason, way in REFUSED.values():
        assert reason and way and not reason.endswith(".") and not way.endswith(".")
