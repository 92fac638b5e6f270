"""Which requests of a burst go to functions."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.serving.batching.interface import Latency
from tradewind.serving.overflow import Burst, FunctionTerms, expected_wait, route

FUNCTION = FunctionTerms(per_request=2e-6, warm=0.03, cold=0.5, concurrency=4)


def burst(**fields):
    plain = {
        "slack": 0.05, "rows": 1, "ahead": 0, "replicas": 2, "largest": 4,
        "latency": Latency(0.002, 0.008), "calling": 0, "warm": 4,
    }  # fmt: skip
    return Burst(**plain | fields)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, 0.010),
        ({"rows": 6}, 0.020),  # a request of more rows than a batch goes alone, whole
        ({"ahead": 7}, 0.016),  # eight rows: a batch of four on each
        ({"ahead": 8}, 0.032),  # nine: three batches on two replicas are two rounds
        ({"replicas": 0}, math.inf),
    ],
)
def test_how_long_the_replicas_take(fields, seconds):
    assert expected_wait(burst(**fields)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("fields", "options", "function", "reason"),
    [
        ({"ahead": 7}, {}, False, "in time"),
        ({"ahead": 100}, {}, True, "would be late"),
        ({"ahead": 100, "slack": math.inf}, {}, False, "in time"),
        ({"ahead": 100, "calling": 4}, {}, False, "as many calls"),
        ({"ahead": 100, "calling": 2, "warm": 2}, {}, False, "late as well"),
        ({"ahead": 1000, "slack": 0.6, "warm": 0}, {}, True, "would be late"),
        ({"ahead": 100, "slack": 0.02}, {}, False, "late as well"),
        ({"replicas": 0, "slack": 0.02}, {}, True, "would be late"),
        ({"ahead": 100}, {"late": 1e-6}, False, "costs less"),
        ({"ahead": 100}, {"late": 3e-6}, True, "would be late"),
    ],
)
def test_where_a_request_goes(fields, options, function, reason):
    found = route(burst(**fields), FUNCTION, **options)
    assert found.function == function and reason in found.reason


def test_without_a_function_and_with_a_spread():
    assert not route(burst(ahead=100), None).function
    near = burst(ahead=8, slack=0.035, latency=Latency(0.002, 0.008, 0.004))
    assert route(near, FUNCTION).function and not route(near, FUNCTION, deviations=0.5).function


@given(
    st.integers(0, 200), st.integers(1, 8), st.floats(0.0, 1.0), st.integers(0, 5), st.integers(0, 5),
    st.floats(0.0, 1e-5),
)  # fmt: skip
def test_nothing_in_time_is_paid_for_and_nothing_is_paid_that_costs_more_than_it_saves(
    ahead, replicas, slack, calling, warm, late
):
    told = burst(ahead=ahead, replicas=replicas, slack=slack, calling=calling, warm=warm)
    found = route(told, FUNCTION, late)
    if found.function:
        assert expected_wait(told) > slack >= found.expected and FUNCTION.per_request <= late
        assert calling < FUNCTION.concurrency
