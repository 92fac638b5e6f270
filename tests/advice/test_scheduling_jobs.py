"""Jobs: what they say of themselves, and which are refused."""

import math

import pytest

from tradewind.advice.scheduling.jobs import Job, Stage, checked
from tradewind.errors import Misuse

GOOD = Stage(3, (2.0,))


def test_work_and_tasks_by_hand():
    job = Job("j", 0.0, (Stage(3, (2.0, 4.0)), Stage(5, (0.5, 9.0), (1.0, 9.0), parents=(0,))), (1, 8))
    assert job.tasks == 8
    assert job.work == 3 * 2.0 + 5 * 0.5
    assert job.parents == ((), (0,))
    assert job.stages[0].later == (2.0, 4.0) and job.stages[1].later == (1.0, 9.0)
    assert job.moved(7.0).arrival == 7.0 and job.moved(7.0).stages == job.stages
    assert checked([job]) == (job,)


@pytest.mark.parametrize(
    ("job", "told"),
    [
        (Job("j", -1.0, (GOOD,)), "job j: arrival"),
        (Job("j", math.nan, (GOOD,)), "job j: arrival"),
        (Job("j", 0.0, ()), "job j: stages"),
        (Job("j", 0.0, (GOOD,), ()), "job j: levels"),
        (Job("j", 0.0, (Stage(3, (2.0, 1.0)),), (4, 4)), "job j: levels"),
        (Job("", 0.0, (Stage(0, (2.0,)),)), "job 0, stage 0: tasks"),
        (Job("j", 0.0, (Stage(3, (0.0,)),)), "job j, stage 0: rest"),
        (Job("j", 0.0, (Stage(3, ()),)), "job j, stage 0: rest"),
        (Job("j", 0.0, (Stage(3, (1.0,), (1.0, 2.0)),)), "job j, stage 0: first"),
        (Job("j", 0.0, (Stage(3, (1.0,), (), (math.inf,)),)), "job j, stage 0: fresh"),
        (Job("j", 0.0, (GOOD, Stage(3, (1.0,), parents=(1,)))), "job j, stage 1: parents"),
        (Job("j", 0.0, (GOOD, Stage(3, (1.0,), parents=(0, 0)))), "job j, stage 1: parents"),
    ],
)
def test_what_cannot_run_is_refused_by_name(job, told):
    with pytest.raises(Misuse, match=told):
        checked([job])


def test_no_job_is_refused():
    with pytest.raises(Misuse, match="no job"):
        checked([])
