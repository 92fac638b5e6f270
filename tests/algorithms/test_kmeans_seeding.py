"""Where centres begin."""

import numpy as np
import pytest

from tradewind.algorithms.kmeans.assignment import nearest, squared_distances
from tradewind.algorithms.kmeans.seeding import METHODS, parallel, plus_plus, seeds

WAYS = pytest.mark.parametrize("method", METHODS)


def clusters(count=20, rows=600, seed=0):
    chance = np.random.default_rng(seed)
    places = chance.normal(size=(count, 5)) * 30
    return (places[np.arange(rows) % count] + chance.normal(size=(rows, 5)) * 0.1).astype(np.float32)


def loss(rows, places):
    return squared_distances(rows, places, nearest(rows, places)).sum()


@WAYS
def test_seeds_are_distinct_rows_and_the_same_again(method) -> None:
    x = clusters()
    found = seeds(method, x, np.ones(len(x)), 30, np.random.default_rng(1))
    assert found.shape == (30, 5) and len(np.unique(found, axis=0)) == 30
    assert (found[:, None] == x).all(axis=2).any(axis=1).all()
    assert np.array_equal(found, seeds(method, x, np.ones(len(x)), 30, np.random.default_rng(1)))


@WAYS
def test_fewer_distinct_rows_give_fewer_seeds(method) -> None:
    x = np.repeat(np.arange(12, dtype=np.float32).reshape(4, 3), 9, axis=0)
    found = seeds(method, x, np.ones(len(x)), 7, np.random.default_rng(1))
    assert np.array_equal(np.unique(found, axis=0), np.unique(x, axis=0))


@WAYS
def test_rows_that_weigh_nothing_are_not_chosen(method) -> None:
    x = clusters()
    weights = (np.arange(len(x)) % 20 < 3).astype(float)
    for turn in range(5):
        found = seeds(method, x, weights, 3, np.random.default_rng(turn))
        assert (found[:, None] == x[weights > 0]).all(axis=2).any(axis=1).all()


@pytest.mark.parametrize("way", [plus_plus, parallel])
def test_far_clusters_each_get_one(way) -> None:
    """Where 20 clusters are far apart, both ways find nearly all; drawn blindly, a third is missed."""
    x, one = clusters(), np.ones(600)
    found = [len(np.unique(way(x, one, 20, np.random.default_rng(turn)) % 20)) for turn in range(10)]
    blind = [len(np.unique(np.random.default_rng(turn).choice(600, 20) % 20)) for turn in range(10)]
    assert min(found) >= 18 > max(blind)


def test_greedy_choice_is_better_on_the_average() -> None:
    x = np.random.default_rng(4).normal(size=(800, 6)).astype(np.float32)
    one = np.ones(len(x))
    plain, greedy = (
        np.mean([loss(x, x[plus_plus(x, one, 25, np.random.default_rng(turn), tries)]) for turn in range(10)])
        for tries in (1, 5)
    )
    assert greedy < 0.97 * plain


def test_chances_are_in_proportion_to_weight_and_squared_distance() -> None:
    """The second of two seeds, where the first is known."""
    x = np.array([[0.0], [1.0], [2.0], [3.0]], np.float32)
    weights = np.array([1e9, 9.0, 4.5, 1.0])  # the first is chosen first
    pull = weights[1:] * [1, 4, 9]
    chance = np.random.default_rng(0)
    seconds = [plus_plus(x, weights, 2, chance) for _ in range(4000)]
    assert all(each[0] == 0 for each in seconds)
    counts = np.bincount([each[1] for each in seconds], minlength=4)[1:]
    assert np.allclose(counts / 4000, pull / pull.sum(), atol=0.03)
