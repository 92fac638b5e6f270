import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numba import njit

from tradewind.algorithms.linear.losses import (
    LOSSES,
    MULTICLASS,
    code_of,
    exp32,
    losses,
    probabilities,
    slope,
)
from tradewind.algorithms.linear.minibatch import Distinct, gradient, multiclass_gradient
from tradewind.errors import Misuse

PARAMETERS = {
    "hinge": 1.0,
    "eps_insensitive_absolute": 0.3,
    "eps_insensitive_squared": 0.3,
    "quantile": 0.2,
    "huber": 0.7,
    "squared_hinge": 1.0,
    "crammer_singer": 1.0,
    "squared_crammer_singer": 1.0,
}
SCALAR = [name for name in LOSSES if name not in MULTICLASS]


@njit
def exponentials(x):
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = exp32(x[i])
    return out


@njit
def slope_of(code, parameter, y, z):
    return slope(code, parameter, y, z)


def loss_at(name, y, z):
    return float(losses(name, PARAMETERS.get(name, 0.0), np.array([y]), np.array([z]))[0])


@pytest.mark.parametrize("name", SCALAR)
@settings(max_examples=60, deadline=None)
@given(y=st.floats(-3, 3), z=st.floats(-4, 4))
def test_slopes_are_those_of_finite_differences(name, y, z):
    if name in ("logistic", "hinge", "squared_hinge"):
        y = 1.0 if y > 0 else -1.0
    parameter = PARAMETERS.get(name, 0.0)
    step = 1e-4
    kinks = [y, y - parameter, y + parameter, parameter * y]
    assume(all(abs(z - kink) > 3 * step for kink in kinks))
    numeric = (loss_at(name, y, z + step) - loss_at(name, y, z - step)) / (2 * step)
    exact = slope_of(code_of(name), np.float32(parameter), np.float32(y), np.float32(z))
    assert exact == pytest.approx(numeric, abs=2e-4)


def test_the_quantile_is_what_the_quantile_loss_is_least_at():
    y = np.random.default_rng(0).normal(size=2001)
    grid = np.linspace(-2, 2, 401)
    means = [losses("quantile", 0.2, y, np.full_like(y, z)).mean() for z in grid]
    assert grid[int(np.argmin(means))] == pytest.approx(np.quantile(y, 0.2), abs=0.02)


def test_the_exponential_is_right_to_float32():
    for end, error in ((1, 4e-7), (10, 1e-6), (86, 6e-6)):
        x = np.linspace(-end, end, 100_001, dtype=np.float32)
        assert np.abs(exponentials(x) / np.exp(x.astype(np.float64)) - 1).max() < error
    ends = exponentials(np.array([-1e30, 1e30], np.float32))
    assert 0 <= ends[0] < 2e-38 and 1e38 < ends[1] < np.inf


def test_losses_of_far_scores_stay_finite():
    assert loss_at("logistic", 1.0, -1e4) == pytest.approx(1e4)
    assert loss_at("logistic", 1.0, 1e4) == 0
    far = losses("softmax", 0.0, np.array([0, 1]), np.array([[1e4, -1e4], [1e4, -1e4]]))
    assert far == pytest.approx([0, 2e4])


def sparse_rows(chance, n=40, d=12, k=4):
    indices = np.concatenate([chance.choice(d, k, replace=False) for _ in range(n)]).astype(np.int32)
    values = chance.normal(size=n * k).astype(np.float32)
    return np.arange(n + 1, dtype=np.int64) * k, indices, values


def test_a_batch_gradient_of_mixed_losses_is_that_of_finite_differences():
    chance = np.random.default_rng(1)
    indptr, indices, values = sparse_rows(chance)
    rows, local = Distinct(12)(indices)
    names = ["logistic", "squared", "eps_insensitive_squared"]
    labels = np.where(chance.random(40) < 0.5, -1, 1).astype(np.float32)
    weights = chance.random(40).astype(np.float32)
    positive = np.array([1, 2, 3], np.float32)
    codes = np.array([code_of(name) for name in names])
    parameters = np.array([PARAMETERS.get(name, 0) for name in names], np.float32)
    matrix = chance.normal(size=(len(rows), 3)).astype(np.float32)
    bias = chance.normal(size=3).astype(np.float32)

    def run(matrix, bias):
        slopes, own, totals = np.zeros_like(matrix), np.zeros_like(bias), np.zeros(3)
        gradient(indptr, local, values, labels, weights, matrix, bias, codes, parameters, positive,
                 slopes, own, totals)  # fmt: skip
        return slopes, own, totals

    slopes, own, _ = run(matrix, bias)
    step = 1e-2
    for place in [(0, 0), (3, 1), (7, 2), (11, 0)]:
        up, down = matrix.copy(), matrix.copy()
        up[place] += step
        down[place] -= step
        numeric = (run(up, bias)[2] - run(down, bias)[2])[place[1]] / (float(up[place]) - float(down[place]))
        assert slopes[place] == pytest.approx(numeric, rel=5e-3, abs=5e-3)
    numeric = (run(matrix, bias + np.float32(step))[2] - run(matrix, bias - np.float32(step))[2]) / (2 * step)
    assert own == pytest.approx(numeric, rel=5e-3, abs=5e-3)


@pytest.mark.parametrize("name", MULTICLASS)
def test_a_batch_gradient_of_several_classes_is_that_of_finite_differences(name):
    chance = np.random.default_rng(2)
    indptr, indices, values = sparse_rows(chance)
    rows, local = Distinct(12)(indices)
    labels = chance.integers(0, 3, 40).astype(np.float32)
    weights = (0.5 + chance.random(40)).astype(np.float32)
    matrix = chance.normal(size=(len(rows), 6)).astype(np.float32)
    bias = chance.normal(size=6).astype(np.float32)
    codes, parameters = np.full(2, code_of(name)), np.full(2, PARAMETERS.get(name, 0.0), np.float32)

    def run(matrix, bias):
        slopes, own, totals = np.zeros_like(matrix), np.zeros(6, np.float32), np.zeros(2)
        multiclass_gradient(indptr, local, values, labels, weights, matrix, bias, codes, parameters, 3,
                            slopes, own, totals)  # fmt: skip
        return slopes, own, totals

    slopes, own, totals = run(matrix, bias)
    scores = np.array([
        [bias[c] + sum(matrix[local[k], c] * values[k] for k in range(*indptr[i : i + 2])) for c in range(6)]
        for i in range(40)
    ])  # fmt: skip
    for model in (0, 1):
        plain = losses(name, PARAMETERS.get(name, 0.0), labels, scores[:, 3 * model : 3 * model + 3])
        assert totals[model] == pytest.approx(float(plain @ weights), rel=1e-4)
    step = 1e-3
    for place in [(0, 0), (5, 4), (9, 2), (3, 1), (7, 3)]:
        up, down = matrix.copy(), matrix.copy()
        up[place] += step
        down[place] -= step
        numeric = (run(up, bias)[2] - run(down, bias)[2])[place[1] // 3] / float(up[place] - down[place])
        assert slopes[place] == pytest.approx(numeric, rel=5e-3, abs=1e-2)
    for c in range(6):
        up, down = bias.copy(), bias.copy()
        up[c] += step
        down[c] -= step
        numeric = (run(matrix, up)[2] - run(matrix, down)[2])[c // 3] / float(up[c] - down[c])
        assert own[c] == pytest.approx(numeric, rel=5e-3, abs=1e-2)


def test_the_losses_of_crammer_and_singer_count_from_the_best_wrong_class():
    scores = np.array([[3.0, 1.0, 2.5], [3.0, 1.0, 2.5], [0.0, 0.0, 0.0]])
    labels = np.array([0.0, 1.0, 2.0])
    assert losses("crammer_singer", 1.0, labels, scores).tolist() == [0.5, 3.0, 1.0]
    assert losses("squared_crammer_singer", 1.0, labels, scores).tolist() == [0.125, 4.5, 0.5]


def test_probabilities_of_each_kind():
    assert probabilities("logistic", np.array([0.0, 800.0, -800.0])).tolist() == [0.5, 1.0, 0.0]
    assert probabilities("hinge", np.array([-3.0, 0.0, 3.0])).tolist() == [0.0, 0.5, 1.0]
    assert probabilities("crammer_singer", np.array([[5.0, 9.0, 7.0]])).argsort().tolist() == [[0, 2, 1]]
    assert probabilities("softmax", np.zeros((2, 4))).tolist() == [[0.25] * 4] * 2


def test_an_unknown_loss_is_refused_with_the_likely_one():
    with pytest.raises(Misuse, match="Did you mean 'logistic'"):
        code_of("logistics")
