"""Jobs in TPC-H's shapes."""

import numpy as np
import pytest

from tradewind.advice.scheduling.jobs import checked
from tradewind.advice.scheduling.shapes import LEVELS, WORK, interval_for, tpch_shaped
from tradewind.errors import Misuse

MANY = tpch_shaped(1500, interval=25.0, seed=5)


def _with_first_waves(job, executors=10):
    at = LEVELS.index(executors)
    return sum(
        min(executors, stage.tasks) * stage.first[at] + max(0, stage.tasks - executors) * stage.rest[at]
        for stage in job.stages
    )


def test_they_are_jobs_with_one_result_each():
    checked(MANY)
    for job in MANY:
        parents = {parent for stage in job.stages for parent in stage.parents}
        assert parents == set(range(len(job.stages) - 1))
        assert max(len(stage.parents) for stage in job.stages) <= 2


def test_their_figures_are_those_described():
    stages = [len(job.stages) for job in MANY]
    assert min(stages) == 2 and max(stages) == 18 and 8.7 < np.mean(stages) < 9.7
    tasks = [stage.tasks for job in MANY for stage in job.stages]
    assert 0.55 < np.mean(np.array(tasks) == 200) < 0.65
    work = [_with_first_waves(job) for job in MANY]
    assert np.mean(work) == pytest.approx(WORK, rel=0.08)
    assert np.mean(np.diff([job.arrival for job in MANY])) == pytest.approx(25.0, rel=0.08)


def test_more_executors_have_diminishing_returns():
    for stage in MANY[0].stages:
        assert list(stage.rest) == sorted(stage.rest) and (np.array(stage.first) > stage.rest).all()
        assert (np.diff(np.array(LEVELS) / stage.rest) > 0).all()
        assert stage.rest[LEVELS.index(50)] > 1.5 * stage.rest[LEVELS.index(10)]


def test_equal_seeds_give_equal_jobs_and_more_of_them_begin_alike():
    assert tpch_shaped(5, interval=10.0, seed=3) == tpch_shaped(9, interval=10.0, seed=3)[:5]
    assert tpch_shaped(5, interval=10.0, seed=3) != tpch_shaped(5, interval=10.0, seed=4)
    assert {job.arrival for job in tpch_shaped(5, interval=0.0, seed=3)} == {0.0}


def test_the_interval_for_a_load():
    assert interval_for(0.5, 10) == WORK / 5
    for load, executors in ((0.0, 10), (0.5, 0)):
        with pytest.raises(Misuse, match="load"):
            interval_for(load, executors)
    with pytest.raises(Misuse, match="count"):
        tpch_shaped(0, interval=1.0, seed=0)
    with pytest.raises(Misuse, match="interval"):
        tpch_shaped(1, interval=-1.0, seed=0)
