"""The Gymnasium environment."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tradewind.advice.scheduling.environment import COLUMNS, SchedulingEnvironment
from tradewind.advice.scheduling.fifo import Fifo
from tradewind.advice.scheduling.jobs import Job, Stage
from tradewind.advice.scheduling.simulation import Cluster, Simulation
from tradewind.errors import Misuse

JOBS = (Job("a", 0.0, (Stage(6, (1.0,)),)), Job("b", 1.0, (Stage(2, (1.0,)), Stage(3, (2.0,), parents=(0,)))))


def test_gymnasium_finds_nothing_wrong():
    check_env(SchedulingEnvironment(Cluster(4), jobs=3), skip_render_check=True)


def test_rewards_add_up_to_the_completion_times_of_the_same_choices():
    still = Cluster(2, 0.0, 0.0, 0.0)
    environment = SchedulingEnvironment(still, streams=lambda seed: JOBS)
    environment.reset(seed=3)
    paid, over = 0.0, False
    while not over:
        # The first row is the first job's first stage, and all executors may go: first come, first served.
        _, reward, over, cut, _ = environment.step(np.array([0, 1]))
        paid += reward
        assert not cut
    run = Simulation(JOBS, still, 0)
    while run.advance():
        run.apply(Fifo().choose(run.view()))
    assert paid == pytest.approx(-run.job_seconds) and paid == pytest.approx(-(3.0 + (8.0 - 1.0)))
    with pytest.raises(Misuse, match="over"):
        environment.step(np.array([0, 1]))


def test_rows_are_the_runnable_stages():
    environment = SchedulingEnvironment(Cluster(2, 0.0, 0.0, 0.0), streams=lambda seed: JOBS, most=3)
    environment.reset(seed=3)
    observation, *_ = environment.step(np.array([0, 0]))
    # One executor works on a; the other is free at 0: nothing of b is here yet.
    assert observation["mask"].tolist() == [1, 0, 0]
    assert observation["stages"][0].tolist() == [2.5, 2.5, 2.5, 1.0, 0.5, 0.0, 0.5, 0.0]
    assert not observation["stages"][1:].any() and len(COLUMNS) == 8
    observation, _, _, _, info = environment.step(np.array([2, 0]))
    assert info["view"].moment == 3.0 and observation["mask"].tolist() == [1, 0, 0]


def test_seeds_decide_everything_and_wrong_actions_are_refused():
    one, two = (SchedulingEnvironment(Cluster(4), jobs=3).reset(seed=8)[1]["view"] for _ in range(2))
    assert one == two
    environment = SchedulingEnvironment(Cluster(4), jobs=3)
    environment.reset(seed=8)
    with pytest.raises(Misuse, match="no action"):
        environment.step(np.array([0, 4]))
    with pytest.raises(Misuse, match="most"):
        SchedulingEnvironment(most=0)
