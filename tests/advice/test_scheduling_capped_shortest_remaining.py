"""The least work first, within a cap."""

import pytest

from tradewind.advice.scheduling.capped_shortest_remaining import CappedShortestRemaining
from tradewind.advice.scheduling.interface import Choice, JobView, SchedulingView
from tradewind.errors import Misuse
from tradewind.testing.schedulers import SchedulerLaws


class TestLaws(SchedulerLaws):
    def scheduler(self):
        return CappedShortestRemaining()


def view(*jobs, executors=8, free=1, source=-1):
    """Jobs are (number, executors, tasks of one second each), with one stage; none waits for the others."""
    return SchedulingView(
        5.0,
        executors,
        free,
        source,
        tuple(
            JobView(number, float(number), busy, (tasks,), (0,) if tasks else (), (True,), (1.0,), ((),))
            for number, busy, tasks in jobs
        ),
    )


def test_the_shortest_job_gets_up_to_its_cap():
    jobs = ((0, 0, 9), (1, 0, 7), (2, 0, 50), (3, 0, 60))
    assert CappedShortestRemaining(1.0).choose(view(*jobs, free=8)) == Choice(1, 0, 2)
    assert CappedShortestRemaining(3.0).choose(view(*jobs, free=8)) == Choice(1, 0, 6)


def test_the_next_has_what_is_above_the_cap():
    assert CappedShortestRemaining(1.0).choose(view((0, 1, 9), (1, 4, 7))) == Choice(0, 0, 4)


def test_nobody_idles_where_a_task_waits():
    assert CappedShortestRemaining(0.5).choose(view((0, 2, 9), (1, 3, 7))) == Choice(0, 0, 3)


def test_the_cap_must_be_above_zero():
    with pytest.raises(Misuse, match="cap"):
        CappedShortestRemaining(0.0)
