"""The model of neural topics as a file and as ONNX."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.deep.neural_topics import NeuralTopics
from tradewind.algorithms.lda.inference import deal
from tradewind.data.onnx_files import onnx_bytes
from tradewind.errors import Misuse


def model(layers: int = 2, activation: str = "sigmoid", mixing: str = "gaussian") -> NeuralTopics:
    chance = np.random.default_rng(0)
    units = [9, 7, 5][: layers + 1]
    arrays = {}
    for i in range(layers):
        arrays[f"weight{i}"] = chance.normal(size=(units[i], units[i + 1]))
        arrays[f"bias{i}"] = chance.normal(size=units[i + 1])
    for name in ("mean", "spread"):
        arrays[f"{name}_weight"] = chance.normal(size=(units[-1], 3))
        arrays[f"{name}_bias"] = chance.normal(size=3)
    arrays |= {"topics": chance.normal(size=(3, 9)), "background": chance.normal(size=9)}
    return NeuralTopics(arrays, activation=activation, mixing=mixing, vocabulary=list("abcdefghi"))


COUNTS = np.random.default_rng(1).poisson(1.0, (30, 9)).astype(np.float32)
COUNTS[4] = 0


@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_onnx_gives_the_same_shares(layers, activation):
    found = model(layers, activation)
    session = onnxruntime.InferenceSession(onnx_bytes(found.graph()))
    (answer,) = session.run(None, {"X": COUNTS})
    assert answer == pytest.approx(found.evaluate(COUNTS), abs=1e-5)


def test_it_comes_back_from_its_arrays_and_header():
    first = model()
    second = NeuralTopics.of(first.arrays(), first.header())
    assert second.evaluate(COUNTS).tobytes() == first.evaluate(COUNTS).tobytes()
    assert second.top_words(3) == first.top_words(3) and second.header() == first.header()


def test_what_does_not_belong_together_is_told():
    arrays, header = model().arrays(), model().header()
    with pytest.raises(Misuse, match="arrays"):
        NeuralTopics.of({name: each for name, each in arrays.items() if name != "bias1"}, header)
    with pytest.raises(Misuse, match="'relu'"):
        NeuralTopics.of(arrays, {**header, "activation": "rlu"})
    with pytest.raises(Misuse, match="metric"):
        model().score(None, "accuracy")  # type: ignore[arg-type]


def test_sparse_and_dense_rows_are_the_same():
    found = model()
    sparse = csr_matrix(COUNTS)
    assert found.evaluate(sparse) == pytest.approx(found.evaluate(COUNTS), abs=1e-6)
    assert found.words(sparse, steps=5) == pytest.approx(found.words(COUNTS, steps=5), abs=1e-5)


@pytest.mark.parametrize("mixing", ["gaussian", "softmax"])
def test_a_step_uphill_goes_along_the_slope(mixing):
    found = model(mixing=mixing)
    z = np.random.default_rng(2).normal(size=(30, 3)).astype(np.float32)

    def height(z):
        return (COUNTS * found._log_words(z)).sum(axis=1).astype(float) - 0.5 * (z * z).sum(axis=1)

    step = found._refined(COUNTS, z, 1) - z
    for j in range(3):
        ahead = z.copy()
        ahead[:, j] += 1e-2
        behind = z.copy()
        behind[:, j] -= 1e-2
        slope = (height(ahead) - height(behind)) / 2e-2
        clear = np.abs(slope) > 0.05
        # Adam's first step is the rate, with the slope's sign
        assert np.allclose(step[clear, j], 0.1 * np.sign(slope[clear]), atol=1e-4)


@pytest.mark.parametrize("steps", [0, 5])
def test_completion_is_of_the_halves_that_lda_deals(steps):
    found, rows = model(), csr_matrix(COUNTS)
    known, hidden = np.empty_like(rows.data), np.empty_like(rows.data)
    deal(rows.indptr.astype(np.int64), rows.indices, rows.data, known, hidden)
    halves = [csr_matrix((each, rows.indices, rows.indptr), rows.shape) for each in (known, hidden)]
    p = found.words(halves[0], steps=steps)
    expected = np.exp(-(halves[1].toarray() * np.log(p)).sum() / hidden.sum())
    for given in (COUNTS, rows, batch_of(rows)):
        assert found.completion(given, steps=steps) == pytest.approx(expected, rel=1e-5)
    assert found.score(batch_of(rows), "completion") == found.completion(rows)
    with pytest.raises(Misuse, match="second word"):
        found.score(batch_of(np.zeros((2, 9))), "completion")
    with pytest.raises(Misuse, match="Negative"):
        found.completion(-COUNTS)
