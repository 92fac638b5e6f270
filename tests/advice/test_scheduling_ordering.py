"""What the heuristics share."""

from tradewind.advice.scheduling.interface import Choice, JobView, SchedulingView
from tradewind.advice.scheduling.ordering import at_most, by_shares, fair_share, runnable_jobs


def job(number, executors, runnable=(0,)):
    return JobView(number, 0.0, executors, (4, 4), runnable, (True, True), (1.0, 1.0), ((), ()))


def test_shares_and_limits():
    view = SchedulingView(0.0, 10, 1, -1, (job(0, 3), job(1, 2, ()), job(2, 1, (1,))))
    assert [each.number for each in runnable_jobs(view)] == [0, 2]
    assert fair_share(view) == 4
    assert at_most(view.jobs[2], 0) == Choice(2, 1, 1)


def test_whoever_is_furthest_below_the_share_goes_first():
    view = SchedulingView(0.0, 10, 1, -1, (job(0, 3), job(1, 2), job(2, 3)))
    assert by_shares(view, {0: 5.0, 1: 3.0, 2: 4.0}) == Choice(0, 0, 5)
    assert by_shares(view, {0: 3.0, 1: 2.0, 2: 3.0}) == Choice(0, 0, 4)
