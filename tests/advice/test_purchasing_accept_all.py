"""First come, first served."""

from tradewind.advice.purchasing.accept_all import AcceptAll
from tradewind.advice.purchasing.interface import Job, Supply, sold


def test_jobs_are_taken_in_their_order_in_the_earliest_slots_at_cost_whatever_they_are_worth():
    jobs = [
        Job(id="a", arrival=0, last=2, tasks=3, value=0.1, parallel=2),
        Job(id="b", arrival=0, last=0, tasks=1, value=100.0),
        Job(id="c", arrival=1, last=2, tasks=2, value=1.0),
    ]
    sale = sold(jobs, Supply(3, 2, 0.5), AcceptAll())
    assert [answer.slots for answer in sale.answers] == [((0, 2), (1, 1)), (), ((1, 1), (2, 1))]
    assert sale.booked == (2, 2, 1)
    assert abs(sale.welfare - (0.1 + 1.0 - 5 * 0.5)) < 1e-12
    assert sale.profit == 0
