"""Networks through a state: one table of parameters, tables for what is beside them, equal bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.deep.gradients import (
    BUFFERS,
    COUNTERS,
    FROZEN,
    PARAMETERS,
    GradientLearner,
    check_config,
    flat,
    flat_gradient,
    kept,
    load,
)
from tradewind.algorithms.interface import PROGRESS
from tradewind.algorithms.local_state import LocalState
from tradewind.errors import Misuse

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
Y = X @ np.arange(4.0) + 1.0


class Line(GradientLearner):
    """Least squares, whose gradient is known."""

    def __init__(
        self, optimizer="sgd", rate=None, clip=None, weight_decay=0.0, batch_size=20, epochs=1, seed=0
    ):
        self.optimizer, self.rate, self.clip, self.weight_decay = optimizer, rate, clip, weight_decay
        self.batch_size, self.epochs, self.seed = batch_size, epochs, seed

    labels = "number"

    def facts(self, sample: Any) -> Any:
        return {"features": np.array([sample.features])}

    def fact_names(self) -> tuple[str, ...]:
        return ("features",)

    def network(self, facts: Any) -> nn.Module:
        return nn.Linear(int(facts["features"][0]), 1)

    def loss(self, network: Any, batch: Any, facts: Any, chance: Any, seen: float) -> Any:
        found = network(torch.from_numpy(np.asarray(batch.matrix(), np.float32))).reshape(-1)
        return ((found - torch.from_numpy(np.asarray(batch.labels, np.float32))) ** 2).sum(), float(
            len(found)
        )

    def model(self, network: Any, facts: Any, **config: Any) -> Any:
        check_config(config, ())
        return flat(network)


def gradient(values: np.ndarray, x=X, y=Y) -> np.ndarray:
    left = x @ values[:4] + values[4] - y
    return np.append(2 * x.T @ left, 2 * left.sum()) / len(y)


def stepped(learner: Line) -> tuple[np.ndarray, np.ndarray]:
    """The parameters before and after one batch."""
    state = LocalState()
    learner.initialize(state, batch_of(X, Y))
    before = state.pull(PARAMETERS).copy()
    learner.update(state, state.draw([batch_of(X, Y)]), False)
    assert state.pull(PROGRESS)[1] == 60
    return before, state.pull(PARAMETERS)


def test_a_step_is_down_the_gradient_of_the_mean_loss():
    before, after = stepped(Line(rate=0.1))
    assert after == pytest.approx(before - 0.1 * gradient(before), rel=1e-5)


def test_a_gradient_is_clipped_and_weights_decay():
    before, after = stepped(Line(rate=0.1, clip=0.01))
    slope = gradient(before)
    assert after - before == pytest.approx(-0.1 * 0.01 * slope / np.linalg.norm(slope), rel=1e-3, abs=1e-7)
    before, after = stepped(Line(rate=0.1, weight_decay=0.5))
    assert after == pytest.approx(before - 0.1 * (gradient(before) + 0.5 * before), rel=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "adadelta", "adagrad", "rmsprop"])
def test_the_state_steps_by_every_optimizer(optimizer):
    before, after = stepped(Line(optimizer=optimizer))
    assert ((after - before) * gradient(before) < 0).all()


def test_first_parameters_are_by_the_seed():
    first, again, other = (stepped(Line(seed=seed))[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_threads_are_one_while_it_is_synchronized_and_as_they_were_after():
    before = torch.get_num_threads()
    seen = []

    class Watching(Line):
        def loss(self, *given: Any) -> Any:
            seen.append(torch.get_num_threads())
            return super().loss(*given)

    torch.set_num_threads(2)
    try:
        for synchronized in (True, False):
            state, learner = LocalState(), Watching(rate=0.1)
            learner.initialize(state, batch_of(X, Y))
            learner.update(state, state.draw([batch_of(X, Y)]), synchronized)
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 2]


def test_a_loss_that_is_not_finite_pushes_nothing():
    state, learner = LocalState(), Line(rate=0.1)
    learner.initialize(state, batch_of(X, Y))
    before = state.pull(PARAMETERS).copy()
    with pytest.raises(Misuse, match="no longer finite"):
        learner.update(state, state.draw([batch_of(X, np.full(60, np.inf))]), False)
    assert np.array_equal(before, state.pull(PARAMETERS)) and state.pull(PROGRESS)[1] == 0


class Beside(nn.Module):
    """Everything that may be beside parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.still = nn.Linear(2, 2), nn.Linear(2, 1).requires_grad_(False)
        self.narrow = nn.Parameter(torch.full((2,), 0.5, dtype=torch.float16), requires_grad=False)
        self.register_buffer("mean", torch.zeros(3, dtype=torch.float64))
        self.register_buffer("count", torch.tensor(7))
        self.register_buffer("mask", torch.tensor([True, False]))
        self.register_buffer("scratch", torch.ones(5), persistent=False)


def test_what_is_beside_parameters_has_tables_of_its_own():
    network = Beside()
    found = kept(network)
    assert [each.numel() for each in found[FROZEN]] == [2, 2, 1]
    assert [each.numel() for each in found[BUFFERS]] == [3]
    assert [each.numel() for each in found[COUNTERS]] == [1, 2]
    assert flat(network).shape == (6,) and kept(nn.Linear(2, 2)) == {}


def test_parameters_come_back_and_tied_ones_are_one():
    network = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    network[2].weight = network[0].weight
    values = np.arange(15, dtype=np.float32)
    load(network, values)
    assert np.array_equal(flat(network), values) and network[2].weight[0, 1] == 1
    network(torch.ones(1, 3)).sum().backward()
    slope = flat_gradient(network)
    assert slope.shape == (15,) and slope[-1] == 1
    with pytest.raises(Misuse, match="14 parameters, the network has 15"):
        load(network, values[:14])


@pytest.mark.parametrize(
    ("learns", "dtype"), [(True, torch.float64), (False, torch.float64), (False, torch.int32)]
)
def test_parameters_that_float32_does_not_hold_are_told(learns, dtype):
    class Strange(Line):
        def network(self, facts: Any) -> nn.Module:
            network = nn.Linear(4, 1)
            network.more = nn.Parameter(torch.zeros(2, dtype=dtype), requires_grad=learns)
            return network

    with pytest.raises(Misuse, match=f"parameters of {str(dtype)[6:]}"):
        Strange().initialize(LocalState(), batch_of(X, Y))


def test_going_on_with_other_settings_is_told():
    class Wider(Line):
        def network(self, facts: Any) -> nn.Module:
            return nn.Linear(4, 2)

    state = LocalState()
    Line().initialize(state, batch_of(X, Y))
    with pytest.raises(Misuse, match="5 parameters, the network has 10"):
        Wider().update(state, state.draw([batch_of(X, Y)]), False)


def test_no_rows_and_words_that_finalize_does_not_take_are_told():
    state, learner = LocalState(), Line()
    with pytest.raises(Misuse, match="no row to begin with"):
        learner.initialize(state, batch_of(X[:0], Y[:0]))
    learner.initialize(LocalState(), batch_of(X, Y))
    learner.initialize(state, batch_of(X, Y))
    with pytest.raises(Misuse, match="takes no 'k'"):
        learner.finalize(state, k=3)
