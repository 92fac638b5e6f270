"""k-means with scikit-learn's face."""

import doctest
import functools
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.cluster import KMeans as Plain
from sklearn.cluster import MiniBatchKMeans
from sklearn.exceptions import SkipTestWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.k_means import KMeans, KMeansModel
from tradewind.algorithms.kmeans import learner
from tradewind.algorithms.local_state import LocalState
from tradewind.errors import Misuse


def mixture(rows=4000, clusters=15, features=8, seed=0):
    chance = np.random.default_rng(seed)
    places = chance.normal(size=(clusters, features)) * 4
    return (places[chance.integers(clusters, size=rows)] + chance.normal(size=(rows, features))).astype(
        np.float32
    )


@functools.cache
def full(rows, k):
    """The inertia of a full KMeans of scikit-learn, the best of two starts, on a mixture."""
    return Plain(k, n_init=2, random_state=0).fit(mixture(rows)).inertia_


@pytest.mark.parametrize("estimator", [KMeans(), KMeans(3, k_max=5, reservoir=0)], ids=str)
def test_scikit_learn_finds_nothing_to_complain_of(estimator) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(estimator, on_fail=None)
    failed = {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"}
    assert not failed
    assert len(results) == len(list(estimator_checks_generator(estimator))) >= 50


def test_the_example_in_its_docstring() -> None:
    assert doctest.testmod(learner).failed == 0


@pytest.mark.parametrize("k", [1, 8, 15, 40])
@pytest.mark.parametrize("init", ["random", "k-means++", "k-means||"])
def test_one_pass_is_within_three_percent_of_full_k_means(k, init) -> None:
    """Of 12,000 rows, of which it keeps 1,000 to 4,000."""
    x = mixture(rows=12_000)
    found = KMeans(k, init_method=init).fit(x)
    assert found.inertia_ <= 1.03 * full(12_000, k)
    assert np.isclose(found.inertia_, -found.score(x), rtol=1e-9)


def test_one_pass_is_no_worse_than_mini_batches() -> None:
    x = mixture(rows=20_000, clusters=60)
    ours = np.mean([KMeans(30, seed=seed).fit(x).inertia_ for seed in range(3)])
    theirs = np.mean([
        MiniBatchKMeans(30, max_iter=1, max_no_improvement=None, n_init=1, random_state=seed).fit(x).inertia_
        for seed in range(3)
    ])  # fmt: skip
    assert ours <= 1.01 * theirs


def test_few_rows_are_solved_as_all_rows_are() -> None:
    """As many as are kept: then there is nothing to be lost by one pass."""
    x = mixture(rows=900, clusters=5)
    best = Plain(5, n_init=10, random_state=0).fit(x).inertia_
    assert np.isclose(KMeans(5).fit(x).inertia_, best, rtol=1e-3)


def test_both_paths_agree() -> None:
    """`fit` begins from rows among all, the three functions from the first: within two percent here."""
    x = mixture(rows=12_000)
    state, algorithm, rows = LocalState(), KMeans(15), batch_of(x)
    algorithm.initialize(state, rows.rows(0, algorithm.sample_size))
    algorithm.update(
        state, state.draw(rows.rows(at, min(at + 500, len(rows))) for at in range(0, 12_000, 500)), False
    )
    assert np.isclose(algorithm.finalize(state).score(rows, "ssd"), KMeans(15).fit(x).inertia_, rtol=0.02)


def test_one_fit_answers_any_k() -> None:
    x = mixture()
    found = KMeans(3, k_max=30).fit(x)
    before = found.cluster_centers_.copy()
    for k in (1, 2, 10, 30):
        model = found.solve(k)
        assert isinstance(model, KMeansModel) and model.centres.shape == (k, 8)
        assert model.score(batch_of(x), "ssd") <= 1.04 * full(4000, k)
    assert np.array_equal(found.cluster_centers_, before) and len(before) == 3
    assert np.array_equal(found.solve(3).centres, before)
    with pytest.raises(Misuse, match="Give 30 or less"):
        found.solve(31)
    with pytest.raises(Misuse, match="'k'"):
        found.solve(-1)


def test_rows_far_from_the_origin() -> None:
    """Where squares in float32 would have no digits left for the differences."""
    x = mixture().astype(np.float64) + 1e6
    near = KMeans(15).fit(x - 1e6)
    far = KMeans(15).fit(x)
    assert np.isclose(far.inertia_, near.inertia_, rtol=0.02)
    assert np.array_equal(far.predict(x), far.labels_)


def test_sparse_rows() -> None:
    x = mixture()
    x[np.random.default_rng(0).random(x.shape) < 0.8] = 0
    found = KMeans(10).fit(csr_matrix(x))
    assert found.inertia_ <= 1.04 * Plain(10, n_init=3, random_state=0).fit(x).inertia_
    assert np.array_equal(found.predict(csr_matrix(x)), found.predict(x))
    assert np.allclose(found.transform(csr_matrix(x)), found.transform(x))


def test_labels_and_distances() -> None:
    x = mixture()
    found = KMeans(15, compute_labels=False).fit(x)
    assert not hasattr(found, "labels_") and not hasattr(found, "inertia_")
    distances = found.transform(x)
    assert np.array_equal(distances.argmin(axis=1), found.predict(x))
    assert np.array_equal(clone(found).fit_predict(x), found.predict(x))
    assert np.array_equal(KMeans(15).fit_predict(x), found.predict(x))
    assert found.get_feature_names_out().tolist() == [f"kmeans{i}" for i in range(15)]
    assert make_pipeline(StandardScaler(), KMeans(4)).fit_predict(x).max() == 3


def test_rows_that_come_in_parts() -> None:
    """Fewer than k at first; the model is made when it is asked for, and forgotten as rows come."""
    x = mixture()
    found = KMeans(15, reservoir=2000)
    for at in range(0, 4000, 10):
        found.partial_fit(x[at : at + 10])
    assert found.cluster_centers_.shape == (15, 8)
    assert -found.score(x) <= 1.05 * full(4000, 15)
    before = found.cluster_centers_.copy()
    found.partial_fit(x[:2000] + 50)
    assert not np.allclose(found.cluster_centers_, before)
    found.fit(x)
    found.partial_fit(x)
    assert not hasattr(found, "labels_"), "they were of other centres"


def test_the_same_rows_and_seed_give_the_same_centres() -> None:
    x = mixture()
    one, two, three = (KMeans(15, seed=seed).fit(x).cluster_centers_ for seed in (3, 3, 4))
    assert np.array_equal(one, two) and not np.array_equal(one, three)


@pytest.mark.parametrize(
    "wrong",
    [{"k": 0}, {"k": -2}, {"k": 1.5}, {"k_max": 0}, {"extra_center_factor": "many"}, {"seed": -1},
     {"extra_center_factor": 0}, {"init_method": "best"}, {"half_life_time_size": -1}, {"local_lloyd_tol": 2},
     {"reservoir": -1}, {"local_lloyd_num_trials": 0}, {"reseed_ratio": 2}, {"batch_size": 0}],
)  # fmt: skip
def test_arguments_that_cannot_be_meant(wrong) -> None:
    name = next(iter(wrong))
    with pytest.raises(InvalidParameterError, match=f"'{name}'"):
        KMeans(**wrong).fit(mixture(rows=50))
    with pytest.raises(Misuse, match=name) as told:
        KMeans(**wrong).check()
    assert (told.value.source, told.value.field) == ("KMeans", name)


def test_too_many_clusters() -> None:
    x = mixture(rows=50)
    with pytest.raises(ValueError, match="n_samples=50 is less than k=51"):
        KMeans(51).fit(x)
    with pytest.raises(Misuse, match="above k_max"):
        KMeans(6, k_max=5).fit(x)
    same = np.repeat(x[:4], 10, axis=0)
    with pytest.raises(Misuse, match="Give 4 or less"):
        KMeans(5).fit(same)
    assert np.allclose(np.unique(KMeans(4).fit(same).cluster_centers_, axis=0), np.unique(x[:4], axis=0))


def test_a_constant_column_and_one_row() -> None:
    x = mixture(rows=500)
    x[:, 2] = 7
    assert np.allclose(KMeans(6).fit(x).cluster_centers_[:, 2], 7)
    assert KMeans(1).fit(x[:1]).cluster_centers_.tolist() == x[:1].astype(np.float64).tolist()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("init", ["random", "k-means++", "k-means||"])
def test_one_column_and_rows_that_are_all_the_same(init, sparse) -> None:
    x = np.random.default_rng(0).normal(size=(300, 1)).astype(np.float32)
    same = np.full((9, 3), 2.0, np.float32)
    if sparse:
        x, same = csr_matrix(x), csr_matrix(same)
    best = Plain(3, n_init=5, random_state=0).fit(x).inertia_
    assert KMeans(3, init_method=init).fit(x).inertia_ <= 1.01 * best
    assert KMeans(1, init_method=init).fit(same).cluster_centers_.tolist() == [[2.0] * 3]
    with pytest.raises(Misuse, match=r"k = 2.*1 distinct places.*Give 1 or less"):
        KMeans(2, init_method=init).fit(same)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e30, 1e300])
def test_values_that_float32_cannot_square(wrong) -> None:
    x = mixture(rows=50).astype(np.float64)
    found = KMeans(3).fit(x)
    x[7, 2] = wrong
    with pytest.raises(Misuse, match="row 7 has a value that is missing, infinite, or too large"):
        found.model_.evaluate(x)
    with pytest.raises((ValueError, Misuse), match=r"NaN|infinity|too large to be squared"):
        KMeans(3).fit(x)
