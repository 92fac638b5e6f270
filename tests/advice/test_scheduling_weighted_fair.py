"""Shares by a power of the work."""

import pytest

from tradewind.advice.scheduling.interface import Choice, JobView, SchedulingView
from tradewind.advice.scheduling.weighted_fair import WeightedFair
from tradewind.errors import Misuse
from tradewind.testing.schedulers import SchedulerLaws


class TestLaws(SchedulerLaws):
    def scheduler(self):
        return WeightedFair()


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


def test_small_jobs_get_more_below_zero_and_less_above():
    jobs = ((0, 0, 10), (1, 0, 30))
    # Shares of 8 executors: 6 and 2 at -1, 4 and 4 at 0, 2 and 6 at 1.
    assert WeightedFair(-1.0).choose(view(*jobs, free=8)) == Choice(0, 0, 6)
    assert WeightedFair(0.0).choose(view(*jobs, free=8)) == Choice(0, 0, 4)
    assert WeightedFair(1.0).choose(view(*jobs, free=8)) == Choice(1, 0, 6)


def test_each_has_one_at_least():
    assert WeightedFair(1.0).choose(view((0, 0, 1), (1, 8, 10_000), source=0)) == Choice(0, 0, 1)


def test_alpha_must_be_a_number():
    with pytest.raises(Misuse, match="alpha"):
        WeightedFair(float("nan"))
