"""Nearest neighbours with scikit-learn's face: its conventions, its answers, its errors."""

import doctest
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.exceptions import SkipTestWarning
from sklearn.neighbors import KNeighborsClassifier as Peer
from sklearn.neighbors import KNeighborsRegressor as PeerRegressor
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

from tradewind.algorithms.k_neighbors import KNeighborsClassifier, KNeighborsRegressor
from tradewind.algorithms.neighbors import learner as module
from tradewind.errors import Misuse


def blobs(n=300, d=6, classes=3, seed=0):
    chance = np.random.default_rng(seed)
    y = chance.integers(0, classes, n)
    return chance.normal(size=(n, d)) + 3 * chance.normal(size=(classes, d))[y], y.astype(float)


@pytest.mark.parametrize(
    "estimator",
    [
        KNeighborsClassifier(reservoir_size=500),
        KNeighborsRegressor(reservoir_size=500),
        KNeighborsClassifier(3, weighting="distance", index="cells", reservoir_size=500),
        KNeighborsRegressor(3, metric="cosine", reservoir_size=500),
    ],
    ids=str,
)
def test_scikit_learn_finds_nothing_to_complain_of(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(estimator, on_fail=None)
    failed = {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"}
    assert not failed
    assert len(results) == len(list(estimator_checks_generator(estimator))) >= 50


def test_the_examples_in_its_docstrings():
    assert doctest.testmod(module) == (0, 2)


@pytest.mark.parametrize("weighting", ["uniform", "distance"])
@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("k", [1, 4, 9])
def test_it_answers_as_scikit_learn_does(k, metric, weighting):
    X, y = blobs()
    T, _ = blobs(seed=1)
    how = {"weights": weighting, "metric": {"l2": "euclidean"}.get(metric, metric), "algorithm": "brute"}
    ours = KNeighborsClassifier(k, metric=metric, weighting=weighting).fit(X, y.astype(int))
    assert ours.predict_proba(T) == pytest.approx(Peer(k, **how).fit(X, y).predict_proba(T), abs=1e-4)
    assert (ours.predict(T) == Peer(k, **how).fit(X, y).predict(T)).mean() > 0.99
    values = KNeighborsRegressor(k, metric=metric, weighting=weighting).fit(X, X[:, 0])
    peer = PeerRegressor(k, **how).fit(X, X[:, 0])
    assert values.predict(T) == pytest.approx(peer.predict(T), abs=1e-4)
    distances, places = values.kneighbors(T, 3)
    theirs = peer.kneighbors(T, 3)
    assert distances == pytest.approx(theirs[0], abs=1e-4)
    assert (places == theirs[1]).mean() > 0.99


def test_sparse_rows_are_as_good_as_dense_ones():
    X, y = blobs()
    X[np.abs(X) < 1] = 0
    X = X.astype(np.float32)
    dense = KNeighborsClassifier(3).fit(X, y)
    sparse = KNeighborsClassifier(3).fit(csr_matrix(X), y)
    assert sparse.predict_proba(csr_matrix(X)).tobytes() == dense.predict_proba(X).tobytes()


@pytest.mark.parametrize("kind", ["sign", "fjlt"])
def test_a_projection_keeps_neighbours_near(kind):
    X, y = blobs(n=400, d=200)
    T, truth = blobs(n=400, d=200)
    learner = KNeighborsClassifier(5, projection=kind, dimension_reduction_target=40).fit(X, y)
    assert learner.model_.rows.shape == (400, 40)
    assert learner.score(T, truth) > 0.95
    assert KNeighborsClassifier(5, projection=kind, dimension_reduction_target=40).fit(
        csr_matrix(X.astype(np.float32)), y
    ).model_.rows == pytest.approx(learner.model_.rows, abs=1e-4)


def test_one_state_answers_any_k_and_any_question():
    X, y = blobs()
    learner = KNeighborsClassifier(5).fit(X, y)
    for k in (1, 7, 300):
        assert (
            learner.finalize(learner._state, k=k).shares(X)
            == KNeighborsClassifier(k).fit(X, y).model_.shares(X)
        ).all()
    values = learner.finalize(learner._state, k=4, predictor="regressor", metric="cosine")
    assert values.evaluate(X) == pytest.approx(
        KNeighborsRegressor(4, metric="cosine").fit(X, y).predict(X), abs=1e-9
    )
    learner.model_.k = 1
    assert learner.score(X, y) == 1.0
    with pytest.raises(Misuse, match="Did you mean 'predictor'"):
        learner.finalize(learner._state, predicter="regressor")
    with pytest.raises(Misuse, match="Did you mean 'regressor'"):
        learner.finalize(learner._state, predictor="regresor")


def test_partial_fit_adds_rows():
    X, y = blobs()
    whole = KNeighborsClassifier(3).fit(X, y)
    parts = KNeighborsClassifier(3).partial_fit(X[:50], y[:50], classes=[0.0, 1.0, 2.0])
    parts.partial_fit(X[50:], y[50:])
    assert parts.predict_proba(X).tobytes() == whole.predict_proba(X).tobytes()


def test_too_few_rows_for_k():
    X, y = blobs(n=4)
    with pytest.raises(ValueError, match="k=5 neighbours of n_samples=4 rows"):
        KNeighborsRegressor(5).fit(X, y)
    learner = KNeighborsRegressor(5).partial_fit(X, y)
    with pytest.raises(ValueError, match="5 neighbours of 4 rows"):
        learner.predict(X)
    with pytest.raises(Misuse, match="5 neighbours of 4 rows"):
        learner.model_.evaluate(X)


@pytest.mark.parametrize("kind", [KNeighborsClassifier, KNeighborsRegressor])
@pytest.mark.parametrize(
    "wrong", [{"k": 0}, {"k": -3}, {"k": 2.5}, {"recall": 0}, {"metric": "l1"}, {"reservoir_size": -1}]
)
def test_arguments_that_cannot_be_meant_are_refused_by_fit(kind, wrong):
    X, y = blobs(n=20)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        kind(**wrong).fit(X, y)


def test_k_must_be_a_number_of_rows_that_there_are():
    X, y = blobs(n=20)
    learner = KNeighborsRegressor(3).fit(X, y)
    for k in (0, -2, 21, 2.5):
        with pytest.raises(ValueError, match=f"{k!r} neighbours of 20 rows. Give 1 to 20"):
            learner.kneighbors(X, k)
        learner.model_.k = k
        with pytest.raises(Misuse, match=f"{k!r} neighbours of 20 rows. Give 1 to 20"):
            learner.model_.evaluate(X)
    with pytest.raises(Misuse, match="'k'"):
        learner.finalize(learner._state, k=-1)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("index", ["exact", "cells"])
def test_one_column(index, sparse):
    X = np.arange(40, dtype=np.float32)[:, None] + 1
    given = csr_matrix(X) if sparse else X
    learner = KNeighborsRegressor(2, index=index).fit(given, X[:, 0])
    distances, places = learner.kneighbors(given)
    assert places[:, 0].tolist() == list(range(40)) and not distances[:, 0].any()
    assert (distances[:, 1] == 1).all()


@pytest.mark.parametrize("index", ["exact", "cells", "flat", "ivf_flat", "ivf_pq"])
def test_rows_that_are_all_the_same(index):
    """All are equally near: the votes are of any k of them, the class that is the smaller wins a tie."""
    learner = KNeighborsClassifier(40, index=index).fit(np.ones((40, 3)), np.arange(40) % 2)
    assert learner.predict_proba(np.ones((2, 3))) == pytest.approx(np.full((2, 2), 0.5))
    assert learner.predict(np.zeros((2, 3))).tolist() == [0, 0]


@pytest.mark.parametrize("index", ["exact", "cells", "flat", "ivf_flat", "ivf_pq"])
def test_one_row(index):
    learner = KNeighborsRegressor(1, index=index).fit(np.ones((1, 3)), [7.0])
    assert learner.predict(np.zeros((2, 3))).tolist() == [7.0, 7.0]


def test_rows_of_zeros_have_no_direction():
    """Their cosine with anything is taken for nought."""
    X = np.vstack([np.zeros((2, 2)), np.eye(2)])
    learner = KNeighborsRegressor(1, metric="cosine").fit(X, np.arange(4.0))
    distances, places = learner.kneighbors(np.eye(2))
    assert places.tolist() == [[2], [3]] and distances == pytest.approx(np.zeros((2, 1)))
    assert learner.kneighbors(np.zeros((1, 2)), 4)[0].tolist() == [[1.0] * 4]


def test_a_constant_column_changes_no_neighbour():
    X, y = blobs(n=100)
    with_it = np.hstack([X, np.full((100, 1), 7.0)])
    places = KNeighborsRegressor(4).fit(X, y).kneighbors(X)[1]
    assert np.array_equal(KNeighborsRegressor(4).fit(with_it, y).kneighbors(with_it)[1], places)


def test_values_that_single_precision_cannot_hold():
    X, y = blobs(n=20)
    model = KNeighborsRegressor(3).fit(X, y).model_
    for wrong in (np.nan, np.inf, 1e300):
        asked = X.copy()
        asked[4, 2] = wrong
        with pytest.raises(Misuse, match="row 4 has a value that is missing, infinite, or too large"):
            model.evaluate(asked)
    huge = X.copy()
    huge[4, 2] = 1e300
    with pytest.raises(Misuse, match="too large for single precision"):
        KNeighborsRegressor(3).fit(huge, y)
