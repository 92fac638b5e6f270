"""What other workloads teach about one that has not run."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.gaussian_process.kernels import Matern

from tradewind.estimates.workload_prior import _likeliest, _misfit, matern, workload_prior

COLUMNS = np.column_stack([np.repeat([-1.0, 0.0, 1.0, 2.0], 4), np.tile([-1.0, 0.0, 1.0, 2.0], 4)])
PRICES = np.exp(COLUMNS[:, 0])
SHARED = 0.5 * COLUMNS[:, 0] ** 2


def others(count, seed=0, own=0.1, level=5.0):
    chance = np.random.default_rng(seed)
    return level + chance.normal(0, 1, (count, 1)) + SHARED + own * chance.normal(0, 1, (count, 16))


def mean_of(prior):
    found = sum(course.weight * course.means for course in prior.courses)
    return found - found.mean()


def test_the_kernel_is_matern():
    lengths = np.array([0.7, 2.0])
    expected = Matern(lengths, nu=2.5)(COLUMNS)
    assert matern(COLUMNS, lengths) == pytest.approx(expected, abs=1e-12)
    assert matern(np.zeros((3, 0)), np.zeros(0)) == pytest.approx(np.ones((3, 3)))


@pytest.mark.parametrize("count", [0, 1, 3, 8])
def test_weights_sum_to_one_and_covariances_are_such(count):
    prior = workload_prior(COLUMNS, PRICES, others(count))
    assert sum(course.weight for course in prior.courses) == pytest.approx(1.0)
    for course in prior.courses:
        assert course.covariance == pytest.approx(course.covariance.T)
        assert np.linalg.eigvalsh(course.covariance).min() > -1e-8
        assert course.noise > 0 and course.scale > 0 and course.weight > 0


def test_the_more_workloads_share_a_course_the_more_it_is_believed():
    target = SHARED - SHARED.mean()
    off = [
        np.abs(mean_of(workload_prior(COLUMNS, PRICES, others(count))) - target).mean() for count in (0, 1, 8)
    ]
    assert off[0] > off[1] > off[2]


def test_without_others_it_is_what_is_usual_of_prices():
    prior = workload_prior(COLUMNS, PRICES, np.zeros((0, 16)))
    usual = -0.75 * np.log(PRICES)
    assert mean_of(prior) == pytest.approx(usual - usual.mean())
    assert prior.level == pytest.approx(math.log(300.0))


def test_levels_of_others_tell_of_the_level():
    prior = workload_prior(COLUMNS, PRICES, others(40, level=9.0))
    assert prior.level == pytest.approx(9.0 + SHARED.mean(), abs=0.6)
    assert 1.0 <= prior.level_variance < 2.0


def test_a_workload_that_ran_on_half_of_them_is_no_other():
    """Where big configurations are missing the level is not taken for that of the small ones."""
    rows = others(6, own=0.0)
    whole = mean_of(workload_prior(COLUMNS, PRICES, rows))
    rows[3, COLUMNS[:, 0] > 0] = np.nan
    assert mean_of(workload_prior(COLUMNS, PRICES, rows)) == pytest.approx(whole, abs=0.1)


def test_the_likelihood_and_its_slopes():
    chance = np.random.default_rng(1)
    rows = chance.normal(0, 1, (3, 16))
    lengths, signal, noise = np.array([0.8, 1.7]), 0.6, 0.05
    matrix = signal * matern(COLUMNS, lengths) + 4.0 + np.eye(16) * (noise + 1e-8)
    expected = -multivariate_normal(np.zeros(16), matrix).logpdf(rows).sum() - 1.5 * 16 * math.log(
        2 * math.pi
    )
    value, slopes = _misfit(COLUMNS, 3, rows.T @ rows, lengths, signal, noise)
    assert value == pytest.approx(expected)
    for at in range(4):
        theta = np.log([*lengths, signal, noise])
        moved = []
        for step in (1e-5, -1e-5):
            there = theta.copy()
            there[at] += step
            a, b, c, d = np.exp(there)
            moved.append(_misfit(COLUMNS, 3, rows.T @ rows, np.array([a, b]), c, d)[0])
        assert slopes[at] == pytest.approx((moved[0] - moved[1]) / 2e-5, rel=1e-4, abs=1e-4)


def test_length_scales_tell_what_matters():
    chance = np.random.default_rng(2)
    rows = np.array([np.sin(2 * COLUMNS[:, 0] + chance.uniform(0, 6)) for _ in range(12)])
    rows += 0.02 * chance.normal(0, 1, rows.shape)
    lengths, signal, noise = _likeliest(COLUMNS, rows, np.ones(rows.shape, np.bool_))
    assert lengths[1] > 5 * lengths[0] and noise < 0.1 * signal


@settings(max_examples=5, deadline=None, derandomize=True)
@given(st.permutations(range(16)))
def test_the_order_of_configurations_does_not_matter(order):
    rows = others(3)
    one = workload_prior(COLUMNS, PRICES, rows)
    other = workload_prior(COLUMNS[order], PRICES[order], rows[:, order])
    assert mean_of(other) == pytest.approx(mean_of(one)[order], abs=1e-6)
    for here, there in zip(one.courses, other.courses, strict=True):
        assert there.covariance == pytest.approx(here.covariance[np.ix_(order, order)], abs=1e-3)
