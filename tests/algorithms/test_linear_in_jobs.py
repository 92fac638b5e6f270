"""What linear classifiers with both faces share, told by the support vector machine and softmax."""

import json

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.linear_svm import LinearSVM
from tradewind.algorithms.local_state import LocalState
from tradewind.algorithms.logistic_regression import MultinomialLogisticRegression
from tradewind.errors import Misuse
from tradewind.training.job import build_algorithm, learner_of

BOTH = pytest.mark.parametrize("kind", [LinearSVM, MultinomialLogisticRegression])


def clouds(classes, n=240, d=5, seed=3):
    chance = np.random.default_rng(seed)
    y = chance.integers(0, classes, n)
    return chance.normal(size=(n, d)) + 2.5 * chance.normal(size=(classes, d))[y], y.astype(float)


@BOTH
def test_what_a_job_cannot_do_is_refused(kind):
    X, y = clouds(3, 60)
    with pytest.raises(Misuse, match="weighs rows"):
        kind(class_weight="balanced").initialize(LocalState(), batch_of(X, y))
    with pytest.raises(Misuse, match="fewer than two"):
        kind(classes=[1]).check()
    with pytest.raises(Misuse, match="one class only"):
        kind().initialize(LocalState(), batch_of(X, np.ones(60)))
    with pytest.raises(Misuse, match="no labels"):
        kind().initialize(LocalState(), batch_of(X))
    state, learner = LocalState(), kind(classes=[0, 1])
    learner.initialize(state, batch_of(X[y < 2], y[y < 2]))
    with pytest.raises(Misuse, match="the label 2"):
        learner.update(state, state.draw([batch_of(X, y)]), False)


def test_its_settings_are_plain_values():
    learner = LinearSVM("squared_hinge", random_state=np.random.RandomState(0), classes=(0, 1))
    assert json.loads(json.dumps(learner.parameters()))["random_state"] is None
    assert learner.parameters()["classes"] == [0, 1]
    assert clone(LinearSVM(margin=2.0)).get_params()["margin"] == 2.0


@BOTH
@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "sgd", "ftrl"])
def test_every_optimizer_learns_every_number_of_classes(kind, optimizer):
    for classes in (2, 3):
        X, y = clouds(classes)
        learner, state, batch = kind(optimizer=optimizer), LocalState(), batch_of(X, y)
        learner.initialize(state, batch)
        for _ in range(10):
            learner.update(state, state.draw(batch.rows(at, at + 20) for at in range(0, 240, 20)), False)
        assert learner.finalize(state).score(batch, "accuracy") > 0.9


@BOTH
def test_arguments_reach_the_linear_learner(kind):
    X, y = clouds(3)
    batch = batch_of(X, y)
    models = []
    for changes in ({}, {"l2": 1.0}, {"fit_intercept": False}, {"normalize_data": False}, {"rate": 0.01}):
        learner, state = build_algorithm(learner_of(kind(**changes))), LocalState()
        learner.initialize(state, batch)
        learner.update(state, state.draw([batch] * 5), False)
        models.append(learner.finalize(state))
    assert len({model.weights.tobytes() for model in models}) == 5
    assert np.abs(models[1].weights).sum() < np.abs(models[0].weights).sum()
    assert np.abs(models[4].weights).sum() < 0.5 * np.abs(models[0].weights).sum()


@BOTH
def test_bad_rows_are_refused_by_both_faces(kind):
    X, y = clouds(3, 60)
    fitted, state, learner = kind(random_state=0).fit(X, y), LocalState(), kind()
    learner.initialize(state, batch_of(X, y))

    def learn(rows: Batch) -> None:
        learner.update(state, state.draw([rows]), False)

    holed, wide, huge = X.copy(), np.hstack([X, X[:, :1]]), X.copy()
    holed[9, 2], huge[9, 2] = np.nan, 1e300
    with pytest.raises(ValueError, match="contains NaN"):
        kind().fit(holed, y)
    with pytest.raises(Misuse, match="row 9 holds NaN"):
        learn(batch_of(holed, y))
    with pytest.raises(ValueError, match="6 features, but"):
        fitted.predict(wide)
    with pytest.raises(Misuse, match="6 features, the state was made for 5"):
        learn(batch_of(wide, y))
    with pytest.raises(Misuse, match="column 2 holds values"):
        kind().fit(huge, y)
    with pytest.raises(Misuse, match="leaves float32"):
        learn(batch_of(huge, y))
    with pytest.raises(ValueError, match="none of the classes"):
        kind().partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y + 1)
    with pytest.raises(Misuse, match="the label 3 "):
        learn(batch_of(X, y + 1))
    with pytest.raises(Misuse, match="no row to begin with"):
        kind().initialize(LocalState(), batch_of(X[:0], y[:0]))
    with pytest.raises(Misuse, match="weight is negative"):
        learn(batch_of(X, y, -np.ones(60)))


@BOTH
def test_empty_rows_are_learned_from_and_answered_by_the_bias(kind):
    X, y = clouds(3, 300)
    X[::3] = 0  # rows without non-zeros, of all classes, most of the first
    y[::3] = np.where(np.arange(100) % 10 < 8, 0, y[::3])
    fitted = kind(random_state=0).fit(csr_matrix(X), y)
    assert fitted.predict(csr_matrix((4, 5))).tolist() == [0.0] * 4
    assert fitted.decision_function(csr_matrix((1, 5)))[0] == pytest.approx(fitted.intercept_)
    state, learner = LocalState(), kind()
    batch = batch_of(csr_matrix(X), y)
    learner.initialize(state, batch)
    learner.update(state, state.draw([batch, batch_of(csr_matrix((0, 5)), y[:0]), batch] * 10), False)
    model = learner.finalize(state)
    assert model.predict(csr_matrix((4, 5))).tolist() == [0.0] * 4
    assert np.abs(model.weights).max() > 0.01
