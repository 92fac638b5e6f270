"""A model that was learned: labels, distances, metrics, and its open layout."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.kmeans.model import KMeansModel, shifted
from tradewind.data.onnx_files import onnx_bytes
from tradewind.errors import Misuse


def made(far=0.0, k=9, features=5):
    chance = np.random.default_rng(0)
    centres = chance.normal(size=(k, features)) * 3 + far
    x = centres[chance.integers(k, size=400)] + chance.normal(size=(400, features))
    return KMeansModel(centres, np.arange(1.0, k + 1)), x.astype(np.float32)


@pytest.mark.parametrize("far", [0.0, 1000.0])
def test_numpy_alone_gives_the_same_answers(far) -> None:
    """From the arrays, by the formula in the header."""
    model, x = made(far)
    centres, header = model.arrays()["centres"], model.header()
    assert (header["kind"], header["k"], header["features"]) == ("KMeansModel", 9, 5)
    squares = np.square(x.astype(np.float64)[:, None] - centres).sum(axis=2)
    assert np.array_equal(model.evaluate(batch_of(x)), squares.argmin(axis=1))
    assert np.allclose(model.transform(x), np.sqrt(squares), atol=1e-6)
    assert np.isclose(model.score(batch_of(x), "ssd"), squares.min(axis=1).sum(), rtol=1e-5)
    assert np.isclose(model.score(batch_of(x)), squares.min(axis=1).mean(), rtol=1e-5)
    assert model.metric == "msd"


def test_it_is_made_again_of_its_arrays_and_header() -> None:
    model, x = made()
    again = KMeansModel.of(model.arrays(), model.header())
    assert np.array_equal(again.evaluate(x), model.evaluate(x))
    assert np.array_equal(again.transform(x), model.transform(x)) and again.header() == model.header()


def test_sparse_rows_and_float64_are_the_same_rows() -> None:
    model, x = made()
    x[np.random.default_rng(1).random(x.shape) < 0.6] = 0
    sparse = csr_matrix(x)
    assert np.array_equal(model.evaluate(sparse), model.evaluate(x))
    assert np.array_equal(model.evaluate(x.astype(np.float64)), model.evaluate(x))
    assert np.allclose(model.transform(sparse), model.transform(x))
    assert np.isclose(model.score(batch_of(sparse)), model.score(batch_of(x)), rtol=1e-5)


def test_a_weighted_score() -> None:
    model, x = made()
    weights = np.random.default_rng(1).random(len(x)).astype(np.float32)
    squares = np.square(model.transform(x).min(axis=1))
    batch = Batch(5, dense=x, weights=weights)
    assert np.isclose(model.score(batch, "ssd"), squares @ weights, rtol=1e-5)
    assert np.isclose(model.score(batch, "msd"), squares @ weights / weights.sum(), rtol=1e-5)


@pytest.mark.parametrize("far", [0.0, 100.0])
def test_onnxruntime_gives_the_same_answers(far) -> None:
    runtime = pytest.importorskip("onnxruntime")
    model, x = made(far)
    session = runtime.InferenceSession(onnx_bytes(model.graph()), providers=["CPUExecutionProvider"])
    label, distances = session.run(["label", "distances"], {"X": x})
    assert label.dtype == np.int64 and np.array_equal(label, model.evaluate(x))
    wanted = model.transform(x)
    assert np.abs(distances - wanted).max() < 1e-5 * wanted.max()


def test_what_is_wrong_is_named() -> None:
    model, x = made()
    with pytest.raises(Misuse, match="features"):
        model.evaluate(x[:, :4])
    with pytest.raises(Misuse, match="features"):
        model.transform(x[:, :4])
    with pytest.raises(Misuse, match="msd"):
        model.score(batch_of(x), "mds")


def test_rows_are_shifted_without_loss() -> None:
    """A shift of float32 off rows of float32 is exact where both are near."""
    x = (np.random.default_rng(0).random((50, 3)) + 4096).astype(np.float32)
    shift = x.mean(axis=0, dtype=np.float64).astype(np.float32).astype(np.float64)
    assert np.array_equal(shifted(batch_of(x), shift), (x.astype(np.float64) - shift).astype(np.float32))
    sparse = shifted(batch_of(csr_matrix(x)), shift)
    assert np.array_equal(sparse, shifted(batch_of(x), shift))
    kept = shifted(batch_of(csr_matrix(x)), np.zeros(3), move=False)
    assert hasattr(kept, "tocsr") and np.array_equal(kept.toarray(), x)
