"""Leading directions from a few products: bounds that hold, estimates that are near, odd matrices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.algorithms.pca.krylov import approximate, basis_of, of_one_matrix, signs


def passes_over(values, width, count, seed=0):
    """What so many passes over rows of that covariance give."""
    bases, products = [signs(seed, len(values), width)], []
    for each in range(count):
        products.append(values[:, None] * bases[each])
        if each + 1 < count:
            bases.append(basis_of(products[each]))
    return bases, products


@settings(max_examples=40, deadline=None)
@given(
    d=st.integers(2, 60), width=st.integers(1, 12), k=st.integers(1, 8), count=st.integers(1, 3),
    decay=st.floats(0, 1), seed=st.integers(0, 9),
)  # fmt: skip
def test_the_bound_holds_and_the_vectors_are_orthonormal(d, width, k, count, decay, seed):
    values = decay ** np.arange(d)
    width, k = min(d, width), min(d, k, width)
    found = approximate(*passes_over(values, width, count, seed), float(values.sum()), k)
    true = float((found.vectors**2 * values[:, None]).sum())
    assert found.vectors.T @ found.vectors == pytest.approx(np.eye(k), abs=1e-9)
    assert found.at_least <= true + 1e-9
    assert found.at_least - 1e-9 <= found.captured <= values.sum() + 1e-9
    assert (np.diff(found.values) <= 1e-12).all()


@pytest.mark.parametrize("rank", [1, 4])
def test_a_matrix_of_low_rank_is_found_exactly(rank):
    values = np.zeros(40)
    values[:rank] = np.arange(rank, 0, -1)
    for count in (1, 2, 3):
        found = approximate(*passes_over(values, 10, count), float(values.sum()), 6)
        assert found.at_least == pytest.approx(values.sum())
        assert found.captured == pytest.approx(values.sum())
        assert found.values[:rank] == pytest.approx(values[:rank])


def test_zero_is_a_matrix_too():
    found = approximate(*passes_over(np.zeros(9), 4, 2), 0.0, 3)
    assert found.captured == found.error == 0.0
    assert found.vectors.T @ found.vectors == pytest.approx(np.eye(3))


@pytest.mark.parametrize("decay", [0.81, 0.9, 0.98, 0.99])
def test_one_pass_tells_what_it_holds(decay):
    """Within three points of the whole, and by its own account of its error."""
    values = decay ** np.arange(300)
    off = []
    for seed in range(20):
        found = approximate(*passes_over(values, 20, 1, seed), float(values.sum()), 10)
        true = float((found.vectors**2 * values[:, None]).sum())
        off.append(((found.captured - true) / values.sum(), found.error / values.sum()))
    misses, errors = np.abs(off).T
    assert (misses < 0.03).mean() >= 0.95
    assert np.sqrt(np.mean(misses**2)) < 1.5 * errors.mean() < 6 * np.sqrt(np.mean(misses**2))


def test_a_basis_changes_little_where_its_columns_do():
    chance = np.random.default_rng(0)
    product = chance.normal(size=(30, 5))
    near = basis_of(product + 1e-6 * chance.normal(size=(30, 5)))
    assert near == pytest.approx(basis_of(product), abs=1e-4)
    assert near.T @ near == pytest.approx(np.eye(5))


def test_signs_are_of_the_seed():
    assert set(np.unique(signs(3, 50, 4))) == {-1.0, 1.0}
    assert signs(3, 50, 4).tobytes() == signs(3, 50, 4).tobytes() != signs(4, 50, 4).tobytes()


def test_products_that_disagree_are_left_out():
    chance = np.random.default_rng(0)
    X = chance.normal(size=(200, 30)) * 0.9 ** np.arange(30)
    bases = [np.linalg.qr(chance.normal(size=(30, 8)))[0] for _ in range(3)]
    products = [X.T @ (X @ basis) for basis in bases]
    assert of_one_matrix(bases, products, [200, 200, 200]) == [0, 1, 2]
    fewer = [*products[:2], X[:150].T @ (X[:150] @ bases[2])]
    assert of_one_matrix(bases, fewer, [200, 200, 150]) == [0, 1]
    mixed = X[:190].T @ (X[:190] @ bases[1]) + X[190:].T @ (X[190:] @ bases[0])
    assert of_one_matrix(bases, [products[0], mixed, products[2]], [200, 200, 200]) == [0, 2]
