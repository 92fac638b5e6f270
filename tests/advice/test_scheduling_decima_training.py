"""Decima's training in torch: the same network as in numpy, and gradients that go the right way."""

import numpy as np
import pytest
import torch

from tradewind.advice.scheduling.capped_shortest_remaining import CappedShortestRemaining
from tradewind.advice.scheduling.decima.network import Network, first_weights
from tradewind.advice.scheduling.decima.rollouts import play
from tradewind.advice.scheduling.decima.training import DecimaModule, Lesson, Training, batch_of
from tradewind.advice.scheduling.shapes import tpch_shaped
from tradewind.advice.scheduling.simulation import Cluster, Simulation

SMALL = Lesson(cluster=Cluster(5), first_jobs=3, jobs=3, sequences=2, runs=2, passes=2, parts=2, rate=5e-3)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def batch():
    runs = [Simulation(tpch_shaped(4, interval=50.0, seed=seed), Cluster(6), seed) for seed in (1, 2)]
    played = play(Network(first_weights(4)), runs, np.random.default_rng(1))
    return batch_of(played, [np.ones(len(each.taken)) for each in played])


def module_of(weights):
    module = DecimaModule()
    module.load_state_dict({name: torch.from_numpy(each) for name, each in weights.items()})
    return module


def test_probabilities_are_those_that_numpy_drew_from(batch):
    logs, entropy = module_of(first_weights(4)).log_probabilities(batch)
    assert logs.detach().numpy() == pytest.approx(batch.old, abs=1e-4)
    assert (entropy.detach().numpy() > -1e-6).all() and entropy.max() > 0.5


def test_a_step_makes_what_was_worth_more_likelier(batch):
    training = Training(SMALL, first_weights(4))
    for _ in range(5):
        training._learn(batch, 0.0)
    logs, _ = module_of(training.weights).log_probabilities(batch)
    assert logs.mean() > batch.old.mean() + 0.01


def test_equal_lessons_give_equal_weights():
    one, two = Training(SMALL), Training(SMALL)
    reports = [[each.step() for _ in range(2)] for each in (one, two)]
    assert reports[0] == reports[1]
    assert all((one.weights[name] == two.weights[name]).all() for name in one.weights)
    assert any((one.weights[name] != each).any() for name, each in first_weights(0).items())
    begin, halves = first_weights(0), Training(SMALL)
    halves.step()
    for name, each in halves.averaged.items():
        assert each == pytest.approx(0.9 * begin[name] + 0.1 * halves.weights[name], abs=1e-6)
    assert reports[0][1].iteration == 2 and reports[0][0].average > 0


def test_imitation_makes_the_teachers_choices_likelier():
    training = Training(SMALL)
    likely = [training.imitate(CappedShortestRemaining(1.0)) for _ in range(5)]
    assert likely[-1] > 1.1 * likely[0]
