"""What a batch takes and how fast requests come, against least squares by numpy and sums by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.serving.batching.latency import (
    FIRST_SPREAD,
    FORGETTING,
    ArrivalRate,
    Beside,
    LearnedLatency,
)


def learned(batches: list[tuple[int, float]]) -> LearnedLatency:
    found = LearnedLatency()
    for rows, seconds in batches:
        found = found.observed(rows, seconds)
    return found


def test_the_first_batch_is_half_fixed_and_nothing_is_known_before_it() -> None:
    assert LearnedLatency().latency.of(7) == 0.0
    found = LearnedLatency().observed(4, 0.008).latency
    assert (found.per_row, found.fixed, found.deviation) == (0.001, 0.004, FIRST_SPREAD * 0.008)
    assert found.of(4) == pytest.approx(0.008)


def test_it_is_weighted_least_squares_where_sizes_differ() -> None:
    random = np.random.default_rng(3)
    rows = random.integers(1, 64, 300)
    seconds = 0.0045 + 0.0005 * rows + random.normal(0.0, 2e-4, 300)
    found = learned(list(zip(rows.tolist(), seconds.tolist(), strict=True)))
    root = np.sqrt(FORGETTING ** np.arange(299, -1, -1.0))
    slope, fixed = np.linalg.lstsq(np.c_[rows, np.ones(300)] * root[:, None], seconds * root)[0]
    left = (seconds - slope * rows - fixed) * root
    assert found.per_row == pytest.approx(slope, rel=1e-4)
    assert found.fixed == pytest.approx(fixed, rel=1e-4)
    assert found.deviation == pytest.approx(math.sqrt(left @ left / (root @ root)), rel=0.1)


def test_the_slope_stays_while_all_batches_have_one_size() -> None:
    line = learned([(rows, 0.002 + 0.001 * rows) for rows in (1, 5, 9, 3, 20) * 20])
    for _ in range(2000):
        line = line.observed(2, 0.004)
    assert line.per_row == pytest.approx(0.001, rel=1e-3)
    assert line.fixed == pytest.approx(0.002, rel=1e-3)


def test_it_follows_a_model_that_becomes_slower() -> None:
    line = learned([(rows, 0.002 + 0.001 * rows) for rows in (1, 5, 9) * 60])
    for rows in (1, 5, 9) * 100:
        line = line.observed(rows, 0.004 + 0.003 * rows)
    assert line.latency.of(6) == pytest.approx(0.022, rel=0.01)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 512), st.floats(0.0, 10.0)), min_size=1, max_size=40))
def test_nothing_is_ever_negative_or_lost(batches: list[tuple[int, float]]) -> None:
    line = learned(batches)
    assert min(line.per_row, line.fixed, line.deviation) >= 0.0
    assert all(map(math.isfinite, (line.per_row, line.fixed, line.deviation)))


def test_larger_batches_that_were_quicker_make_no_falling_line() -> None:
    line = learned([(1, 0.010), (10, 0.001)] * 50)
    assert line.per_row == 0.0
    assert line.fixed == pytest.approx(0.0055, rel=0.1)
    line = learned([(10, 0.0001), (20, 0.02)] * 50)
    assert line.fixed == 0.0
    assert line.per_row > 0.0


def test_a_guess_is_kept_until_batches_say_otherwise() -> None:
    guess = LearnedLatency.guess(0.0005, 0.0045, 1e-4)
    assert guess.latency.of(10) == pytest.approx(0.0095)
    for rows in (1, 4, 16) * 60:
        guess = guess.observed(rows, 0.001 + 0.001 * rows)
    assert guess.latency.of(10) == pytest.approx(0.011, rel=0.01)


def test_the_rate_of_two_arrivals_by_hand() -> None:
    rate = ArrivalRate(window=2.0).arrived(10.0)
    assert rate.of(10.0) == rate.of(11.0) == 0.0
    rate = rate.arrived(10.5, 3)
    assert rate.of(10.5) == pytest.approx(3 / (2.0 * (1.0 - math.exp(-0.25))))
    assert rate.of(12.5) == pytest.approx(3 * math.exp(-1.0) / (2.0 * (1.0 - math.exp(-1.25))))


def test_the_rate_of_a_steady_stream_and_of_the_silence_after_it() -> None:
    rate = ArrivalRate()
    for at in range(1, 2001):
        rate = rate.arrived(at / 200.0)
        if at in {40, 2000}:
            assert rate.of(at / 200.0) == pytest.approx(200.0, rel=0.01)
    assert rate.of(10.0 + math.log(4.0)) == pytest.approx(50.0, rel=0.01)
    assert rate.of(100.0) < 1e-30


def test_arrivals_of_one_moment_count_all() -> None:
    rate = ArrivalRate().arrived(0.0)
    for _ in range(10):
        rate = rate.arrived(1.0)
    assert rate.of(1.0) == pytest.approx(10 / (1.0 - math.exp(-1.0)))


def test_what_happens_beside_a_batch_by_hand() -> None:
    assert Beside().most == 0.0
    first = Beside().observed(0.008)
    assert (first.mean, first.deviation, first.most) == (0.008, 0.004, 0.016)
    then = first.observed(0.016)
    assert then.mean == pytest.approx(0.009) and then.deviation == pytest.approx(0.005)
    for _ in range(100):
        then = then.observed(0.002)
    assert then.most == pytest.approx(0.002, abs=1e-6)
