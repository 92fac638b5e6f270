"""The model: with numpy alone, as ONNX, and changed after training."""

import json

import numpy as np
import pytest
from scipy.linalg import hadamard

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.k_neighbors import KNeighborsClassifier, KNeighborsRegressor, NeighborsModel
from tradewind.data.onnx_files import onnx_bytes
from tradewind.errors import Misuse

CHANCE = np.random.default_rng(2)
X = (CHANCE.normal(size=(300, 12)) + 5).astype(np.float32)
T = (CHANCE.normal(size=(80, 12)) + 5).astype(np.float32)
Y = np.digitize(X[:, 0], [4.5, 5.5]).astype(float)


def by_hand(arrays, header, asked):
    """What docs and header say, with numpy and nothing else."""
    asked = asked.astype(float)
    if header["projection"] == "sign":
        asked = asked @ arrays["signs"] / np.sqrt(arrays["signs"].shape[1])
    elif header["projection"] == "fjlt":
        padded = np.zeros((len(asked), 16))
        padded[:, :12] = asked * arrays["signs"]
        asked = (padded @ hadamard(16))[:, arrays["chosen"]] / np.sqrt(len(arrays["chosen"]))
    rows = arrays["rows"].astype(float)
    gaps = np.linalg.norm(asked[:, None] - rows, axis=2)
    far = gaps if header["distance"] == "l2" else -(asked @ rows.T)
    near = arrays["labels"][np.argsort(far, axis=1, kind="stable")[:, : header["k"]]]
    if header["predictor"] == "regressor":
        return near.mean(axis=1)
    return np.array(
        [arrays["classes"][np.argmax([(row == c).sum() for c in arrays["classes"]])] for row in near]
    )


@pytest.mark.parametrize("projection", [None, "sign", "fjlt"])
@pytest.mark.parametrize("metric", ["l2", "inner_product", "cosine"])
@pytest.mark.parametrize("kind", [KNeighborsClassifier, KNeighborsRegressor])
def test_its_arrays_and_header_are_enough_for_numpy_and_for_onnx(kind, metric, projection):
    runtime = pytest.importorskip("onnxruntime")
    target = None if projection is None else 5
    learner = kind(4, metric=metric, projection=projection, dimension_reduction_target=target, index="cells")
    model = learner.fit(X, Y).model_
    model.of(model.arrays(), model.header())
    exact = kind(4, metric=metric, projection=projection, dimension_reduction_target=target).fit(X, Y).model_
    arrays, header = exact.arrays(), json.loads(json.dumps(exact.header()))
    answer = exact.evaluate(T)
    assert answer == pytest.approx(by_hand(arrays, header, T), abs=1e-9)
    again = NeighborsModel.of(arrays, header)
    assert again.evaluate(batch_of(T)).tobytes() == answer.tobytes()
    assert again.header() == exact.header()
    session = runtime.InferenceSession(onnx_bytes(exact.graph()), providers=["CPUExecutionProvider"])
    assert session.run(None, {"X": T})[0] == pytest.approx(answer, abs=1e-5)


def test_what_is_asked_may_change_after_training():
    model = KNeighborsClassifier(5).fit(X, Y).model_
    model.k, model.predictor = 2, "regressor"
    assert model.evaluate(T) == pytest.approx(KNeighborsRegressor(2).fit(X, Y).predict(T))
    assert model.metric == "r2"
    model.weighting = "distance"
    expected = KNeighborsRegressor(2, weighting="distance").fit(X, Y).predict(T)
    assert model.evaluate(T) == pytest.approx(expected)
    with pytest.raises(Misuse, match="Set weighting to 'uniform'"):
        model.graph()
    model.predictor = "oracle"
    with pytest.raises(Misuse, match="'oracle' is no predictor"):
        model.evaluate(T)


def test_equal_rows_are_all_that_votes_by_distance_count():
    rows, labels = np.array([[0.0], [0.0], [1.0]]), np.array([1.0, 3.0, 50.0])
    learner = KNeighborsRegressor(3, weighting="distance").fit(rows, labels)
    assert learner.predict([[0.0], [0.5]]).tolist() == pytest.approx([2.0, 18.0])


def test_scores():
    model = KNeighborsRegressor(3).fit(X, X[:, 0]).model_
    batch = batch_of(T, T[:, 0])
    gap = model.evaluate(T) - T[:, 0]
    assert model.score(batch, "mse") == pytest.approx(np.mean(gap**2))
    assert model.score(batch, "mae") == pytest.approx(np.mean(np.abs(gap)))
    assert model.score(batch) == pytest.approx(1 - np.mean(gap**2) / np.var(T[:, 0].astype(float)), rel=1e-5)
    weighted = batch_of(T, T[:, 0], np.arange(80))
    assert model.score(weighted, "mae") == pytest.approx(np.average(np.abs(gap), weights=np.arange(80)))
    voting = KNeighborsClassifier(3).fit(X, Y).model_
    assert voting.score(batch_of(X, Y)) == np.mean(voting.evaluate(X) == Y)
    with pytest.raises(Misuse, match="Known: accuracy"):
        voting.score(batch_of(X, Y), "mse")
    with pytest.raises(Misuse, match="no labels"):
        voting.score(batch_of(X))


def test_bad_input():
    model = KNeighborsClassifier(3).fit(X, Y).model_
    with pytest.raises(Misuse, match="11 features, the model was made for 12"):
        model.evaluate(X[:, :11])
    with pytest.raises(Misuse, match="301 neighbours of 300 rows"):
        model.neighbors(T, 301)
    with pytest.raises(Misuse, match="'trees' is no index"):
        NeighborsModel.of(model.arrays(), {**model.header(), "index": {"kind": "trees"}})
    assert model.evaluate(np.empty((0, 12), np.float32)).shape == (0,)
