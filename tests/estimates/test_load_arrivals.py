"""Arrivals: counts and gaps of the processes, and traces that keep their shape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tradewind.errors import Misuse
from tradewind.estimates.load.arrivals import bursty, mmpp, poisson, replayed


def test_poisson_gaps_are_exponential_and_its_counts_vary_as_they_should() -> None:
    moments = poisson(50.0, 2000.0, 1)
    gaps = np.diff(moments)
    assert len(moments) == pytest.approx(100_000, rel=0.01)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.02)
    assert (gaps > 1.0 / 50.0).mean() == pytest.approx(np.exp(-1.0), abs=0.005)
    counts = np.histogram(moments, bins=2000, range=(0, 2000))[0]
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.1)


def test_another_rate_is_the_same_chance_closer_together() -> None:
    slow, fast = poisson(10.0, 30.0, 7), poisson(40.0, 7.5, 7)
    np.testing.assert_allclose(slow, 4.0 * fast)


def test_mmpp_has_the_mean_rate_and_the_dispersion_of_its_states() -> None:
    moments = mmpp((100.0, 400.0), (4.0, 1.0), 8000.0, 3)
    assert len(moments) / 8000.0 == pytest.approx(160.0, rel=0.03)
    # Index of dispersion for long counts (Fischer and Meier-Hellstern, equation 15, by hand):
    # 1 + 2 (l1 - l2)^2 q1 q2 / ((q1 + q2)^2 (l1 q2 + l2 q1)), with q1 = 1/4, q2 = 1.
    limit = 1 + 2 * 300.0**2 * 0.25 * 1.0 / (1.25**2 * (100.0 * 1.0 + 400.0 * 0.25))
    counts = np.histogram(moments, bins=160, range=(0, 8000))[0]
    assert counts.var() / counts.mean() == pytest.approx(limit, rel=0.25)


def test_a_silent_state_is_silent() -> None:
    moments = mmpp((0.0, 100.0), (5.0, 5.0), 100.0, 2)
    assert np.diff(moments).max() > 1.0
    assert len(moments) < 9000


def test_bursts_keep_the_mean_rate() -> None:
    moments = bursty(200.0, 4000.0, 5, burst=4.0, share=0.2, sojourn=0.5)
    assert len(moments) / 4000.0 == pytest.approx(200.0, rel=0.03)
    per_tenth = np.histogram(moments, bins=40_000, range=(0, 4000))[0]
    assert (per_tenth > 32).mean() == pytest.approx(0.2, abs=0.04)


@pytest.mark.parametrize("maker", [lambda seed: poisson(100, 5.0, seed), lambda seed: bursty(100, 5.0, seed)])
def test_moments_ascend_within_the_time_and_only_the_seed_decides(
    maker: Callable[[int], np.ndarray],
) -> None:
    moments = maker(1)
    assert (np.diff(moments) >= 0).all()
    assert 0.0 <= moments[0] <= moments[-1] < 5.0
    assert maker(1).tobytes() == moments.tobytes() != maker(2).tobytes()


def test_a_trace_keeps_the_ratios_of_its_gaps() -> None:
    recorded = np.array([100.0, 101.0, 105.0, 105.0, 110.0])
    played = replayed(recorded, 8.0)
    np.testing.assert_allclose(played, [0.0, 0.05, 0.25, 0.25, 0.5])
    assert (len(played) - 1) / played[-1] == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: poisson(0.0, 1.0, 1), "rate"),
        (lambda: poisson(1.0, -1.0, 1), "seconds"),
        (lambda: mmpp((1.0,), (1.0,), 1.0, 1), "rates"),
        (lambda: mmpp((0.0, 0.0), (1.0, 1.0), 1.0, 1), "rates"),
        (lambda: mmpp((1.0, 2.0), (1.0, 0.0), 1.0, 1), "sojourns"),
        (lambda: bursty(1.0, 1.0, 1, share=1.0), "share"),
        (lambda: replayed([1.0], 1.0), "recorded"),
        (lambda: replayed([2.0, 1.0], 1.0), "recorded"),
        (lambda: replayed([1.0, 2.0], 0.0), "rate"),
    ],
)
def test_bad_input_is_said(call: Callable[[], object], field: str) -> None:
    with pytest.raises(Misuse, match=field):
        call()
