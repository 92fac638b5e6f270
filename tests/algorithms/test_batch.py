import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_matrix, csr_matrix
from scipy.sparse import random as random_rows

from tradewind.algorithms.batch import batch_of


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), ends=st.tuples(st.integers(0, 12), st.integers(0, 12)))
@pytest.mark.parametrize("sparse", [True, False])
def test_rows_are_those_of_the_matrix(sparse, seed, ends):
    start, stop = sorted(ends)
    chance = np.random.default_rng(seed)
    X = random_rows(12, 7, 0.3, "csr", np.float32, rng=chance)
    batch = batch_of(X if sparse else X.toarray(), np.arange(12), np.arange(12) / 2)
    part = batch.rows(start, stop)
    found = part.matrix().toarray() if sparse else part.matrix()
    assert len(part) == stop - start
    assert part.sparse is sparse and part.features == 7
    assert found.tolist() == X.toarray()[start:stop].tolist()
    assert part.labels.tolist() == list(range(start, stop))
    assert part.weights.tolist() == [i / 2 for i in range(start, stop)]


def test_rows_share_memory():
    batch = batch_of(csr_matrix(np.eye(5, dtype=np.float32)))
    assert np.shares_memory(batch.rows(1, 3).values, batch.values)
    dense = batch_of(np.eye(5))
    assert np.shares_memory(dense.rows(1, 3).dense, dense.dense)


def test_sparse_arrays_get_the_kernels_own_types():
    batch = batch_of(csc_matrix(np.eye(3)))
    kinds = (batch.indptr.dtype, batch.indices.dtype, batch.values.dtype)
    assert kinds == (np.int64, np.int32, np.float32)
    assert batch_of(np.eye(3, dtype=np.int8)).dense.dtype == np.int8


def test_no_labels_stay_none():
    batch = batch_of(np.eye(3)).rows(0, 2)
    assert batch.labels is None and batch.weights is None
