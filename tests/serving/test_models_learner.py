"""Models that were trained here answer over the wire as they do by themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import expit, softmax
from sklearn.naive_bayes import GaussianNB

from tradewind.algorithms.catalogue import MODELS
from tradewind.algorithms.deep.deepar_model import DeepARModel
from tradewind.algorithms.deep.neural_topics import NeuralTopics
from tradewind.algorithms.factorization_machine import (
    FactorizationMachineClassifier,
    FactorizationMachineRegressor,
)
from tradewind.algorithms.feature_hashing import FeatureHashing
from tradewind.algorithms.imputer import Imputer
from tradewind.algorithms.k_means import KMeans
from tradewind.algorithms.k_neighbors import KNeighborsClassifier, KNeighborsRegressor
from tradewind.algorithms.latent_dirichlet_allocation import LatentDirichletAllocation
from tradewind.algorithms.linear_svm import LinearSVM
from tradewind.algorithms.logistic_regression import MultinomialLogisticRegression
from tradewind.algorithms.matrix_factorization import MatrixFactorization
from tradewind.algorithms.partial_fit import PartialFitLearner
from tradewind.algorithms.principal_components import PCA
from tradewind.algorithms.random_forest import RandomForestClassifier, RandomForestRegressor
from tradewind.algorithms.scaler import ColumnScaler
from tradewind.data.model_files.layout import write_model_file
from tradewind.data.preparation import Preparation
from tradewind.errors import Misuse
from tradewind.serving.models import learner
from tradewind.serving.models.answers import first_answer
from tradewind.serving.models.learner import LearnedModel, open_learner
from tradewind.serving.tensors import TensorSpec

DRAW = np.random.default_rng(5)
X = DRAW.normal(size=(80, 4)).astype("f4")
TWO = np.where(X[:, 0] > 0, 7, 3)
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
NAMES = np.array(["low", "mid", "high"])[THREE]
VALUES = X @ np.array([1.0, 2.0, 3.0, 4.0])
COUNTS = DRAW.poisson(2, size=(60, 8)).astype("f4")
PAIRS = np.column_stack([DRAW.integers(0, 9, 80), DRAW.integers(0, 7, 80)]).astype("f4")


def served(tmp_path, model, steps=()):
    write_model_file(tmp_path, model.arrays(), model.header())
    if steps:
        Preparation(steps).save(tmp_path / "preparation")
    opened = open_learner(tmp_path)
    first_answer(opened, "m")
    return opened


def test_two_classes_of_a_softmax_loss_come_with_their_chances(tmp_path):
    model = MultinomialLogisticRegression().fit(X, TWO).model_
    opened = served(tmp_path, model)
    found = opened.predict({"X": X})
    assert opened.signature.inputs == (TensorSpec("X", "FP32", (-1, 4)),) and opened.platform == "tradewind"
    assert np.allclose(found["probability"].sum(axis=1), 1)
    assert np.array_equal(found["prediction"], np.array([3, 7])[found["probability"].argmax(axis=1)])
    assert (found["prediction"] == TWO).mean() > 0.9 and found["prediction"].dtype == np.int64


def test_a_logistic_loss_gives_both_chances_of_its_one_score(tmp_path):
    model = FactorizationMachineClassifier().fit(X, TWO).model_
    found = served(tmp_path, model).predict({"X": X})
    held = model.arrays()
    w, b, v = (np.asarray(held[name], np.float64) for name in ("weights", "bias", "factors"))
    x = X.astype(np.float64)
    score = (b + (x @ w.reshape(4, -1)).T + (((x @ v) ** 2 - x**2 @ v**2).sum(axis=1) / 2)).ravel()
    assert np.allclose(found["probability"][:, 1], expit(score), atol=1e-5)
    assert np.allclose(found["probability"].sum(axis=1), 1)


def test_a_hinge_loss_gives_a_score_and_no_chances(tmp_path):
    model = LinearSVM().fit(X, TWO).model_
    found = served(tmp_path, model).predict({"X": X})
    assert set(found) == {"prediction", "score"}
    held = model.arrays()
    wanted = X @ held["weights"].reshape(4, -1) + held["bias"]
    assert np.allclose(found["score"].ravel(), wanted.ravel(), atol=1e-5)
    assert np.array_equal(found["prediction"] == 7, found["score"].ravel() >= 0)


def test_classes_with_names_are_bytes(tmp_path):
    model = MultinomialLogisticRegression().fit(X, NAMES).model_
    opened = served(tmp_path, model)
    assert [each.datatype for each in opened.signature.outputs] == ["BYTES", "FP64"]
    found = opened.predict({"X": X})["prediction"]
    assert [each.decode() for each in found] == model.predict(X).tolist()


@pytest.mark.parametrize(
    ("trainer", "labels", "outputs"),
    [
        (FactorizationMachineRegressor(), VALUES, {"prediction": (-1,)}),
        (RandomForestClassifier(4), THREE, {"prediction": (-1,), "probability": (-1, 3)}),
        (RandomForestRegressor(4), VALUES, {"prediction": (-1,)}),
        (KNeighborsClassifier(3), THREE, {"prediction": (-1,), "probability": (-1, 3)}),
        (KNeighborsRegressor(3), VALUES, {"prediction": (-1,)}),
    ],
    ids=lambda each: type(each).__name__,
)
def test_learners_with_labels_say_what_they_say_alone(tmp_path, trainer, labels, outputs):
    model = trainer.fit(X, labels).model_
    opened = served(tmp_path, model)
    assert {each.name: each.shape for each in opened.signature.outputs} == outputs
    found, alone = opened.predict({"X": X}), np.asarray(trainer.predict(X))
    assert np.allclose(found["prediction"], alone)
    if "probability" in outputs:
        assert np.allclose(found["probability"], trainer.predict_proba(X))
    halves = [opened.predict({"X": part})["prediction"] for part in (X[:30], X[30:])]
    assert np.array_equal(np.concatenate(halves), found["prediction"])


def test_k_means_gives_the_nearest_centre_and_all_distances(tmp_path):
    model = KMeans(3).fit(X).model_
    found = served(tmp_path, model).predict({"X": X})
    far = cdist(X, model.arrays()["centres"])
    assert np.allclose(found["distances"], far, atol=1e-4)
    assert np.array_equal(found["prediction"], far.argmin(axis=1))


def test_models_that_map_rows_to_rows(tmp_path):
    pca = PCA(2).fit(X).model_
    found = served(tmp_path / "pca", pca).predict({"X": X})["transformed"]
    held = pca.arrays()
    assert np.allclose(found, (X - held["mean"]) @ held["components"].T * held["scale"], atol=1e-5)
    gaps = np.where(DRAW.random(X.shape) < 0.2, np.nan, X).astype("f4")
    imputer = Imputer().fit(gaps).model_
    filled = served(tmp_path / "fill", imputer).predict({"X": gaps})["transformed"]
    assert not np.isnan(filled).any() and np.allclose(filled[~np.isnan(gaps)], gaps[~np.isnan(gaps)])
    scaler = ColumnScaler().fit(X).model_
    found = served(tmp_path / "scale", scaler).predict({"X": X})["transformed"]
    assert np.allclose(found.mean(axis=0), 0, atol=1e-5)
    lda = LatentDirichletAllocation(3, epochs=1).fit(COUNTS).model_
    found = served(tmp_path / "lda", lda).predict({"X": COUNTS})["topics"]
    assert np.allclose(found.sum(axis=1), 1) and np.allclose(found, lda.evaluate(COUNTS))


def test_neural_topics_are_served_from_arrays(tmp_path):
    draw = np.random.default_rng(0)
    shapes = {
        "weight0": (8, 5),
        "bias0": (5,),
        "mean_weight": (5, 3),
        "mean_bias": (3,),
        "spread_weight": (5, 3),
        "spread_bias": (3,),
        "topics": (3, 8),
        "background": (8,),
    }
    arrays = {name: draw.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    header = {
        "kind": "NeuralTopics",
        "version": 1,
        "features": 8,
        "topics": 3,
        "layers": 1,
        "activation": "relu",
        "mixing": "softmax",
        "vocabulary": None,
        "settings": {},
        "formula": "",
    }
    found = served(tmp_path, NeuralTopics.of(arrays, header)).predict({"X": COUNTS})["topics"]
    h = np.log1p(COUNTS)
    h = h / np.sqrt((h * h).sum(axis=1, keepdims=True))
    h = np.maximum(h @ arrays["weight0"] + arrays["bias0"], 0)
    assert np.allclose(found, softmax(h @ arrays["mean_weight"] + arrays["mean_bias"], axis=1), atol=1e-4)


def test_ratings_take_pairs_and_wide_numbers_are_doubles(tmp_path):
    stars = DRAW.integers(1, 6, 80).astype(float)
    model = MatrixFactorization().fit(PAIRS, stars).model_
    opened = served(tmp_path / "small", model)
    assert np.allclose(opened.predict({"X": PAIRS})["prediction"], model.evaluate(PAIRS))
    assert opened.signature.inputs[0].datatype == "FP32"
    wide = MatrixFactorization().fit(PAIRS.astype("f8") + 2**24, stars).model_
    assert served(tmp_path / "wide", wide).signature.inputs[0].datatype == "FP64"


def test_the_preparation_beside_a_model_is_applied_before_it(tmp_path):
    wild = (X * [1, 10, 100, 1000] + 50).astype("f4")
    scaler = ColumnScaler().fit(wild).model_
    model = MultinomialLogisticRegression().fit(np.asarray(scaler.evaluate(wild)), TWO).model_
    found = served(tmp_path, model, (scaler,)).predict({"X": wild})
    assert np.allclose(found["probability"], model.evaluate(scaler.evaluate(wild)))
    assert (found["prediction"] == TWO).mean() > 0.9


def test_hashed_rows_go_into_a_model_as_they_are_sparse(tmp_path):
    codes = DRAW.integers(0, 4, size=(80, 2)).astype("f4")
    hashing = FeatureHashing(buckets=16).fit(codes).model_
    model = MultinomialLogisticRegression().fit(hashing.evaluate(codes), codes[:, 0] > 1).model_
    opened = served(tmp_path, model, (hashing,))
    assert opened.signature.inputs[0].shape == (-1, 2)  # as many as come in, not as many as are hashed to
    assert np.allclose(opened.predict({"X": codes})["probability"], model.evaluate(hashing.evaluate(codes)))


def test_what_rows_cannot_be_given_to_is_refused(tmp_path):
    hashing = FeatureHashing(buckets=16).fit(X).model_
    with pytest.raises(Misuse, match="HashingModel is not served: its answers are sparse"):
        served(tmp_path, hashing)

    class Forecaster(DeepARModel):
        def __init__(self):
            pass

        def header(self):
            return {"kind": "DeepARModel"}

    with pytest.raises(Misuse, match="DeepARModel is not served: it reads series"):
        LearnedModel(Forecaster(), Preparation(()), 0)


def test_a_wrapped_estimator_answers_as_it_does(tmp_path):
    trainer = PartialFitLearner("sklearn.naive_bayes:GaussianNB", classes=[3, 7]).fit(X, TWO)
    found = served(tmp_path, trainer.model_).predict({"X": X})
    alone = GaussianNB().fit(X.astype("f8"), TWO)
    assert np.allclose(found["probability"], alone.predict_proba(X.astype("f8")), atol=1e-4)
    # `fit` numbers the classes for its estimator; in a job they are as labelled
    assert np.array_equal(np.array([3, 7])[found["prediction"]], alone.predict(X))


def test_code_that_a_file_names_is_not_run(tmp_path):
    write_model_file(
        tmp_path,
        {"coef_": np.zeros((1, 4)), "intercept_": np.zeros(1), "classes_": np.arange(2.0)},
        {
            "kind": "PartialFitModel",
            "version": 1,
            "estimator": "os:system",
            "arguments": {},
            "role": "classifier",
            "features": 4,
        },
    )
    with pytest.raises(Misuse, match="os:system"):
        open_learner(tmp_path)


def test_every_kind_of_model_is_served_or_refused_by_name():
    plain = {"PCAModel", "RatingModel"}
    assert set(learner._FACES) | set(learner._REASONS) | plain == set(MODELS)
