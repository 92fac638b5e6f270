"""Runs side by side."""

import numpy as np

from tradewind.advice.scheduling.decima.network import Network, first_weights
from tradewind.advice.scheduling.decima.rollouts import play
from tradewind.advice.scheduling.decima.scheduler import Decima
from tradewind.advice.scheduling.fair import Fair
from tradewind.advice.scheduling.shapes import tpch_shaped
from tradewind.advice.scheduling.simulation import Cluster, Simulation, simulate

CLUSTER = Cluster(6)
NETWORK = Network(first_weights(3))
STREAMS = [tpch_shaped(4, interval=60.0, seed=seed) for seed in (1, 2, 3)]


def runs():
    return [Simulation(jobs, CLUSTER, 9) for jobs in STREAMS]


def test_runs_together_are_as_each_alone_under_the_scheduler():
    for episode, jobs in zip(play(NETWORK, runs(), None), STREAMS, strict=True):
        alone = simulate(Decima(NETWORK), jobs, CLUSTER, 9)
        assert episode.simulation.board.over.tolist() == alone.completions.tolist()
        assert episode.decisions == alone.decisions and episode.taken == []


def test_a_teacher_decides_and_is_remembered():
    for episode, jobs in zip(play(NETWORK, runs(), np.random.default_rng(0), Fair()), STREAMS, strict=True):
        alone = simulate(Fair(), jobs, CLUSTER, 9)
        assert episode.simulation.board.over.tolist() == alone.completions.tolist()
        assert len(episode.taken) == episode.decisions == alone.decisions


def test_what_is_remembered_is_what_was_drawn():
    one, two = (play(NETWORK, runs(), np.random.default_rng(5))[0] for _ in range(2))
    assert [(each.chosen, each.limit) for each in one.taken] == [
        (each.chosen, each.limit) for each in two.taken
    ]
    assert len({each.chosen for each in one.taken}) > 1
    for taken in one.taken:
        assert 0 <= taken.chosen < len(taken.options) and 0 <= taken.limit < len(taken.limits)
        assert sum(len(one.graphs[each].runnable) for each in taken.jobs) == len(taken.options)
        assert taken.log_probability <= 1e-6
        jobs, work, one_by_one = taken.crowd
        assert jobs == len(taken.jobs) and work <= one_by_one <= jobs * work + 1e-9
