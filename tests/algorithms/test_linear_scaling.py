import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.sparse import random as random_rows

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.linear.scaling import measure, no_scaling
from tradewind.errors import Misuse


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), rows=st.integers(2, 30), columns=st.integers(1, 6))
def test_folding_back_gives_the_scores_of_the_scaled_rows(seed, rows, columns):
    chance = np.random.default_rng(seed)
    X = chance.normal(size=(rows, columns)) * 10.0 ** chance.integers(-3, 4, columns) + chance.normal() * 5
    y = chance.normal(size=rows) * 7 + 3
    scaling = measure(batch_of(X, y), features=True, centre=True, labels=True)
    weights, bias = chance.normal(size=(columns, 2)), chance.normal(size=2)
    scaled = (X - scaling.shift) / scaling.scale
    expected = (scaled @ weights + bias) * scaling.label_scale + scaling.label_shift
    raw, moved = scaling.fold_back(weights, bias)
    size = np.abs(scaled) @ np.abs(weights) * scaling.label_scale + np.abs(X) @ np.abs(raw) + np.abs(moved)
    assert (np.abs(X @ raw + moved - expected) <= 1e-12 * size + 1e-12).all()


def test_dense_columns_get_mean_zero_and_deviation_one():
    X = np.random.default_rng(0).normal(3, 4, (500, 3))
    scaling = measure(batch_of(X), features=True, centre=True, labels=False)
    rows = scaling.rows(batch_of(X))
    assert rows.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-6)
    assert rows.std(axis=0) == pytest.approx(np.ones(3), rel=1e-6)


def test_a_constant_column_is_left_alone():
    X = np.column_stack([np.full(9, 0.1), np.zeros(9), np.arange(9.0)])
    scaling = measure(batch_of(X, np.full(9, 5.0)), features=True, centre=True, labels=True)
    assert scaling.scale[:2].tolist() == [1.0, 1.0]
    assert scaling.label_scale == 1.0 and scaling.label_shift == 5.0


def test_sparse_columns_are_scaled_by_their_non_zeros_only():
    X = csr_matrix([[3.0, 0, 1, 0, 0], [-4.0, 0, 0, 0, 2], [0, 0, 1, 0, 0]])
    scaling = measure(batch_of(X), features=True, centre=True, labels=False)
    assert scaling.scale == pytest.approx([np.sqrt(12.5), 1, 1, 1, 2])
    assert not scaling.centred


def test_sparse_scales_are_those_of_a_plain_loop():
    X = random_rows(200, 30, 0.2, "csr", rng=np.random.default_rng(3))
    X.data[::3] = 1.0
    X.data[::7] = 0.0
    scaling = measure(batch_of(X), features=True, centre=False, labels=False)
    values = X.data.astype(np.float32).astype(np.float64)
    for column in range(30):
        own = values[(X.indices == column) & (values != 0)]
        assert scaling.scale[column] == pytest.approx(np.sqrt((own**2).mean()) if len(own) else 1.0)


def test_no_scaling_changes_nothing():
    X = np.random.default_rng(1).normal(size=(4, 3))
    assert no_scaling(3).rows(batch_of(X)) == pytest.approx(X, rel=1e-6)
    weights = np.arange(3.0)[:, None]
    assert no_scaling(3).fold_back(weights, np.array([2.0]))[0].tolist() == weights.tolist()


def test_numbers_whose_squares_leave_float64_are_refused():
    X, y = np.array([[1.0, 2.0], [1.0, 1e300]]), np.array([1e300, -1e300])
    with pytest.raises(Misuse, match="column 1 holds values that are too large") as refused:
        measure(batch_of(X), features=True, centre=True, labels=False)
    assert refused.value.field == "features" and refused.value.fix
    with pytest.raises(Misuse, match="the labels are too large") as refused:
        measure(batch_of(np.eye(2), y), features=True, centre=True, labels=True)
    assert refused.value.field == "labels"
    assert measure(batch_of(X, y), features=False, centre=False, labels=False).scale.tolist() == [1.0, 1.0]


def test_a_value_too_large_for_float32_is_infinite_without_a_warning():
    scaling = measure(batch_of(np.array([[1.0], [2.0]])), features=True, centre=True, labels=False)
    assert np.isinf(scaling.rows(batch_of(np.array([[1e300]])))).all()
