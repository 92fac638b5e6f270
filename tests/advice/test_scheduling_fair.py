"""The same number of executors for each job."""

from tradewind.advice.scheduling.fair import Fair
from tradewind.advice.scheduling.interface import Choice, JobView, SchedulingView
from tradewind.testing.schedulers import SchedulerLaws


class TestLaws(SchedulerLaws):
    def scheduler(self):
        return Fair()


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


def test_the_job_with_least_gets_its_share():
    assert Fair().choose(view((0, 4, 9), (1, 1, 9), free=3)) == Choice(1, 0, 4)


def test_free_executors_stay_below_their_jobs_share():
    assert Fair().choose(view((0, 3, 9), (1, 1, 9), source=0)) == Choice(0, 0, 4)
    assert Fair().choose(view((0, 4, 9), (1, 1, 9), source=0)) == Choice(1, 0, 4)


def test_nobody_idles_where_a_task_waits():
    # Job 1 has no task for its share of the rest: job 0 goes one above its own.
    assert Fair().choose(view((0, 4, 9), (1, 1, 0))) == Choice(0, 0, 5)


def test_shares_are_rounded_up():
    assert Fair().choose(view((0, 3, 9), (1, 2, 9), (2, 2, 9))) == Choice(1, 0, 3)
