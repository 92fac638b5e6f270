"""Columns on one scale: scikit-learn's scalers, any number of workers, gaps, constants, sparse rows."""

import warnings
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.local_state import LocalState
from tradewind.algorithms.scaler import ColumnScaler
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.state.engine import Engine
from tradewind.training.in_process import learn_here
from tradewind.training.job import Job, learner_of
from tradewind.training.state_host import fresh_state

KINDS = pytest.mark.parametrize(
    ("kind", "theirs"), [("normal", StandardScaler()), ("min_max", MinMaxScaler((-2, 3)))]
)


def rows(n: int = 400) -> Any:
    chance = np.random.default_rng(0)
    return chance.normal(size=(n, 5)) * [1, 1e-3, 1e6, 1, 1] + [0, 5, 1e6, -3, 1e9]


def scaler(kind: str) -> ColumnScaler:
    return ColumnScaler(kind, low=-2.0, high=3.0)


@pytest.mark.parametrize("kind", ["normal", "min_max"])
def test_scikit_learns_checks(kind) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(ColumnScaler(kind), on_fail=None)
    assert len(results) > 30
    assert not [(each["check_name"], each["exception"]) for each in results if each["status"] == "failed"]


@KINDS
def test_it_scales_as_scikit_learn_does(kind, theirs) -> None:
    x = rows()
    ours = scaler(kind).fit(x)
    assert ours.transform(x) == pytest.approx(theirs.fit_transform(x), abs=1e-6)
    assert ours.inverse_transform(ours.transform(x)) == pytest.approx(x, rel=1e-12)
    gaps = x.copy()
    gaps[::7, 2] = np.nan
    found = scaler(kind).fit_transform(gaps)
    assert found == pytest.approx(theirs.fit_transform(gaps), abs=1e-6, nan_ok=True)


def engine_of(x: Any, parts: int) -> Engine:
    learner, data = ColumnScaler(), open_data(x, missing="keep")
    job = Job(learner=learner_of(learner), data={}, parts=parts, batch=30)
    engine = fresh_state(job, learner, data)
    learn_here(job, learner, data, engine)
    return engine


@pytest.mark.parametrize("sparse", [False, True])
def test_any_number_of_workers_finds_the_same(sparse) -> None:
    """Counts and bounds bit for bit, sums to 1e-12: the state merges what each worker found of its part."""
    x = rows()
    x[::11, 1] = np.nan
    given = csr_matrix(x) if sparse else x
    whole = batch_of(given)
    state, learner = LocalState(), ColumnScaler()
    learner.initialize(state, whole)
    learner.update(state, state.draw([whole]), False)
    for parts in (1, 2, 4):
        engine = engine_of(given, parts)
        for key in ("count", "least", "most"):
            assert np.array_equal(engine.table(key).read(None).ravel(), state.pull(key)), key
        for key in ("sums", "squares"):
            scale = state.pull("squares").clip(1.0)
            off = np.abs(engine.table(key).read(None).ravel() - state.pull(key)) / scale
            assert off.max() < 1e-12, key


def test_bounds_are_reached_exactly() -> None:
    x = rows()
    found = ColumnScaler("min_max").fit_transform(x)
    assert found.min(axis=0) == pytest.approx(np.zeros(5), abs=1e-12)
    assert found.max(axis=0) == pytest.approx(np.ones(5), abs=1e-12)


def test_constant_columns_and_columns_without_a_value() -> None:
    x = np.array([[7.0, np.nan, 1.0], [7.0, np.nan, 2.0]])
    assert ColumnScaler("min_max", low=-1, high=3).fit_transform(x)[:, 0].tolist() == [1.0, 1.0], "the middle"
    normal = ColumnScaler().fit(x)
    assert normal.transform(x)[:, 0].tolist() == [0.0, 0.0]
    assert np.isnan(normal.transform(x)[:, 1]).all()
    assert normal.transform([[7.0, 5.0, 1.0]])[0, 1] == 5.0, "left as it is"
    large = np.full((1000, 1), 0.1) * 1e9
    assert not ColumnScaler().fit_transform(large).any(), "what rounding leaves is no variance"


def test_some_columns_only() -> None:
    x = rows()
    for kind in ("normal", "min_max"):
        whole, some = ColumnScaler(kind).fit(x), ColumnScaler(kind, columns=[3, 0]).fit(x)
        found = some.transform(x)
        assert np.array_equal(found[:, [0, 3]], whole.transform(x)[:, [0, 3]])
        assert np.array_equal(found[:, [1, 2, 4]], x[:, [1, 2, 4]])
        assert np.array_equal(ColumnScaler(kind, columns=[]).fit_transform(x), x)
    with pytest.raises(Misuse, match=r"columns: \[5\] are no columns of 5"):
        ColumnScaler(columns=[5]).fit(x)


def test_of_sparse_rows_only_stored_values_count() -> None:
    x = csr_matrix(np.array([[0.0, 4.0], [2.0, 0.0], [4.0, 8.0]]))
    found = ColumnScaler("min_max").fit_transform(x)
    assert found.toarray().tolist() == [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]] and found.nnz == x.nnz
    normal = ColumnScaler().fit(x).model_
    assert normal.shift.tolist() == [3.0, 6.0]


def test_one_state_gives_either_map() -> None:
    x = rows()
    state, learner = LocalState(), ColumnScaler()
    learner.initialize(state, batch_of(x))
    learner.update(state, state.draw([batch_of(x)]), False)
    other = learner.finalize(state, mode="min_max", low=-2.0, high=3.0)
    assert np.array_equal(other.evaluate(x), scaler("min_max").fit_transform(x))
    with pytest.raises(Misuse, match="modes"):
        learner.finalize(state, modes="normal")


def test_wrong_arguments_and_rows() -> None:
    with pytest.raises(Misuse, match="low"):
        ColumnScaler("min_max", low=1.0, high=1.0).check()
    with pytest.raises(Misuse, match="mode"):
        ColumnScaler("maximal").check()
    with pytest.raises(Misuse, match="2 features"):
        ColumnScaler().fit(rows()).model_.evaluate(np.zeros((1, 2)))
