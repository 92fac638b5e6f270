"""Centres that begin anew."""

import numpy as np
from scipy.sparse import csr_matrix

from tradewind.algorithms.kmeans.assignment import nearest
from tradewind.algorithms.kmeans.reseeding import Tally, far_rows, heirs, idle


def tally(counts, born=None, since=0.0, seen=1000.0):
    count = len(counts)
    places = np.arange(count, dtype=np.float32)[:, None] * 10
    return Tally(
        places, np.ones(count, bool) if born is None else np.array(born), np.full(count, since),
        np.array(counts, float), seen,
    )  # fmt: skip


def test_a_centre_is_idle_that_counts_too_little_or_never_began() -> None:
    few = tally([100, 100, 1, 100])
    assert idle(few, 0.05, 0, 1).tolist() == [2]
    assert idle(few, 0.001, 0, 1).tolist() == []
    assert idle(tally([100, 0, 100, 100], born=[1, 0, 1, 1]), 0.0, 0, 1).tolist() == [1]
    assert idle(tally([100, 100, 1, 100], since=990.0), 0.05, 0, 1).tolist() == []


def test_each_worker_sees_to_its_own() -> None:
    few = tally([100, 0, 0, 0, 0, 100, 100])
    found = [idle(few, 0.05, worker, 3).tolist() for worker in range(3)]
    assert found == [[3], [1, 4], [2]]


def test_rows_are_drawn_far_from_the_centres_and_each_other() -> None:
    x = np.array([[0.0], [10.0], [0.0], [500.0], [501.0], [900.0]], np.float32)
    state = tally([5, 5])
    for rows in (x, csr_matrix(x)):
        labels = nearest(rows, state.places)
        for seed in range(20):
            found = far_rows(rows, np.ones(6), state, labels, 2, np.random.default_rng(seed))
            assert set(found.tolist()) in ({3, 5}, {4, 5}), "one of the two that are near each other"
        every = far_rows(rows, np.ones(6), state, labels, 6, np.random.default_rng(0))
        assert sorted(every.tolist()) == [3, 4, 5], "not a row where a centre is"
        light = far_rows(rows, (x[:, 0] != 900).astype(float), state, labels, 6, np.random.default_rng(0))
        assert sorted(light.tolist()) == [3, 4]


def test_who_inherits() -> None:
    assert heirs(tally([1, 1, 1, 1]), np.array([1, 3])).tolist() == [0, 2]
    assert heirs(tally([1, 1], born=[1, 0]), np.array([0])).tolist() == [-1]
