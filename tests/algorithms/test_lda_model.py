"""A topic model opens with numpy alone, says the same through onnxruntime, and scores by completion."""

import numpy as np
import onnxruntime
import pytest
from scipy.sparse import csr_matrix

from tradewind.algorithms.lda.inference import deal
from tradewind.algorithms.lda.model import TopicModel
from tradewind.data.onnx_files import onnx_bytes
from tradewind.errors import Misuse


def model(topics: int = 3, words: int = 12) -> TopicModel:
    chance = np.random.default_rng(2)
    return TopicModel(chance.dirichlet(np.full(words, 0.2), topics) + 1e-5, chance.uniform(0.05, 0.4, topics))


def documents(rows: int = 30, words: int = 12):
    rows = np.random.default_rng(3).poisson(0.8, (rows, words)).astype(np.float32)
    rows[4] = 0
    return rows


def by_numpy(arrays, header, x):
    """As the header's formula says it."""
    words = arrays["topic_words"].astype(float)
    found = arrays["alpha"] + x.sum(axis=1, keepdims=True) / header["topics"]
    for _ in range(header["sweeps"]):
        found = arrays["alpha"] + found * ((x / (found @ words)) @ words.T)
    return found / found.sum(axis=1, keepdims=True)


def test_numpy_alone_opens_it():
    made = model()
    found = by_numpy(made.arrays(), made.header(), documents())
    assert np.abs(made.evaluate(documents()) - found).max() < 1e-5
    assert np.array_equal(made.evaluate(documents()), made.evaluate(csr_matrix(documents())))
    assert np.allclose(made.evaluate(documents())[4], made.alpha / made.alpha.sum())


def test_it_opens_again():
    made = model()
    opened = TopicModel.of(made.arrays(), made.header())
    assert np.array_equal(opened.evaluate(documents()), made.evaluate(documents()))
    assert opened.header() == made.header()
    with pytest.raises(Misuse, match="sweeps"):
        TopicModel.of(made.arrays(), {**made.header(), "sweeps": 3})


@pytest.mark.parametrize("topics", [1, 6])
def test_onnxruntime_says_the_same(topics):
    made = model(topics)
    session = onnxruntime.InferenceSession(onnx_bytes(made.graph()), providers=["CPUExecutionProvider"])
    found = session.run(None, {"X": documents()})[0]
    assert found.shape == (30, topics) and np.abs(found - made.evaluate(documents())).max() < 1e-5


def test_perplexity_is_that_of_the_hidden_halves():
    made, rows = model(), csr_matrix(documents())
    known, hidden = np.empty_like(rows.data), np.empty_like(rows.data)
    deal(rows.indptr.astype(np.int64), rows.indices, rows.data, known, hidden)
    halves = [csr_matrix((each, rows.indices, rows.indptr), rows.shape).toarray() for each in (known, hidden)]
    p = by_numpy(made.arrays(), made.header(), halves[0]) @ made.topic_words.astype(float)
    mean = (halves[1] * np.log(p)).sum() / halves[1].sum()
    assert made.score(rows) == pytest.approx(np.exp(-mean), rel=1e-5)
    assert made.score(rows, "log_likelihood") == pytest.approx(mean, rel=1e-5)


def test_the_truth_is_less_perplexed_than_an_even_guess():
    chance, made = np.random.default_rng(5), model(4, 40)
    mixtures = chance.dirichlet(np.full(4, 0.2), 100)
    rows = np.stack([chance.multinomial(60, each / each.sum()) for each in mixtures @ made.topic_words])
    even = TopicModel(np.full((4, 40), 1 / 40), made.alpha)
    assert even.score(rows) == pytest.approx(40, rel=1e-4)
    assert made.score(rows) < 0.8 * 40


def test_what_cannot_be_scored_is_told():
    with pytest.raises(Misuse, match="second word"):
        model().score(np.zeros((3, 12)))
    with pytest.raises(Misuse, match="no metric"):
        model().score(documents(), "perplexty")
    with pytest.raises(Misuse, match="vocabulary has 12"):
        model().evaluate(documents(words=11))
