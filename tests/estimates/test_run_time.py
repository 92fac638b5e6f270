"""The estimate of time and cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.estimates.run_time import (
    Interval,
    cost,
    price_range,
    run_time,
    seconds_per_row,
    synchronous_efficiency,
)

positive = st.floats(1e-6, 1e3)


def test_time_is_startup_plus_work_over_speedup_plus_finalize() -> None:
    told = run_time(1000, Interval(0.009, 0.010, 0.011), 4.0, startup=60, finalize=5)
    assert told.expected == pytest.approx(60 + 1000 * 0.010 / 4 + 5)
    assert told.low == pytest.approx(60 + 1000 * 0.009 / 4 + 5)


def test_cost_is_time_at_the_price_of_all_leases() -> None:
    told = cost(Interval(3600, 7200, 10800), Interval(1.0, 2.0, 3.0))
    assert (told.low, told.expected, told.high) == (1.0, 4.0, 9.0)


def test_rate_of_equal_batches_keeps_a_margin_for_drift() -> None:
    told = seconds_per_row([1.0, 1.0, 1.0], [100, 100, 100])
    assert told.expected == pytest.approx(0.01)
    assert told.low == pytest.approx(0.0095)


@given(st.lists(positive, min_size=2, max_size=30))
def test_bounds_are_ordered_and_hold_the_mean(seconds: list[float]) -> None:
    told = seconds_per_row(seconds, [10] * len(seconds))
    assert 0 < told.low <= told.expected <= told.high


@given(st.lists(positive, min_size=1, max_size=30))
def test_price_range_holds_the_latest_price(prices: list[float]) -> None:
    told = price_range(prices)
    assert told.covers(prices[-1]) and told.expected == prices[-1]


@pytest.mark.parametrize(
    "call",
    [
        lambda: seconds_per_row([1.0], [10]),
        lambda: seconds_per_row([1.0, 2.0], [10]),
        lambda: run_time(10, Interval(1, 1, 1), 0.0),
        lambda: price_range([]),
    ],
)
def test_bad_input_is_told(call) -> None:
    with pytest.raises(Misuse):
        call()


def test_equal_batches_never_wait() -> None:
    assert synchronous_efficiency([0.5] * 4, 8, 2) == pytest.approx(1.0)


def test_one_instance_never_waits() -> None:
    assert synchronous_efficiency([0.1, 0.9], 1, 3) == pytest.approx(1.0)


def test_a_round_is_as_slow_as_its_slowest() -> None:
    # Two instances, a batch each, 0 or 1 second with equal chance: the mean is 1/2, the mean largest 3/4.
    assert synchronous_efficiency([0.0, 1.0], 2, 1, rounds=20_000) == pytest.approx(2 / 3, abs=0.02)


@given(st.lists(positive, min_size=1, max_size=20), st.integers(1, 8), st.integers(1, 4))
def test_efficiency_is_a_share(seconds: list[float], instances: int, each: int) -> None:
    assert 0 < synchronous_efficiency(seconds, instances, each, rounds=50) <= 1 + 1e-9
