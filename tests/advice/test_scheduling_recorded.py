"""Recorded jobs as jobs of one stage."""

import numpy as np
import pytest

from tradewind.advice.scheduling.fair import Fair
from tradewind.advice.scheduling.jobs import checked
from tradewind.advice.scheduling.recorded import recorded_jobs
from tradewind.advice.scheduling.simulation import Cluster, simulate
from tradewind.errors import Misuse

TRACE = (np.array([0.0, 5.0, 6.0, 20.0]), np.array([9.0, 30.0, 40.0, 80.0]), np.array([1, 2, 1, 1]))


def test_jobs_load_the_cluster_as_asked():
    jobs = recorded_jobs(*TRACE, first=1, count=3, executors=4, load=0.5, longest=60.0)
    assert [(job.name, job.stages[0].tasks, job.stages[0].rest) for job in jobs] == [
        ("job-1", 2, (30.0,)), ("job-2", 1, (40.0,)), ("job-3", 1, (60.0,)),
    ]  # fmt: skip
    # 160 seconds of work, 4 executors at a half: 80 s in place of the 15 recorded.
    assert [job.arrival for job in jobs] == pytest.approx([0.0, 80 / 15, 80.0])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"first": 2, "count": 3}, "jobs 2 to 4 of 4"),
        ({"count": 1}, "count"),
        ({"count": 3, "load": 0.0}, "load"),
    ],
)
def test_what_is_not_there_is_refused(arguments, told):
    with pytest.raises(Misuse, match=told):
        recorded_jobs(*TRACE, **({"executors": 4, "load": 0.5} | arguments))
    with pytest.raises(Misuse, match="one moment"):
        recorded_jobs(np.zeros(2), np.ones(2), np.ones(2), count=2, executors=1, load=1.0)


def test_they_run():
    jobs = checked(recorded_jobs(*TRACE, count=4, executors=2, load=0.7))
    assert simulate(Fair(), jobs, Cluster(2, 0.0, 0.0, 0.0), 0).average >= np.mean(TRACE[1])
