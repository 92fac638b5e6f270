"""From a summary to k centres."""

import numpy as np
import pytest
from sklearn.cluster import KMeans as Plain

from tradewind.algorithms.kmeans.assignment import nearest, squared_distances, sums_by_label
from tradewind.algorithms.kmeans.solving import Start, Summary, lloyd, solved, stratified, swapped

START = Start("k-means++", 10, 300, 1e-4)


def mixture(rows=3000, clusters=12, features=4, seed=0, spread=1.0):
    chance = np.random.default_rng(seed)
    places = chance.normal(size=(clusters, features)) * 8
    of = chance.integers(clusters, size=rows)
    return (places[of] + chance.normal(size=(rows, features)) * spread).astype(np.float32), places


def loss(rows, places):
    places = np.asarray(places, np.float32)
    return squared_distances(rows, places, nearest(rows, places)).sum()


def summary_of(x, centres, kept=0, seed=1):
    """What a pass over `x` with fixed centres would know."""
    sums, _ = sums_by_label(x, nearest(x, centres), np.ones(len(x)), len(centres))
    live = sums[:, -1] > 0
    means = (sums[live, :-1] / sums[live, -1:]).astype(np.float32)
    rows = x[np.random.default_rng(seed).choice(len(x), kept, replace=False)]
    return Summary(means, sums[live, -1], rows, np.full(kept, len(x) / max(kept, 1)), kept == len(x))


def test_lloyd_does_what_scikit_learns_does() -> None:
    x, _ = mixture()
    first = x[:12].copy()
    ours, labels, found = lloyd(x, np.ones(len(x)), first, 300, 0.0)
    theirs = Plain(12, init=first, n_init=1, tol=0, max_iter=300, algorithm="lloyd").fit(x)
    assert np.allclose(ours, theirs.cluster_centers_, atol=1e-3)
    assert np.isclose(found, theirs.inertia_, rtol=1e-5)
    assert np.array_equal(labels, nearest(x, ours))


def test_weights_are_repetitions() -> None:
    x, _ = mixture(rows=200)
    weights = np.random.default_rng(2).integers(0, 4, len(x))
    ours = lloyd(x, weights.astype(float), x[:5].copy(), 20, 0.0)
    theirs = lloyd(np.repeat(x, weights, axis=0), np.ones(weights.sum()), x[:5].copy(), 20, 0.0)
    assert np.allclose(ours[0], theirs[0], atol=1e-4) and np.isclose(ours[2], theirs[2], rtol=1e-6)


def test_a_centre_without_rows_goes_where_a_row_is_far() -> None:
    x = np.array([[0.0], [1.0], [10.0], [11.0]], np.float32)
    places, labels, found = lloyd(x, np.ones(4), np.array([[5.0], [99.0], [98.0]], np.float32), 50, 0.0)
    assert len(np.unique(labels)) == 3 and found == 0.5 and len(np.unique(places)) == 3


def test_counts_matter() -> None:
    """Two heavy centres and one light: with two clusters the heavy ones keep theirs."""
    summary = Summary(np.array([[0.0], [3.0], [4.0]], np.float32), np.array([1000.0, 1000.0, 1.0]),
                      np.empty((0, 1), np.float32), np.empty(0), False)  # fmt: skip
    places, weights = solved(summary, 2, START, np.random.default_rng(0))
    assert np.allclose(np.sort(places[:, 0]), [0.0, 3004 / 1001], atol=1e-5)
    assert sorted(weights.tolist()) == [1000.0, 1001.0]


@pytest.mark.parametrize("kept", [0, 300, 3000])
@pytest.mark.parametrize("k", [1, 3, 12, 30])
def test_the_solution_is_near_that_of_all_rows(kept, k) -> None:
    """Of 60 centres, of these and 300 rows, of all rows; the more is known the nearer."""
    x, _ = mixture()
    summary = summary_of(
        x, Plain(60, n_init=1, random_state=0).fit(x).cluster_centers_.astype(np.float32), kept
    )
    places, weights = solved(summary, k, START, np.random.default_rng(0))
    assert places.shape == (k, 4) and np.isclose(weights.sum(), len(x))
    reference = Plain(k, n_init=5, random_state=0).fit(x).inertia_
    assert loss(x, places) <= reference * {0: 1.12, 300: 1.08, 3000: 1.02}[kept]


def test_strata_have_the_means_and_counts_of_all_rows() -> None:
    """Also those of which no row was kept."""
    x, _ = mixture()
    summary = summary_of(x, x[:50].copy(), 120)
    rows, weights = stratified(summary)
    labels = nearest(summary.rows, summary.centres)
    without = np.setdiff1d(np.arange(len(summary.centres)), labels).astype(np.int32)
    assert len(without) and len(rows) == len(weights) == 120 + len(without)
    sums, _ = sums_by_label(rows, np.concatenate([labels, without]), weights, len(summary.centres))
    assert np.allclose(sums[:, -1], summary.counts)
    assert np.allclose(sums[:, :-1] / sums[:, -1:], summary.centres, atol=1e-4)


def test_strata_make_better_centres_than_the_sample_alone() -> None:
    """The loss over that of the same iterations on all rows, averaged over ten samples."""
    x, truth = mixture(rows=20_000, spread=2.0)
    first = truth.astype(np.float32)
    best = lloyd(x, np.ones(len(x)), first, 300, 0.0)[2]
    plain, better = [], []
    for seed in range(10):
        summary = summary_of(x, x[:60].copy(), 400, seed)
        plain.append(loss(x, lloyd(summary.rows, summary.weights, first, 300, 0.0)[0]) / best - 1)
        better.append(loss(x, lloyd(*stratified(summary), first, 300, 0.0)[0]) / best - 1)
    assert np.mean(better) < 0.7 * np.mean(plain)


def test_a_centre_that_is_missed_little_moves_to_where_two_clusters_share_one() -> None:
    chance = np.random.default_rng(0)
    truth = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0], [3.0, 20.0]])
    x = np.concatenate([t + chance.normal(size=(100, 2)) * 0.3 for t in truth]).astype(np.float32)
    places = np.array([[-0.2, 0.0], [0.2, 0.0], [20.0, 0.0], [1.5, 20.0]], np.float32)
    stuck = lloyd(x, np.ones(400), places, 300, 0.0)
    moved = swapped(x, np.ones(400), stuck[0])
    assert moved is not None
    freed = lloyd(x, np.ones(400), moved, 300, 0.0)
    assert freed[2] < 0.3 * stuck[2]
    assert np.allclose(np.sort(freed[0], axis=0), np.sort(truth, axis=0), atol=0.15)
    assert swapped(x, np.ones(400), freed[0]) is None


def test_how_many_clusters_can_be_told_apart() -> None:
    x = np.repeat(np.arange(6, dtype=np.float32)[:, None], 5, axis=0)
    summary = Summary(x[:15], np.ones(15), x, np.ones(30), True)
    assert summary.most(3) == 3 and summary.most(4) == 6
    places, weights = solved(summary, 6, START, np.random.default_rng(0))
    assert sorted(places[:, 0].tolist()) == [0, 1, 2, 3, 4, 5] and weights.tolist() == [5.0] * 6
