"""Multinomial logistic regression by both faces."""

import warnings

import numpy as np
import onnxruntime
import pytest
from scipy.sparse import csr_matrix
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.local_state import LocalState
from tradewind.algorithms.logistic_regression import MultinomialLogisticRegression
from tradewind.data.onnx_files import onnx_bytes
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.testing.algorithms import AlgorithmLaws, reader_of
from tradewind.training.in_process import learn_here
from tradewind.training.job import Job, learner_of
from tradewind.training.state_host import fresh_state


class TestLawsOnSparseRows(AlgorithmLaws):
    """On dense rows the catalogue's learner is held to them."""

    batch, epochs = 10, 5

    def learner(self):
        return MultinomialLogisticRegression(random_state=0)

    def data(self):
        chance = np.random.default_rng(3)
        y = chance.integers(0, 3, 240)
        X = chance.normal(size=(240, 6)) + 2.5 * chance.normal(size=(3, 6))[y]
        return csr_matrix(np.where(np.abs(X) > 0.7, X, 0)), y.astype(float), np.linspace(0.5, 1.5, 240)


def test_scikit_learn_finds_nothing_to_complain_of():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(MultinomialLogisticRegression(), on_fail=None)
    assert not {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"}
    assert len(results) >= 50


def test_it_is_as_likely_as_a_solver():
    """Held-out log-loss within a tenth of a regularized maximum's."""
    X, y = load_digits(return_X_y=True)
    names = np.array([f"digit {each}" for each in y])
    scaler = StandardScaler().fit(X[:1200])
    solver = LogisticRegression(C=0.1, max_iter=2000).fit(scaler.transform(X[:1200]), names[:1200])
    ours = MultinomialLogisticRegression(random_state=0).fit(X[:1200], names[:1200])
    likely = ours.predict_proba(X[1200:])
    assert likely.sum(axis=1) == pytest.approx(np.ones(len(X) - 1200))
    assert ours.predict_log_proba(X[1200:]) == pytest.approx(np.log(likely), rel=1e-6, abs=1e-6)
    theirs = log_loss(names[1200:], solver.predict_proba(scaler.transform(X[1200:])))
    assert log_loss(names[1200:], likely) < theirs * 1.1
    assert ours.coef_.shape == (10, 64) and ours.intercept_.shape == (10,)


@pytest.mark.parametrize("consistency", ["bulk_synchronous", "stale_synchronous", "asynchronous"])
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_a_job_learns_as_well_as_fit(consistency, parts):
    """Held-out log-loss within 15 %, which batches of 25 rows cost."""
    X, y = load_digits(return_X_y=True)
    held = batch_of(X[1200:], y[1200:])
    best = MultinomialLogisticRegression(l2=0.001, random_state=0).fit(X[:1200], y[:1200]).model_
    learner, data = MultinomialLogisticRegression(l2=0.001), open_data(X[:1200], y[:1200])
    job = Job(
        learner=learner_of(learner), data={}, parts=parts, batch=25, epochs=10, consistency=consistency,
        staleness=int(consistency == "stale_synchronous"),
    )  # fmt: skip
    engine = fresh_state(job, learner, data)
    learn_here(job, learner, data, engine)
    model = learner.finalize(reader_of(engine.snapshot()))
    assert model.score(held, "log_loss") < best.score(held, "log_loss") * 1.15


def test_numpy_alone_and_onnxruntime_give_its_answers():
    X, y = load_iris(return_X_y=True)
    model = MultinomialLogisticRegression(random_state=0).fit(X, y).model_
    arrays = model.arrays()
    scores = X @ arrays["weights"] + arrays["bias"]
    likely = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert model.evaluate(X) == pytest.approx(likely)
    session = onnxruntime.InferenceSession(onnx_bytes(model.graph()), providers=["CPUExecutionProvider"])
    assert session.run(None, {"X": X.astype(np.float32)})[0] == pytest.approx(likely, abs=1e-5)


def test_two_classes_are_two_columns():
    X, y = load_iris(return_X_y=True)
    X, y = X[:100], np.array(["a", "b"])[y[:100]]
    mlr = MultinomialLogisticRegression(random_state=0).fit(X, y)
    assert mlr.model_.weights.shape == (4, 2) and mlr.predict_proba(X).shape == (100, 2)
    assert mlr.score(X, y) == 1.0 and mlr.decision_function(X).shape == (100,)


def test_bad_arguments_and_labels_are_refused():
    X, y = load_iris(return_X_y=True)
    for arguments in ({"rate": 0.0}, {"l1": -1.0}, {"patience": 0}, {"class_weight": "even"}):
        field = next(iter(arguments))
        with pytest.raises(ValueError, match=field):
            MultinomialLogisticRegression(**arguments).fit(X, y)
        with pytest.raises(Misuse) as refused:
            MultinomialLogisticRegression(**arguments).check()
        assert refused.value.field == field
    with pytest.raises(Misuse, match="whole numbers"):
        MultinomialLogisticRegression().initialize(LocalState(), batch_of(X, X[:, 0]))
    with pytest.raises(ValueError, match="one class only"):
        MultinomialLogisticRegression().fit(X, np.zeros(150))
