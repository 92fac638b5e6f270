"""Learning curves: the rational fit against scipy, stages, clipping, trends, and what intervals hold."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from tradewind.errors import Misuse
from tradewind.estimates.learning_curve import fit, forecasts, foretold, stages, trend

FEW = settings(max_examples=40, deadline=None, derandomize=True)


def rational(k: np.ndarray, a: tuple[float, float, float], floor: float) -> np.ndarray:
    return 1 / (a[0] * k**2 + a[1] * k + a[2]) + floor


def with_scipy(k: np.ndarray, y: np.ndarray) -> float:
    """The least error over the same a3, by scipy's non-negative least squares."""
    best = math.inf
    for share in (0.001, 0.01, 0.03, 0.1, 0.2, 0.4, 0.8, 1.5):
        apart = y - (y.min() - np.ptp(y) * share)
        weights = apart**2
        columns = np.stack([k**2, k, np.ones_like(k)], axis=1)
        found, _ = nnls(columns * weights[:, None], weights / apart)
        below = columns @ found
        if (below > 0).all():
            best = min(best, float(np.sqrt(np.mean((1 / below - apart) ** 2))))
    return best


@FEW
@given(st.integers(0, 10**6), st.integers(5, 60), st.sampled_from([0.0, 0.01, 0.1]))
def test_the_fit_is_that_of_scipy(seed, count, noise) -> None:
    chance = np.random.default_rng(seed)
    k = np.arange(1, count + 1.0)
    y = rational(k, tuple(chance.uniform(0, 1, 3) * (0.01, 0.3, 2)), chance.uniform(0, 1))
    y = y + chance.normal(0, noise, count)
    if stages(y) != [0]:
        return
    found = fit(k, y)
    assert found is not None
    assert all(each >= 0 for each in found.coefficients)
    assert found.error <= with_scipy(k / k[-1], y) * (1 + 1e-4) + 1e-9
    again = np.sqrt(np.mean([(found.at(at) - loss) ** 2 for at, loss in zip(k, y, strict=True)]))
    assert found.error == pytest.approx(again, rel=1e-6, abs=1e-12)


def test_a_rational_curve_is_continued() -> None:
    """Its a3 lies between those tried, so the end is close and not exact."""
    k = np.arange(1, 101.0)
    y = rational(k, (0.0001, 0.02, 1.5), 0.4)
    assert foretold(k[:70], y[:70], 100) == pytest.approx(y[-1], rel=0.04)
    assert abs(foretold(k[:70], y[:70], 100) - y[-1]) < 0.3 * abs(y[69] - y[-1])


def test_stages() -> None:
    y = [2.0, 1.0, 0.99, 0.98, 0.97, 0.96, 0.6, 0.59, 0.58, 0.4, 0.39, 0.38, 0.2]
    assert stages(y) == [0, 6, 9]
    assert stages(y[:4]) == [0]
    assert stages(y[:11], ends=1) == [0, 1, 6, 9]
    assert stages([0.0, 0.0, 0.0, -1.0, -1.0, -1.0, -1.0]) == [0]


def test_only_the_last_stage_is_fitted() -> None:
    k = np.arange(1, 41.0)
    y = np.where(k <= 20, 2 + 1 / k, 1 + 1 / np.maximum(k - 19, 1))
    y[20:] = 1 + 0.5 / np.arange(1, 21)
    assert fit(k, y).start == 20
    assert fit(k, y, boundaries=(11, 90)).start == 10
    assert fit(k[:23], y[:23]).start == 0, "no stage so close to the end"
    assert fit(k[:23], y[:23], boundaries=(21,)) is None, "three points"


@FEW
@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from([1.0, 1e-6, 1e9]))
def test_forecasts_stay_in_the_band(seed, count, scale) -> None:
    chance = np.random.default_rng(seed)
    y = scale * (chance.random(count) + np.linspace(chance.random(), 0, count))
    found = foretold(np.arange(1, count + 1), y, 100)
    least = y.min()
    if count < 5:
        assert found == y[-1]
    elif fit(np.arange(1, count + 1), y) is not None:
        assert least - 0.5 * (y[0] - least) - 1e-12 <= found <= 1.05 * least + 1e-12
    assert foretold(np.arange(1, count + 1), 4 * y, 100) == pytest.approx(4 * found, rel=1e-9)


def test_negative_losses_have_a_band_above_as_well() -> None:
    k = np.arange(1, 21.0)
    y = np.concatenate([-np.linspace(0.1, 0.9, 10), np.linspace(-0.9, -0.3, 10)])
    assert -0.9 <= foretold(k, y, 40) <= -0.9 + 0.05 * 0.9


def test_strange_curves() -> None:
    assert math.isnan(foretold([], [], 9))
    assert math.isnan(foretold([1, 2], [1.0, math.nan], 9))
    assert foretold(range(6), [1.0] * 6, 9) == 1.0
    assert fit(range(6), [1.0] * 6) is None
    huge = foretold(range(1, 11), [1e300 / k for k in range(1, 11)], 20)
    assert 0 <= abs(huge) < 1e300
    assert math.isfinite(foretold([1, 2, 3, 4, 5, 6], [3, math.nan, 2, 1.8, 1.7, 1.65], 12))
    with pytest.raises(Misuse, match="losses"):
        fit([1, 2], [1.0])


def test_trend_is_a_line_over_roots() -> None:
    k = np.arange(1, 31.0)
    y = 3 - 0.2 * np.sqrt(k)
    assert trend(k, y, 100, window=0.3) == pytest.approx(1.0)
    bent = np.where(k <= 15, 9.0, y)
    assert trend(k, bent, 100, window=0.5) == pytest.approx(1.0)
    assert trend(k, bent, 100, window=0.6) < 0
    assert trend(k[:2], y[:2], 100, window=0.5) == y[1]
    assert math.isnan(trend([], [], 9, window=0.5))
    assert trend([4, 4, 4], [3.0, 1.0, 2.0], 9, window=0.5) == 1.0
    assert trend([1, 2, 3, 4, 5], [1, 1, 3, 2, 1], 5, window=0.01) == pytest.approx(1.0, abs=0.05)


def group(seed: int, count: int = 16, length: int = 60) -> np.ndarray:
    chance = np.random.default_rng(seed)
    k = np.arange(1, length + 1)
    end, fall = chance.uniform(0.1, 1, (count, 1)), chance.uniform(0.2, 2, (count, 1))
    return end + fall * k ** -chance.uniform(0.3, 1.2, (count, 1)) + chance.normal(0, 0.02, (count, length))


@pytest.mark.parametrize("until", [15, 30, 45])
def test_intervals_hold_about_what_they_say(until) -> None:
    """Power laws with noise: no rational curve, and nothing that the bounds were made for."""
    held = []
    for seed in range(12):
        curves = group(seed)
        known = [(np.arange(1, until + 1), each[:until]) for each in curves]
        found = forecasts(known, 60)
        held += [one.low <= each[-1] <= one.high for one, each in zip(found, curves, strict=True)]
        narrow = forecasts(known, 60, level=0.4)
        for a, b in zip(narrow, found, strict=True):
            assert b.low <= a.low <= a.expected == b.expected <= a.high <= b.high
    assert 0.65 <= np.mean(held) <= 0.97


def test_intervals_of_little() -> None:
    one = forecasts([([1], [0.5])], 10)[0]
    assert one.expected == 0.5
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    done = forecasts([(range(1, 11), np.linspace(1, 0.5, 10))], 10)[0]
    assert done.low == done.high == done.expected
    assert forecasts([], 10) == []
    with pytest.raises(Misuse, match="level"):
        forecasts([], 10, level=80)
