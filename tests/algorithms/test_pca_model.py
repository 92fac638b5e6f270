"""The map onto principal components: usable with numpy alone, back again, and as ONNX."""

import json

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.principal_components import PCA, PCAModel
from tradewind.data.onnx_files import onnx_bytes
from tradewind.errors import Misuse


@pytest.fixture
def X():
    chance = np.random.default_rng(4)
    return chance.normal(size=(200, 12)) * 0.7 ** np.arange(12) + 3


@pytest.mark.parametrize("whiten", [True, False])
@pytest.mark.parametrize("mode", ["regular", "randomized"])
def test_its_arrays_and_header_are_enough_for_numpy(X, whiten, mode):
    model = PCA(4, mode=mode, whiten=whiten, extra_components=8).fit(X).model_
    arrays, header = model.arrays(), json.loads(json.dumps(model.header()))
    by_hand = (X - arrays["mean"]) @ arrays["components"].T * arrays["scale"]
    assert header["formula"] == "(X - mean) @ components.T * scale"
    assert by_hand == pytest.approx(model.evaluate(X))
    assert header["variance_captured"] == pytest.approx(arrays["variances"].sum() / header["total_variance"])
    again = PCAModel.of(arrays, header)
    assert again.evaluate(batch_of(X)).tobytes() == model.evaluate(batch_of(X)).tobytes()
    assert again.header() == model.header()


def test_onnx_gives_the_same_answer(X):
    runtime = pytest.importorskip("onnxruntime")
    for whiten in (True, False):
        model = PCA(4, whiten=whiten).fit(X).model_
        session = runtime.InferenceSession(onnx_bytes(model.graph()), providers=["CPUExecutionProvider"])
        answer = session.run(None, {"X": X.astype(np.float32)})[0]
        assert answer == pytest.approx(model.evaluate(X.astype(np.float32)), abs=1e-5)


def test_scores(X):
    model = PCA(4).fit(X).model_
    back = model.inverse(model.evaluate(X))
    error = np.square(X - back).sum() / len(X)
    whole = np.square(X - model.mean).sum() / len(X)
    for rows in (X, csr_matrix(X.astype(np.float32))):
        assert model.score(batch_of(rows), "reconstruction_error") == pytest.approx(error, rel=1e-4)
        assert model.score(batch_of(rows)) == pytest.approx(1 - error / whole, rel=1e-5)
    whitened = PCA(4, whiten=True).fit(X).model_
    assert whitened.score(batch_of(X)) == pytest.approx(1 - error / whole)
    assert whitened.inverse(whitened.evaluate(X)) == pytest.approx(back)


def test_bad_input(X):
    model = PCA(4).fit(X).model_
    with pytest.raises(Misuse, match="11 features, the model was made for 12"):
        model.evaluate(X[:, :11])
    with pytest.raises(Misuse, match="Did you mean 'variance_captured'"):
        model.score(batch_of(X), "variance_capture")
    with pytest.raises(Misuse, match="4 components"):
        model.inverse(X)
