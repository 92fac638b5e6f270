"""The order of an epoch: every row once, another order each epoch, the same again."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.shuffling import shuffled

ROWS = np.arange(60, dtype=np.float32).reshape(20, 3)


@pytest.mark.parametrize("sparse", [False, True])
def test_every_row_comes_once_with_its_label_and_weight(sparse) -> None:
    batch = batch_of(csr_matrix(ROWS) if sparse else ROWS, np.arange(20), np.arange(20) / 2)
    found = shuffled(batch, 3, 0)
    matrix = found.matrix().toarray() if sparse else found.matrix()
    assert found.sparse == sparse and found.labels is not None and found.weights is not None
    assert sorted(found.labels.tolist()) == list(range(20)) != found.labels.tolist()
    assert np.array_equal(matrix, ROWS[found.labels])
    assert np.array_equal(found.weights, found.labels / 2)


def test_rows_without_labels_stay_without() -> None:
    found = shuffled(batch_of(ROWS), 3, 0)
    assert found.labels is None and found.weights is None and len(found) == 20
    assert len(shuffled(batch_of(ROWS[:0]), 3, 0)) == 0


def test_the_order_belongs_to_the_seed_and_the_epoch() -> None:
    batch = batch_of(ROWS, np.arange(20))
    orders = {
        (seed, epoch): tuple(np.asarray(shuffled(batch, seed, epoch).labels).tolist())
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len(set(orders.values())) == 4
    assert tuple(np.asarray(shuffled(batch, 1, 1).labels).tolist()) == orders[1, 1]
    assert [shuffled(batch, 0, epoch).epoch for epoch in (0, 3)] == [0, 3]


def test_every_order_is_as_likely_as_another() -> None:
    """Where the first of four rows goes, over 2000 epochs: five deviations allowed."""
    batch = batch_of(ROWS[:4], np.arange(4))
    places = [np.asarray(shuffled(batch, 0, epoch).labels).tolist().index(0) for epoch in range(2000)]
    assert np.abs(np.bincount(places, minlength=4) - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75)
