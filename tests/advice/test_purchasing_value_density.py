"""One bar for everybody."""

from tradewind.advice.purchasing.interface import Job, Supply, sold
from tradewind.advice.purchasing.value_density import ValueDensity


def test_jobs_below_the_bar_or_below_cost_are_refused():
    jobs = [
        Job(id=str(at), arrival=0, last=3, tasks=2, value=value) for at, value in enumerate((1.9, 2.0, 5.0))
    ]
    assert [each.payment for each in sold(jobs, Supply(4, 9, 0.5), ValueDensity(1.0)).answers] == [
        0.0,
        2.0,
        2.0,
    ]
    assert [each.payment for each in sold(jobs, Supply(4, 9, 1.5), ValueDensity(1.0)).answers] == [
        0.0,
        0.0,
        3.0,
    ]
