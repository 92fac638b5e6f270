"""What a `partial_fit` estimator has learned as a file: built again where that is safe, else by its class."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import own_estimators
import pytest
from sklearn.naive_bayes import BernoulliNB

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.partial_fit import PartialFitLearner
from tradewind.algorithms.partial_fit_merging import KNOWN
from tradewind.algorithms.partial_fit_model import PartialFitModel
from tradewind.data.onnx_files import onnx_bytes
from tradewind.errors import Misuse

pytestmark = pytest.mark.filterwarnings("ignore:Class PassiveAggressive.*:FutureWarning")
LINEAR, BAYES = "sklearn.linear_model:", "sklearn.naive_bayes:"
LOGISTIC = {"loss": "log_loss", "alpha": 0.001}


def data(home: str, classes: int = 3, rows: int = 120):
    """Counts for the naive Bayes that count, and values for regressors."""
    chance = np.random.default_rng(classes)
    y = chance.integers(classes, size=rows).astype(float)
    if home.startswith(BAYES) and not home.endswith("GaussianNB"):
        topics = chance.dirichlet(np.full(12, 0.3), classes)
        return chance.poisson(8 * topics[y.astype(int)]).astype(np.float32), y
    x = (chance.normal(size=(rows, 6)) + np.eye(6)[y.astype(int)]).astype(np.float32)
    return (x, x @ np.arange(6.0) + 2) if home.endswith("Regressor") else (x, y)


def made(home: str, classes: int = 3, **arguments) -> PartialFitModel:
    return PartialFitLearner(home, arguments=arguments, epochs=2).fit(*data(home, classes)).model_


def reopened(model: PartialFitModel, **changes) -> PartialFitModel:
    """By way of JSON, as a file would be."""
    return PartialFitModel.of(model.arrays(), json.loads(json.dumps({**model.header(), **changes})))


def onnx_is_alike(model: PartialFitModel, x) -> bool:
    session = onnxruntime.InferenceSession(onnx_bytes(model.graph()), providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"X": x})
    expected = model.evaluate(x)
    return answer == pytest.approx(expected, abs=1e-5 * max(1.0, float(np.abs(expected).max())))


@pytest.mark.parametrize("home", KNOWN)
@pytest.mark.parametrize("classes", [2, 3])
def test_a_model_comes_back_and_is_written_as_onnx(home, classes):
    x, y = data(home, classes)
    model = made(home, classes)
    again = reopened(model)
    assert np.array_equal(again.evaluate(x), model.evaluate(x))
    assert np.array_equal(again.predict(x), model.predict(x))
    assert again.score(batch_of(x, y)) == model.score(batch_of(x, y)) and again.header() == model.header()
    assert onnx_is_alike(model, x)


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_of_scores_are_written_too(classes):
    model = made(LINEAR + "SGDClassifier", classes, **LOGISTIC)
    assert onnx_is_alike(model, data(LINEAR, classes)[0])
    with pytest.raises(Misuse, match="modified_huber"):
        made(LINEAR + "SGDClassifier", classes, loss="modified_huber").graph()


@pytest.mark.parametrize("binarize", [None, 0.0, 1.5])
def test_a_threshold_is_written_too(binarize):
    x, y = data(BAYES)
    x = (x > 0).astype(np.float32) if binarize is None else x
    model = PartialFitLearner.of(BernoulliNB(binarize=binarize)).fit(x, y).model_
    assert onnx_is_alike(model, x)


def test_the_arrays_and_the_header_are_enough_for_numpy():
    x, _ = data(LINEAR)
    model = made(LINEAR + "SGDClassifier", **LOGISTIC)
    a = model.arrays()
    chances = 1 / (1 + np.exp(-(x.astype(float) @ a["coef_"].T + a["intercept_"])))
    assert model.evaluate(x) == pytest.approx(chances / chances.sum(axis=1, keepdims=True))
    x, _ = data(BAYES)
    model = made(BAYES + "MultinomialNB")
    a = model.arrays()
    joint = np.exp(x.astype(float) @ a["feature_log_prob_"].T + a["class_log_prior_"])
    assert model.evaluate(x) == pytest.approx(joint / joint.sum(axis=1, keepdims=True))
    assert model.header()["formula"].startswith("softmax(X @ feature_log_prob_.T")


def test_a_file_runs_no_code_that_it_names():
    x, y = data(LINEAR)
    model = PartialFitLearner.of(own_estimators.Centroids, merge="sum").fit(x, y).model_
    for again in (reopened(model), reopened(model, estimator="os:system", arguments={"command": "true"})):
        with pytest.raises(Misuse, match="not imported because a file says so"):
            again.evaluate(x)
    assert np.array_equal(reopened(model).built_by(own_estimators.Centroids).predict(x), model.predict(x))
    with pytest.raises(Misuse, match="not known here"):
        model.graph()


def test_what_does_not_belong_together_is_told():
    model = made(LINEAR + "SGDClassifier")
    arrays, header = model.arrays(), model.header()
    for wrong, words in (
        ({name: each for name, each in arrays.items() if name != "coef_"}, "no array is of 6 features"),
        ({name: each for name, each in arrays.items() if name != "intercept_"}, "intercept_ is missing"),
        ({**arrays, "predict": np.zeros(2)}, "predict of shape"),
        ({**arrays, "intercept_": np.zeros(2)}, r"intercept_ of shape \(2,\)"),
    ):
        with pytest.raises(Misuse, match=words):
            PartialFitModel.of(wrong, header)
    for changes, words in (
        ({"features": 10**12}, "no array is of 1000000000000 features"),
        ({"arguments": {"los": "hinge"}}, "los"),
        ({"arguments": {"loss": "none"}}, "loss"),
    ):
        with pytest.raises(Misuse, match=words):
            reopened(model, **changes)


def test_what_cannot_be_answered_is_told():
    x, y = data(LINEAR)
    model = made(LINEAR + "SGDClassifier")
    with pytest.raises(Misuse, match="5 features"):
        model.evaluate(x[:, :5])
    with pytest.raises(Misuse, match="no labels"):
        model.score(batch_of(x))
    with pytest.raises(Misuse, match="metric"):
        model.score(batch_of(x, y), "r2")


def test_scores_are_by_the_rows_weights():
    home = LINEAR + "SGDRegressor"
    (x, y), model = data(home), made(home)
    half = np.arange(len(y)) % 2
    kept = batch_of(x[half > 0], y[half > 0])
    assert model.score(batch_of(x, y, half)) == pytest.approx(model.score(kept))
    answer = model.predict(kept)
    left = np.square(answer - y[half > 0]).sum()
    assert model.score(kept) == pytest.approx(1 - left / np.square(y[half > 0] - y[half > 0].mean()).sum())
