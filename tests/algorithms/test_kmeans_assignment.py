"""The nearest centre, whatever BLAS rounds to, and what is summed up by it."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tradewind.algorithms.kmeans.assignment import (
    loss_of,
    nearest,
    squared_distances,
    sums_by_label,
    two_nearest,
)


def gaps(rows, places):
    """All squared distances in float64, from the differences."""
    return np.square(np.asarray(rows, np.float64)[:, None] - np.asarray(places, np.float64)).sum(axis=2)


def blobs(rows=700, features=11, count=37, far=0.0, seed=0):
    chance = np.random.default_rng(seed)
    x = (chance.normal(size=(rows, features)) + far).astype(np.float32)
    return x, x[chance.choice(rows, count, replace=False)] + np.float32(0.01)


@pytest.mark.parametrize("far", [0.0, 30.0, 3000.0])
@pytest.mark.parametrize("count", [1, 2, 37])
def test_it_is_the_argmin_of_float64(far, count) -> None:
    """Also where the rows are so far from the origin that float32 alone could not tell."""
    x, places = blobs(far=far, count=count)
    assert np.array_equal(nearest(x, places), gaps(x, places).argmin(axis=1))


@pytest.mark.parametrize("far", [0.0, 30.0])
def test_sparse_rows_have_the_labels_of_dense_ones(far) -> None:
    x, places = blobs(far=far)
    x[np.random.default_rng(1).random(x.shape) < 0.7] = 0
    assert np.array_equal(nearest(csr_matrix(x), places), nearest(x, places))


def test_equally_near_the_first_wins() -> None:
    """Ties on a grid, and centres that are the same."""
    x = np.array([[i, j] for i in range(9) for j in range(9)], np.float32)
    places = np.array([[2, 2], [2, 6], [6, 2], [6, 6], [2, 2]], np.float32)
    wanted = gaps(x, places).argmin(axis=1)
    assert (np.sort(gaps(x, places), axis=1)[:, 0] == np.sort(gaps(x, places), axis=1)[:, 1]).sum() > 20
    assert np.array_equal(nearest(x, places), wanted)
    assert np.array_equal(nearest(csr_matrix(x), places), wanted)


def test_scores_that_are_off_by_less_than_the_bound_change_no_label(monkeypatch) -> None:
    """Another BLAS may round every product otherwise, by up to d roundings of |x| |c|."""
    x, places = blobs(far=30.0)
    wanted, exact = nearest(x, places), np.dot
    worst = x.shape[1] * 2.0**-24 * np.linalg.norm(x, axis=1).min() * np.linalg.norm(places, axis=1).min()
    chance = np.random.default_rng(2)

    def otherwise(a, b, out):
        exact(a, b, out=out)
        out += (chance.uniform(-1, 1, out.shape) * worst).astype(np.float32)
        return out

    blunt = (x @ places.T + chance.uniform(-1, 1, (len(x), len(places))) * worst).astype(np.float32)
    half = np.einsum("ij,ij->i", places, places) / 2
    assert (np.argmax(blunt - half, axis=1) != wanted).any(), "the noise would change labels by itself"
    monkeypatch.setattr(np, "dot", otherwise)
    assert np.array_equal(nearest(x, places), wanted)


def test_a_row_has_one_label_in_whatever_company() -> None:
    x, places = blobs(rows=3000, far=30.0)
    whole = nearest(x, places)
    assert np.array_equal(np.concatenate([nearest(x[i : i + 7], places) for i in range(0, 3000, 7)]), whole)
    assert len(nearest(x[:0], places)) == 0


def test_sums_and_loss_are_those_of_the_rows() -> None:
    x, places = blobs()
    x[np.random.default_rng(1).random(x.shape) < 0.5] = 0
    weights = np.random.default_rng(3).random(len(x))
    labels = nearest(x, places)
    for rows in (x, csr_matrix(x)):
        sums, squares = sums_by_label(rows, labels, weights, len(places))
        for c in range(len(places)):
            mine = labels == c
            assert np.allclose(sums[c, :-1], (weights[mine, None] * x[mine]).sum(axis=0))
            assert np.isclose(sums[c, -1], weights[mine].sum())
        apart = squared_distances(rows, places, labels)
        assert np.allclose(apart, gaps(x, places).min(axis=1), atol=1e-6)
        assert np.isclose(loss_of(sums, squares, places), apart @ weights)


def test_the_next_nearest() -> None:
    x, places = blobs()
    labels, first, second = two_nearest(x, places)
    wanted = np.sort(gaps(x, places), axis=1)
    assert np.array_equal(labels, gaps(x, places).argmin(axis=1))
    assert np.allclose(first, wanted[:, 0]) and np.allclose(second, wanted[:, 1])
