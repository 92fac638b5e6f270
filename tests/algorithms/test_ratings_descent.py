"""The kernels, beside the same written plainly."""

import numpy as np
import pytest

from tradewind.algorithms.ratings.descent import gradient, learn_users


def test_a_pass_is_the_steps_one_by_one() -> None:
    chance = np.random.default_rng(0)
    P, Q = (chance.normal(size=(n, 8)).astype(np.float32) for n in (5, 4))
    bu, bi = (chance.normal(size=n).astype(np.float32) for n in (5, 4))
    bounds, items = np.array([0, 3, 3, 5, 6, 9]), chance.integers(0, 4, 9).astype(np.int32)
    stars = chance.normal(size=9).astype(np.float32)
    p, q, b, c = (array.astype(np.float64) for array in (P, Q, bu, bi))
    order, wanted = np.array([4, 0, 3, 1, 2]), 0.0
    for u in order:
        for n in range(bounds[u], bounds[u + 1]):
            i = items[n]
            error = stars[n] - (0.5 + b[u] + c[i] + p[u] @ q[i])
            wanted += error**2
            b[u] += 0.1 * (error - 0.02 * b[u])
            c[i] += 0.1 * (error - 0.02 * c[i])
            p[u], q[i] = p[u] + 0.1 * (error * q[i] - 0.02 * p[u]), q[i] + 0.1 * (error * p[u] - 0.02 * q[i])
    numbers = (np.float32(each) for each in (0.5, 0.1, 0.02))
    total = learn_users(order, bounds, items, stars, P, Q, bu, bi, *numbers)
    assert total == pytest.approx(wanted, rel=1e-4)
    for ours, theirs in ((P, p), (Q, q), (bu, b), (bi, c)):
        assert ours == pytest.approx(theirs, abs=1e-5)


def test_the_gradient_is_that_of_the_loss() -> None:
    """Beside differences of the loss, weights and penalty included."""
    chance = np.random.default_rng(1)
    U, V = chance.normal(size=(3, 4)), chance.normal(size=(2, 4))
    users, items = np.array([0, 1, 2, 0, 1]), np.array([0, 0, 1, 1, 0])
    stars, weights = chance.normal(size=5), chance.uniform(0.5, 2, 5)

    def loss(U, V, mean) -> float:
        z = mean + U[users, 0] + V[items, 0] + (U[users, 1:] * V[items, 1:]).sum(axis=1)
        penalty = 0.1 * ((U[users] ** 2).sum(axis=1) + (V[items] ** 2).sum(axis=1))
        return float((weights * ((z - stars) ** 2 + penalty)).sum() / 2)

    gU, gV, counts = np.zeros_like(U), np.zeros_like(V), np.zeros(3)
    gradient(users, items, stars, weights, U, V, 0.3, 0.1, gU, gV, counts)
    tiny = 1e-6
    for table, found in ((U, gU), (V, gV)):
        for place in np.ndindex(*table.shape):
            moved = table.copy()
            moved[place] += tiny
            there = loss(moved, V, 0.3) if table is U else loss(U, moved, 0.3)
            assert (there - loss(U, V, 0.3)) / tiny == pytest.approx(found[place], abs=1e-4)
    assert (loss(U, V, 0.3 + tiny) - loss(U, V, 0.3)) / tiny == pytest.approx(counts[2], abs=1e-4)
    assert counts[1] == pytest.approx(weights.sum())
