"""Cheapest units, against trying everything."""

import itertools

import hypothesis.strategies as st
from hypothesis import given, settings

from tradewind.advice.purchasing.interface import Job, Supply
from tradewind.advice.purchasing.slots import cheapest_units

SUPPLY = Supply(3, 3, 0.0)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.integers(0, 3)] * 3),
    st.integers(1, 6),
    st.integers(1, 3),
    st.tuples(*[st.integers(1, 9)] * 3),
)
def test_no_other_choice_is_cheaper(booked, tasks, parallel, steps):
    def price(slot, count):
        return float(steps[slot] * (count + 1))

    job = Job(id="j", arrival=0, last=2, tasks=tasks, value=1.0, parallel=parallel)
    sums = []
    for counts in itertools.product(range(parallel + 1), repeat=3):
        if sum(counts) == tasks and all(b + c <= 3 for b, c in zip(booked, counts, strict=True)):
            sums.append(sum(price(s, booked[s] + n) for s in range(3) for n in range(counts[s])))
    found = cheapest_units(job, booked, SUPPLY, price)
    if not sums:
        assert found is None
        return
    assert found is not None
    assert found[1] == min(sums)
    assert sum(count for _, count in found[0]) == tasks
