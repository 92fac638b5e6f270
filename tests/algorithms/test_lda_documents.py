"""Counts on their way in: the same from dense and sparse rows, and told where they are wrong."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.lda.documents import documents_of
from tradewind.errors import Misuse

ROWS = np.array([[0, 2, 1], [0, 0, 0], [3, 0, 0.5]], np.float32)


@pytest.mark.parametrize("rows", [ROWS, ROWS.astype(float), csr_matrix(ROWS), batch_of(ROWS)])
def test_words_that_are_there(rows):
    indptr, indices, counts = documents_of(rows, 3, "test")
    assert indptr.tolist() == [0, 2, 2, 4] and indices.tolist() == [1, 2, 0, 2]
    assert counts.tolist() == [2, 1, 3, 0.5] and counts.dtype == np.float32


def test_weights_multiply_and_whole_numbers_do():
    _, _, counts = documents_of(batch_of(csr_matrix(ROWS), weights=[2, 1, 0]), 3, "test")
    assert counts.tolist() == [4, 2, 0, 0]
    assert documents_of(np.array([[1, 0, 2]]), 3, "test")[2].tolist() == [1, 2]


def test_a_word_that_is_counted_in_two_places_is_one():
    split = Batch(
        3,
        indptr=np.array([0, 3]),
        indices=np.array([2, 0, 2], np.int32),
        values=np.array([1, 5, 2], np.float32),
    )
    _, indices, counts = documents_of(split, 3, "test")
    assert dict(zip(indices.tolist(), counts.tolist(), strict=True)) == {2: 3.0, 0: 5.0}
    assert split.values is not None and split.values.tolist() == [1, 5, 2]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (ROWS[:, :2], "the documents have 2 words, the vocabulary has 3"),
        (np.array([[0, 0, 1], [0, -2.0, 0]]), "document 1 has word 1 -2 times"),
        (np.array([[0, np.nan, 1]]), "document 0 has word 1 nan times"),
        (csr_matrix(np.array([[0, 0, 0], [np.inf, 0, 0]])), "document 1 has word 0 inf times"),
        (np.array([["a", "b", "c"]]), "numbers"),
    ],
)
def test_what_is_wrong_is_told(rows, told):
    with pytest.raises(Misuse, match=told):
        documents_of(rows, 3, "test")


def test_a_column_beyond_the_vocabulary_is_told():
    batch = Batch(3, indptr=np.array([0, 1]), indices=np.array([7], np.int32), values=np.ones(1, np.float32))
    with pytest.raises(Misuse, match="outside of 0 to 2"):
        documents_of(batch, 3, "test")


def test_negative_weights_are_told():
    with pytest.raises(Misuse, match="weight"):
        documents_of(batch_of(ROWS, weights=[1, -1, 1]), 3, "test")
