import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import batch_of
from tradewind.data.tables import check_finite, concatenate
from tradewind.errors import Misuse


@pytest.mark.parametrize("sparse", [False, True])
def test_concatenated_rows_are_the_rows(sparse):
    matrix = np.arange(24.0).reshape(8, 3) % 5
    whole = batch_of(csr_matrix(matrix) if sparse else matrix, np.arange(8.0), np.arange(8))
    joined = concatenate([whole.rows(0, 3), whole.rows(3, 4), whole.rows(4, 8)])
    dense = joined.matrix().toarray() if sparse else joined.matrix()
    np.testing.assert_array_equal(dense, matrix)
    assert joined.labels.tolist() == list(range(8)) and joined.weights.tolist() == list(range(8))


@pytest.mark.parametrize(("row", "column", "value"), [(0, 0, np.nan), (2, 1, np.inf), (1, 2, -np.inf)])
def test_a_value_that_is_not_finite_is_named(row, column, value):
    matrix = np.ones((3, 3))
    matrix[row, column] = value
    with pytest.raises(Misuse, match=f"row {10 + row}: column {column}: {value}"):
        check_finite(batch_of(matrix), "x", first_row=10)
    with pytest.raises(Misuse, match=f"row {row}: feature {column}: {value}"):
        check_finite(batch_of(csr_matrix(matrix)), "x")


def test_big_values_that_sum_to_infinity_are_finite():
    check_finite(batch_of(np.full((4, 4), 1e308)), "x")
    check_finite(batch_of(np.array([[1e308, -1e308], [1e308, -1e308]])), "x")
