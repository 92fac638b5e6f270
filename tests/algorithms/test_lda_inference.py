"""The inner loop, against the same steps in numpy; and how words are dealt into halves."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tradewind.algorithms.lda.inference import LANES, deal, infer, padded

F = np.float32


def drawn(documents: int = 40, words: int = 30, topics: int = 5, seed: int = 0):
    chance = np.random.default_rng(seed)
    counts = csr_matrix(chance.poisson(0.4, (documents, words)).astype(F))
    likely = np.zeros((words, padded(topics)), F)
    likely[:, :topics] = chance.dirichlet(np.full(words, 0.3), topics).T + 1e-4
    alpha = np.zeros(padded(topics), F)
    alpha[:topics] = chance.uniform(0.05, 0.5, topics)
    return counts, likely, alpha


def run(counts, likely, alpha, sweeps, tolerance=0.0, wanted=True):
    mixtures = np.empty((counts.shape[0], len(alpha)), F)
    given = np.zeros_like(likely) if wanted else np.empty((0, len(alpha)), F)
    losses = np.empty(counts.shape[0])
    infer(
        counts.indptr.astype(np.int64), counts.indices, counts.data, likely, alpha, sweeps, F(tolerance),
        mixtures, given, losses,
    )  # fmt: skip
    return mixtures, given, losses


@pytest.mark.parametrize("topics", [1, 4, 5, 9])
def test_it_is_what_numpy_finds(topics):
    counts, likely, alpha = drawn(topics=topics)
    x, a = counts.toarray().astype(float), likely[:, :topics].astype(float)
    prior = alpha[:topics].astype(float)
    mixture = prior + x.sum(axis=1, keepdims=True) / topics
    for _ in range(7):
        mixture = prior + mixture * ((x / (mixture @ a.T)) @ a)
    p = mixture @ a.T
    mixtures, given, losses = run(counts, likely, alpha, 7)
    assert np.allclose(mixtures[:, :topics], mixture, rtol=1e-4, atol=1e-5)
    assert np.allclose(given[:, :topics], ((x / p).T @ mixture) * a, rtol=1e-3, atol=1e-4)
    assert not mixtures[:, topics:].any() and not given[:, topics:].any()
    length = np.maximum(x.sum(axis=1), 1)
    assert np.allclose(losses, -(x * np.log(p / mixture.sum(axis=1, keepdims=True))).sum(axis=1) / length)


def test_what_topics_gave_is_what_documents_hold():
    counts, likely, alpha = drawn()
    _, given, _ = run(counts, likely, alpha, 3)
    assert np.allclose(given.sum(axis=1), np.asarray(counts.sum(axis=0)).ravel(), rtol=1e-4)


def test_sweeps_only_make_documents_more_likely():
    counts, likely, alpha = drawn()
    means = [run(counts, likely, alpha * F(1e-3), sweeps)[2].mean() for sweeps in (1, 2, 5, 20, 80)]
    assert all(later < earlier + 1e-7 for earlier, later in pairwise(means))
    assert means[-1] < means[0] - 0.05


def test_a_tolerance_ends_sooner_and_near():
    counts, likely, alpha = drawn()
    whole, soon = run(counts, likely, alpha, 200)[0], run(counts, likely, alpha, 200, 1e-3)[0]
    assert not np.array_equal(whole, soon)
    assert np.abs(whole - soon).sum(axis=1).max() < 0.05 * counts.sum(axis=1).max()


def test_an_empty_document_has_its_prior_and_no_loss():
    counts, likely, alpha = drawn()
    counts = csr_matrix(np.vstack([counts.toarray()[:3], np.zeros((2, 30), F)]))
    mixtures, _, losses = run(counts, likely, alpha, 5, wanted=False)
    assert np.array_equal(mixtures[3:], np.stack([alpha, alpha])) and not losses[3:].any()
    assert len(alpha) % LANES == 0


def dealt(rows):
    counts = csr_matrix(np.asarray(rows, F))
    known, hidden = np.empty_like(counts.data), np.empty_like(counts.data)
    deal(counts.indptr.astype(np.int64), counts.indices, counts.data, known, hidden)
    return [
        csr_matrix((each, counts.indices, counts.indptr), counts.shape).toarray() for each in (known, hidden)
    ]


def test_every_word_is_dealt_to_one_half():
    rows = np.random.default_rng(1).poisson(1.0, (300, 40)).astype(F)
    known, hidden = dealt(rows)
    assert np.array_equal(known + hidden, rows) and (known % 1 == 0).all()
    assert abs(known.sum() / rows.sum() - 0.5) < 0.02
    assert abs(known[rows == 1].mean() - 0.5) < 0.03
    # a word that is there twice is in both halves half of the time
    assert abs((known[rows == 2] == 1).mean() - 0.5) < 0.05
    assert (np.abs(known.sum(axis=0) / rows.sum(axis=0) - 0.5) < 0.15).all(), "no word is always hidden"


def test_a_document_is_dealt_the_same_wherever_it_stands():
    rows = np.random.default_rng(1).poisson(1.0, (20, 40)).astype(F)
    assert np.array_equal(dealt(rows)[0][::-1], dealt(rows[::-1])[0])


def test_large_and_broken_counts_are_dealt_in_full():
    rows = [[1e9, 0.25, 5000.5, 2.5]]
    known, hidden = dealt(rows)
    assert np.allclose(known + hidden, rows, rtol=1e-6)
    assert abs(known[0, 0] / 1e9 - 0.5) < 1e-3 and min(known[0, 2], hidden[0, 2]) > 2300
