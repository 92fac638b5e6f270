"""The least work first."""

from tradewind.advice.scheduling.interface import Choice, JobView, SchedulingView
from tradewind.advice.scheduling.shortest_remaining_work import ShortestRemainingWork
from tradewind.testing.schedulers import SchedulerLaws


class TestLaws(SchedulerLaws):
    def scheduler(self):
        return ShortestRemainingWork()


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


def test_the_job_with_least_work_gets_all():
    assert ShortestRemainingWork().choose(view((0, 0, 9), (1, 2, 7), (2, 0, 8), free=4)) == Choice(1, 0, 8)


def test_work_counts_in_seconds_and_without_a_runnable_stage_it_is_no_use():
    slow = JobView(0, 0.0, 0, (2,), (0,), (True,), (60.0,), ((),))
    quick = JobView(1, 0.0, 0, (90,), (0,), (True,), (1.0,), ((),))
    waiting = JobView(2, 0.0, 1, (0, 1), (), (True, True), (1.0, 1.0), ((), (0,)))
    asked = SchedulingView(0.0, 8, 1, -1, (slow, quick, waiting))
    assert ShortestRemainingWork().choose(asked) == Choice(1, 0, 8)
