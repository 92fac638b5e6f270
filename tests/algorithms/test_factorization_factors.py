"""The kernels of factorization machines: first factors, a batch's gradient, and steps row by row."""

import numpy as np
import pytest

from tradewind.algorithms.factorization.factors import add_first, gradient
from tradewind.algorithms.factorization.online import OnlineMachine
from tradewind.algorithms.linear.minibatch import Distinct
from tradewind.algorithms.linear.scaling import Scaling, no_scaling

F = np.float32


def first(features, k=4, seed=1):
    table = np.zeros((len(features), k + 1), F)
    add_first(table, np.asarray(features), F(0.5), np.uint64(seed), False)
    return table


def test_first_factors_belong_to_feature_factor_and_seed():
    table = first(range(20_000))
    assert table[:, :4].min() >= -0.5 and table[:, :4].max() < 0.5 and not table[:, 4].any()
    assert table[:, :4].mean() == pytest.approx(0, abs=0.005)
    assert table[:, :4].std() == pytest.approx(0.5 / 3**0.5, rel=0.01)
    assert np.abs(np.corrcoef(table[:, :4].T) - np.eye(4)).max() < 0.03
    assert first([7, 300, 19_999]).tobytes() == table[[7, 300, 19_999]].tobytes()
    assert first([7], k=2)[0, :2].tolist() == table[7, :2].tolist()
    assert (first([7], seed=2)[0, :4] != table[7, :4]).all()


def test_only_touched_rows_get_their_first_factors_when_asked():
    table = np.zeros((3, 5), F)
    table[1, 4] = 0.1
    add_first(table, np.arange(3), F(0.5), np.uint64(1), True)
    assert not table[[0, 2]].any() and table[1, :4].all()


def rows(n=40, d=9, k=4, seed=2):
    chance = np.random.default_rng(seed)
    indices = np.concatenate([chance.choice(d, k, replace=False) for _ in range(n)]).astype(np.int32)
    values = chance.normal(size=n * k).astype(F)
    values[::11] = 0
    return np.arange(n + 1, dtype=np.int64) * k, indices, values


@pytest.mark.parametrize("logistic", [False, True])
def test_a_batch_gradient_is_that_of_finite_differences(logistic):
    """Of the losses and of the decay of what each row holds, weighted."""
    chance = np.random.default_rng(0)
    indptr, indices, values = rows()
    present, local = Distinct(9)(indices)
    labels = (np.sign(chance.normal(size=40)) if logistic else chance.normal(size=40)).astype(F)
    weights = chance.uniform(0.5, 2, 40).astype(F)
    matrix, bias = chance.normal(size=(len(present), 4)).astype(F) / 2, np.array([0.3], F)
    l2, factors_l2 = 0.2, 0.4

    def run(matrix, bias):
        slopes, slope = np.zeros_like(matrix), np.zeros(1, F)
        loss = gradient(
            indptr,
            local,
            values,
            labels,
            weights,
            matrix,
            bias,
            logistic,
            F(l2),
            F(factors_l2),
            slopes,
            slope,
        )
        decay = np.zeros(len(present))
        np.add.at(decay, local, np.where(values != 0, np.repeat(weights, 4), 0))
        squares = l2 * matrix[:, -1] ** 2 + factors_l2 * (matrix[:, :-1] ** 2).sum(axis=1)
        return loss + 0.5 * float(decay @ squares), slopes, slope

    _, slopes, slope = run(matrix, bias)
    for place in np.ndindex(matrix.shape):
        up, down = matrix.copy(), matrix.copy()
        up[place] += 5e-3
        down[place] -= 5e-3
        numeric = (run(up, bias)[0] - run(down, bias)[0]) / float(up[place] - down[place])
        assert slopes[place] == pytest.approx(numeric, rel=5e-3, abs=2e-2)
    numeric = (run(matrix, bias + F(0.01))[0] - run(matrix, bias - F(0.01))[0]) / 0.02
    assert slope[0] == pytest.approx(numeric, rel=5e-3, abs=1e-2)


def plainly(indptr, indices, values, labels, weights, d, k, logistic, rate, factors_rate, l2, factors_l2):
    """The same steps in float64, a row and a feature at a time."""
    table, squares = first(range(d), k).astype(np.float64), np.ones((d, k + 1))
    bias, bias_squares, total = 0.0, 1.0, 0.0
    for i in range(len(labels)):
        part = slice(indptr[i], indptr[i + 1])
        at, x = indices[part][values[part] != 0], values[part][values[part] != 0].astype(np.float64)
        v, w = table[at, :k].copy(), table[at, k].copy()
        sums = x @ v
        z = bias + w @ x + 0.5 * (sums @ sums - ((v * x[:, None]) ** 2).sum())
        y = labels[i]
        d_loss = -y / (1 + np.exp(y * z)) if logistic else z - y
        total += weights[i] * (np.log1p(np.exp(-y * z)) if logistic else 0.5 * (z - y) ** 2)
        d_loss *= weights[i]
        bias_squares += d_loss**2
        bias -= rate * d_loss / np.sqrt(bias_squares)
        slope = np.column_stack([
            d_loss * x[:, None] * (sums - v * x[:, None]) + weights[i] * factors_l2 * v,
            d_loss * x + weights[i] * l2 * w,
        ])  # fmt: skip
        squares[at] += slope**2
        table[at] -= np.array([factors_rate] * k + [rate]) * slope / np.sqrt(squares[at])
    return table, bias, total


@pytest.mark.parametrize("logistic", [False, True])
@pytest.mark.parametrize("k", [1, 7, 8, 20])
def test_steps_are_those_of_the_formula(logistic, k):
    chance = np.random.default_rng(3)
    indptr, indices, values = rows(200)
    labels = (np.sign(chance.normal(size=200)) if logistic else chance.normal(size=200)).astype(F)
    weights = chance.uniform(0.5, 2, 200).astype(F)
    machine = OnlineMachine(
        no_scaling(9), k, logistic=logistic, rate=0.2, factors_rate=0.1, l2=0.02, factors_l2=0.03,
        spread=0.5, seed=1,
    )  # fmt: skip
    bad, sums = machine.learn(indptr, indices, values, labels, weights, keep=True)
    table, bias, total = plainly(
        indptr, indices, values, labels, weights, 9, k, logistic, 0.2, 0.1, 0.02, 0.03
    )
    assert bad == -1
    assert machine.table == pytest.approx(table, rel=2e-3, abs=2e-4)
    assert machine.bias == pytest.approx(bias, rel=1e-3, abs=1e-4)
    assert sums[0] == pytest.approx(total, rel=1e-4)


def machine_of(scaling, **changes):
    settings = {"rate": 0.1, "factors_rate": 0.1, "l2": 0.0, "factors_l2": 0.0, "spread": 0.5, "seed": 1}
    return OnlineMachine(scaling, 3, logistic=False, **{**settings, **changes})


def test_sparse_values_are_scaled_as_they_are_read():
    indptr, indices, values = rows()
    labels = np.random.default_rng(1).normal(size=40).astype(F)
    scale = np.array([1, 2, 1, 4, 1, 1, 0.5, 1, 1.0])
    ours, theirs = machine_of(Scaling(np.zeros(9), scale)), machine_of(no_scaling(9))
    ours.learn(indptr, indices, values, labels)
    theirs.learn(indptr, indices, (values / scale[indices]).astype(F), labels)
    assert ours.table.tobytes() == theirs.table.tobytes()


def test_features_that_no_row_has_stay_zero_and_a_copy_brings_back():
    machine = machine_of(no_scaling(1000))
    indptr, indices, values = rows()
    labels = np.ones(40, F)
    machine.learn(indptr, indices, values, labels)
    assert not machine.table[9:].any() and machine.table[:9].all()
    kept, before = machine.copy(), machine.table
    machine.learn(indptr, indices, values, labels)
    assert machine.table.tobytes() != before.tobytes()
    machine.restore(kept)
    assert machine.table.tobytes() == before.tobytes()


def test_a_score_that_is_not_finite_stops_at_its_row():
    machine = machine_of(no_scaling(9))
    indptr, indices, values = rows()
    values[7 * 4] = values[7 * 4 + 1] = 1e30
    assert machine.learn(indptr, indices, values, np.ones(40, F))[0] == 7
