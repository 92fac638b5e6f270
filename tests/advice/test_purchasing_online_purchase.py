"""Posted prices: by hand, and what must hold for any stream of jobs."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from tradewind.advice.purchasing.interface import Bought, Job, Supply, sold
from tradewind.advice.purchasing.online_purchase import OnlinePurchase
from tradewind.errors import Misuse

SUPPLY = Supply(8, 3, 0.5)


@st.composite
def streams(draw):
    """A dozen jobs over eight slots."""
    jobs = []
    for at in range(draw(st.integers(1, 12))):
        first = draw(st.integers(0, 7))
        jobs.append(
            Job(
                id=f"j{at}", arrival=first, last=draw(st.integers(first, 7)), tasks=draw(st.integers(1, 8)),
                value=draw(st.floats(0.1, 40)), parallel=draw(st.integers(1, 3)),
            )
        )  # fmt: skip
    return jobs


def test_prices_rise_from_the_least_to_the_greatest_value_and_never_lie_below_cost():
    policy = OnlinePurchase(1.0, 16.0)
    supply = Supply(1, 4, 1.5)
    assert [policy.price(booked, supply) for booked in range(5)] == [1.5, 2.0, 4.0, 8.0, 16.0]


def test_a_job_takes_the_cheapest_units_and_pays_their_sum():
    policy = OnlinePurchase(1.0, 16.0)
    supply = Supply(2, 4, 0.1)
    # Slot 0 asks 4 then 8, slot 1 asks 1 then 2: three units cost 1 + 2 + 4.
    job = Job(id="j", arrival=0, last=1, tasks=3, value=7.0, parallel=2)
    assert policy.answer(job, (2, 0), supply) == Bought("j", ((0, 1), (1, 2)), 7.0)
    assert not policy.answer(replace(job, value=6.99), (2, 0), supply).accepted


@settings(max_examples=60, deadline=None)
@given(streams(), st.floats(0.01, 100))
def test_what_a_job_pays_and_gets_never_depends_on_what_it_reports_but_whether_it_runs(jobs, factor):
    policy = OnlinePurchase(0.4, 20.0)
    sale = sold(jobs, SUPPLY, policy)
    booked = [0] * SUPPLY.slots
    for job, honest in zip(sorted(jobs, key=lambda each: each.arrival), sale.answers, strict=True):
        other = policy.answer(replace(job, value=job.value * factor), tuple(booked), SUPPLY)
        gain = (job.value - honest.payment) * honest.accepted
        assert (job.value - other.payment) * other.accepted <= gain + 1e-9
        assert gain >= 0
        if honest.accepted and other.accepted:
            assert other == honest
        for slot, count in honest.slots:
            booked[slot] += count


@settings(max_examples=60, deadline=None)
@given(streams())
def test_no_slot_is_booked_beyond_what_there_is_and_payments_cover_the_cost(jobs):
    sale = sold(jobs, SUPPLY, OnlinePurchase(0.4, 20.0))
    assert max(sale.booked) <= SUPPLY.capacity
    assert sale.profit >= -1e-9
    counted = [0] * SUPPLY.slots
    for answer in sale.answers:
        for slot, count in answer.slots:
            counted[slot] += count
    assert tuple(counted) == sale.booked


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (1.0, float("inf"))])
def test_bounds_that_are_none_are_refused(bounds):
    with pytest.raises(Misuse, match="bounds of value"):
        OnlinePurchase(*bounds)
