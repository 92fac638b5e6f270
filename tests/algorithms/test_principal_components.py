"""Principal components with scikit-learn's face: its conventions, exact answers, honest estimates."""

import doctest
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse import random as random_rows
from sklearn.decomposition import PCA as Peer
from sklearn.exceptions import ConvergenceWarning, SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

from tradewind.algorithms.pca import learner as module
from tradewind.algorithms.principal_components import PCA

SPECTRA = {".9": 0.9 ** np.arange(150), ".99": 0.99 ** np.arange(150), "1/i": 1 / np.sqrt(1 + np.arange(150))}


def rows(n=600, d=20, base=0.8, seed=0, far=5.0):
    chance = np.random.default_rng(seed)
    turn = np.linalg.qr(chance.normal(size=(d, d)))[0]
    return (chance.normal(size=(n, d)) * base ** np.arange(d)) @ turn + far * chance.normal(size=d)


@pytest.mark.parametrize(
    "estimator",
    [PCA(), PCA(mode="randomized"), PCA(1, mode="randomized", passes=3, whiten=True)],
    ids=str,
)
def test_scikit_learn_finds_nothing_to_complain_of(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(estimator, on_fail=None)
    failed = {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"}
    assert not failed
    assert len(results) == len(list(estimator_checks_generator(estimator))) >= 45


def test_the_example_in_its_docstring():
    assert doctest.testmod(module) == (0, 2)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("whiten", [True, False])
def test_regular_mode_is_exact(whiten, dtype):
    X = rows().astype(dtype)
    ours = PCA(5, whiten=whiten, batch_size=70).fit(X)
    peer = Peer(5, whiten=whiten, svd_solver="full").fit(X.astype(np.float64))
    assert ours.components_ == pytest.approx(peer.components_, abs=1e-5 if dtype == np.float32 else 1e-9)
    assert ours.explained_variance_ == pytest.approx(peer.explained_variance_, rel=1e-5)
    assert ours.explained_variance_ratio_ == pytest.approx(peer.explained_variance_ratio_, rel=1e-5)
    assert ours.transform(X) == pytest.approx(peer.transform(X), abs=2e-4 if dtype == np.float32 else 1e-9)
    back = ours.inverse_transform(ours.transform(X))
    assert back == pytest.approx(peer.inverse_transform(peer.transform(X)), abs=1e-3)
    assert ours.variance_captured_ == pytest.approx(peer.explained_variance_ratio_.sum(), rel=1e-6)
    assert ours.score(X) == pytest.approx(ours.variance_captured_, rel=1e-5)


def test_a_mean_far_from_zero_costs_no_digits():
    X = rows(far=0.0)
    moved = X + 1e6
    near, far = PCA(5).fit(X), PCA(5).fit(moved)
    assert far.explained_variance_ == pytest.approx(near.explained_variance_, rel=1e-8)


@pytest.mark.parametrize("mode", ["regular", "randomized"])
def test_variance_about_zero(mode):
    X = rows(far=2.0)
    model = PCA(3, mode=mode, subtract_mean=False, extra_components=17).fit(X)
    _, s, v = np.linalg.svd(X, full_matrices=False)
    assert model.explained_variance_ == pytest.approx(s[:3] ** 2 / len(X), rel=1e-9)
    assert np.abs(model.components_) == pytest.approx(np.abs(v[:3]), abs=1e-7)
    assert not model.mean_.any()


@pytest.mark.parametrize("mode", ["regular", "randomized"])
def test_sparse_rows_are_as_good_as_dense_ones(mode):
    X = random_rows(400, 30, 0.2, "csr", rng=np.random.default_rng(3), dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        sparse = PCA(4, mode=mode, batch_size=64).fit(X)
        dense = PCA(4, mode=mode, batch_size=64).fit(X.toarray().astype(np.float64))
    assert sparse.components_ == pytest.approx(dense.components_, abs=1e-7)
    assert sparse.transform(X) == pytest.approx(dense.transform(X.toarray()), abs=1e-5)
    assert sparse.score(X) == pytest.approx(dense.score(X.toarray()), rel=1e-6)
    mixed = PCA(4, mode="regular", batch_size=64).partial_fit(X[:200].toarray()).partial_fit(X[200:])
    assert mixed.components_ == pytest.approx(PCA(4).fit(X.toarray()).components_, abs=1e-6)


def test_constant_columns_get_zeros():
    X = rows(n=200, d=8)
    X[:, 3] = 7.0
    for mode in ("regular", "randomized"):
        model = PCA(4, mode=mode).fit(X)
        assert model.components_[:, 3] == pytest.approx(np.zeros(4), abs=1e-12)
        assert np.isfinite(model.transform(X)).all()


def test_rows_that_are_all_the_same():
    X = np.full((30, 5), 2.5)
    for mode in ("regular", "randomized"):
        model = PCA(3, mode=mode, whiten=True).fit(X)
        assert not model.explained_variance_.any() and not model.transform(X).any()
        assert model.components_ @ model.components_.T == pytest.approx(np.eye(3), abs=1e-12)
        assert model.inverse_transform(model.transform(X)) == pytest.approx(X)


def test_fewer_rows_than_components():
    X = rows(n=4, d=30)
    for mode in ("regular", "randomized"):
        model = PCA(8, mode=mode, extra_components=4).fit(X)
        assert model.variance_captured_ == pytest.approx(1.0)
        assert model.components_ @ model.components_.T == pytest.approx(np.eye(8), abs=1e-9)
        assert model.explained_variance_[3:] == pytest.approx(np.zeros(5), abs=1e-12)


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("seed", range(3))
def test_more_passes_find_more_and_every_estimate_is_true(spectrum, seed):
    chance = np.random.default_rng(seed)
    X = chance.normal(size=(3000, 150)) * SPECTRA[spectrum]
    best = Peer(10, svd_solver="covariance_eigh").fit(X).explained_variance_ratio_.sum()
    held = []
    for passes in (1, 2, 3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = PCA(10, mode="randomized", passes=passes, seed=seed).fit(X)
        true = model.score(X)
        held.append(true / best)
        told = model.model_.told
        assert told.variance_captured_at_least <= true * (1 + 1e-9)
        assert abs(model.variance_captured_ - true) < 0.03
        assert abs(model.variance_captured_ - true) <= 4 * told.variance_captured_error + 1e-4
        assert model.explained_variance_ratio_.sum() == pytest.approx(model.variance_captured_)
        assert told.passes == passes
    assert held[0] < held[1] < held[2] < 1 + 1e-9
    assert held[2] > 0.97
    # what the documented sketch of the same size holds
    signs = chance.choice([-1.0, 1.0], (20, len(X)))
    sketched = np.linalg.svd(signs @ (X - X.mean(axis=0)), full_matrices=False)[2][:10]
    share = np.square((X - X.mean(axis=0)) @ sketched.T).sum() / np.square(X - X.mean(axis=0)).sum()
    assert share / best < held[0]


def test_a_thin_sketch_warns_and_a_good_one_does_not():
    chance = np.random.default_rng(0)
    slow = chance.normal(size=(2000, 200)) * 0.99 ** np.arange(200)
    with pytest.warns(ConvergenceWarning, match="use passes=2, or mode='regular'"):
        weak = PCA(10, mode="randomized").fit(slow)
    assert "passes=2" in weak.model_.header()["advice"]
    fast = chance.normal(size=(2000, 200)) * 0.8 ** np.arange(200)
    good = PCA(10, mode="randomized").fit(fast)
    assert good.model_.header()["advice"] == ""


def test_partial_fit_goes_on_where_fit_ended():
    X = rows()
    whole = PCA(5, batch_size=100).fit(X)
    for mode in ("regular", "randomized"):
        parts = PCA(5, mode=mode, extra_components=15, batch_size=100).fit(X[:300])
        parts.partial_fit(X[300:400]).partial_fit(X[400:])
        assert parts.components_ == pytest.approx(whole.components_, abs=1e-8)


def test_the_columns_that_come_out_are_named():
    assert PCA(2).fit(rows(n=30, d=3)).get_feature_names_out().tolist() == ["pca0", "pca1"]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("mode", ["regular", "randomized"])
def test_one_column(mode, sparse):
    X = rows(d=1).astype(np.float32)
    model = PCA(mode=mode, passes=3).fit(csr_matrix(X) if sparse else X)
    assert model.components_.tolist() == [[1.0]]
    assert model.explained_variance_ == pytest.approx(X.var(axis=0, ddof=1), rel=1e-4)
    assert model.variance_captured_ == pytest.approx(1.0)


def test_rows_in_any_layout_are_the_same_rows():
    X = rows()
    model = PCA(5).fit(X)
    for other in (np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], np.repeat(X, 2, axis=0)[::2]):
        assert PCA(5).fit(other).components_.tobytes() == model.components_.tobytes()


def test_one_row_has_no_variance():
    with pytest.raises(ValueError, match="a minimum of 2 is required"):
        PCA().fit(rows(n=1))
    about_zero = PCA(1, subtract_mean=False).fit([[3.0, 4.0]])
    assert about_zero.components_ == pytest.approx(np.array([[0.6, 0.8]]))
