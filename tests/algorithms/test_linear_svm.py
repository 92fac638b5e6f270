"""The linear support vector machine by both faces, for two classes and for more."""

import json
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import SkipTestWarning
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import check_estimator

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.linear.model import LinearModel
from tradewind.algorithms.linear_svm import LinearSVM
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.testing.algorithms import AlgorithmLaws, reader_of
from tradewind.training.in_process import learn_here
from tradewind.training.job import Job, learner_of
from tradewind.training.state_host import fresh_state

LOSSES = pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])


def clouds(classes, n=240, d=5, seed=3):
    chance = np.random.default_rng(seed)
    y = chance.integers(0, classes, n)
    return chance.normal(size=(n, d)) + 2.5 * chance.normal(size=(classes, d))[y], y.astype(float)


class TestLawsForTwoClasses(AlgorithmLaws):
    batch, epochs = 10, 4

    def learner(self):
        return LinearSVM(random_state=0)

    def data(self):
        return (*clouds(2), np.random.default_rng(1).uniform(0.5, 1.5, 240))


class TestLawsForMoreClasses(AlgorithmLaws):
    batch, epochs = 10, 4

    def learner(self):
        return LinearSVM("squared_hinge", classes=(0, 1, 2, 3))

    def data(self):
        return clouds(4)


@LOSSES
def test_scikit_learn_finds_nothing_to_complain_of(loss):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(LinearSVM(loss), on_fail=None)
    assert not {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"}
    assert len(results) >= 50


@LOSSES
@pytest.mark.parametrize("load", [load_breast_cancer, load_digits])
def test_it_is_as_good_as_a_solver(loss, load):
    """Held-out accuracy within two points of liblinear's on scaled features."""
    X, y = load(return_X_y=True)
    cut = len(X) * 2 // 3
    scaler = StandardScaler().fit(X[:cut])
    crammer = "crammer_singer" if loss == "hinge" and load is load_digits else "ovr"
    solver = LinearSVC(loss=loss, multi_class=crammer, C=0.1, random_state=0, max_iter=20_000)
    solver.fit(scaler.transform(X[:cut]), y[:cut])
    ours = LinearSVM(loss, random_state=0).fit(X[:cut], y[:cut])
    assert ours.score(X[cut:], y[cut:]) > solver.score(scaler.transform(X[cut:]), y[cut:]) - 0.02
    assert ours.model_.loss in ("hinge", "squared_hinge", "crammer_singer", "squared_crammer_singer")


@LOSSES
def test_the_margin_is_held(loss):
    """Of classes that can be told apart, no row stays far inside of it."""
    X, y = clouds(3, 300)
    X += 8 * np.eye(3, 5)[y.astype(int)]
    svm = LinearSVM(loss, l2=0.0, epochs=200, tolerance=0, random_state=0).fit(X, y)
    scores = svm.decision_function(X)
    right = scores[np.arange(300), y.astype(int)]
    scores[np.arange(300), y.astype(int)] = -np.inf
    assert (right - scores.max(axis=1)).min() > 0.5
    wide = LinearSVM(loss, margin=10.0, l2=0.0, epochs=200, tolerance=0, random_state=0).fit(X, y)
    assert np.abs(wide.coef_).sum() > 3 * np.abs(svm.coef_).sum()


@LOSSES
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("consistency", ["bulk_synchronous", "stale_synchronous", "asynchronous"])
def test_a_job_learns_as_well_as_fit(loss, classes, consistency):
    """Held-out accuracy within two points."""
    X, y = clouds(classes, 1500)
    if classes == 2:
        y = 2 * y - 1
    held = batch_of(X[1000:], y[1000:])
    best = LinearSVM(loss, random_state=0).fit(X[:1000], y[:1000]).model_.score(held, "accuracy")
    learner, data = LinearSVM(loss), open_data(X[:1000], y[:1000])
    job = Job(
        learner=learner_of(learner), data={}, parts=4, batch=25, epochs=8, consistency=consistency,
        staleness=int(consistency == "stale_synchronous"),
    )  # fmt: skip
    engine = fresh_state(job, learner, data)
    learn_here(job, learner, data, engine)
    model = learner.finalize(reader_of(engine.snapshot()))
    assert model.score(held, "accuracy") > best - 0.02
    assert set(model.predict(X[1000:])) == set(y)


def test_its_models_are_linear_models_used_with_numpy_alone():
    for classes in (2, 3):
        X, y = clouds(classes)
        model = LinearSVM(random_state=0).fit(X, y).model_
        arrays, header = model.arrays(), json.loads(json.dumps(model.header()))
        scores = X @ arrays["weights"] + arrays["bias"]
        chosen = scores.argmax(axis=1) if classes > 2 else (scores >= 0).astype(int)
        assert arrays["classes"][chosen].tolist() == model.predict(X).tolist()
        again = LinearModel.of(arrays, header)
        assert again.predict(X).tolist() == model.predict(X).tolist() and again.loss == model.loss


def test_a_score_is_no_probability():
    X, y = clouds(2)
    svm = LinearSVM().fit(X, y)
    assert not hasattr(svm, "predict_proba")
    assert svm.predict(X).tolist() == (svm.decision_function(X) >= 0).astype(float).tolist()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"loss": "logistic"}, "loss"),
        ({"margin": 0.0}, "margin"),
        ({"rate": -1.0}, "rate"),
        ({"l2": -1e-3}, "l2"),
        ({"optimizer": "newton"}, "optimizer"),
        ({"epochs": 0}, "epochs"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused_by_both_faces(arguments, field):
    X, y = clouds(2, 30)
    with pytest.raises(ValueError, match=field):
        LinearSVM(**arguments).fit(X, y)
    with pytest.raises(ValueError, match=field):
        LinearSVM(**arguments).partial_fit(X, y, classes=[0, 1])
    with pytest.raises(Misuse) as refused:
        LinearSVM(**arguments).check()
    assert refused.value.field == field
