"""First come, first served."""

from tradewind.advice.scheduling.fifo import Fifo
from tradewind.advice.scheduling.interface import Choice, JobView, SchedulingView
from tradewind.testing.schedulers import SchedulerLaws


class TestLaws(SchedulerLaws):
    def scheduler(self):
        return Fifo()


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


def test_the_first_job_that_can_use_them_gets_all():
    assert Fifo().choose(view((0, 3, 0), (1, 0, 50), (2, 0, 1))) == Choice(1, 0, 8)
