"""Users and items as rows name them: dense, sparse, two ones."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.ratings.pairs import Layout
from tradewind.errors import Misuse


@pytest.mark.parametrize("sparse", [False, True])
def test_two_columns_of_numbers(sparse) -> None:
    rows = np.array([[0.0, 3.0, 9.5], [4.0, 0.0, 9.5]])
    batch = batch_of(csr_matrix(rows) if sparse else rows)
    users, items = Layout().pairs(batch, "test")
    assert users.tolist() == [0, 4] and items.tolist() == [3, 0]
    items, users = Layout("ids", (1, 0)).pairs(batch, "test")
    assert users.tolist() == [0, 4] and items.tolist() == [3, 0]


@pytest.mark.parametrize("value", [-1.0, 0.5, np.nan, np.inf])
def test_what_is_no_number_of_a_user(value) -> None:
    with pytest.raises(Misuse, match="test: row 1: user"):
        Layout().pairs(batch_of(np.array([[0.0, 0.0], [value, 0.0]])), "test")


def test_two_ones() -> None:
    rows = np.array([[0, 1, 0, 0, 1], [1, 0, 1, 0, 0]], float)
    for form in (rows, csr_matrix(rows)):
        users, items = Layout("two_hot", users=2).pairs(batch_of(form), "test")
        assert users.tolist() == [1, 0] and items.tolist() == [2, 0]


@pytest.mark.parametrize("row", [[1, 1, 1, 0, 0], [0, 0, 1, 0, 0], [1, 0, 0, 1, 1], [0, 0, 0, 0, 0]])
def test_too_many_or_too_few_ones(row) -> None:
    rows = np.array([[0, 1, 0, 0, 1], row], float)
    with pytest.raises(Misuse, match=r"row 1: \d users and \d items"):
        Layout("two_hot", users=2).pairs(batch_of(rows), "test")
