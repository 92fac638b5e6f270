"""What another run is worth."""

import numpy as np
import pytest
from configurations import view
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy.integrate import quad
from scipy.stats import norm

from tradewind.advice.configuration.objective import Objective
from tradewind.advice.configuration.worth import gains, money, two_steps


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.floats(-3, 3), st.floats(0.05, 2.0))
def test_gains_are_the_integral(log, deviation):
    best = 0.3
    low = log - 9 * deviation
    expected = 0.0
    if low < best:
        expected = quad(lambda f: (1 - np.exp(f - best)) * norm.pdf(f, log, deviation), low, best, limit=200)[
            0
        ]
    found = gains(np.array([log]), np.array([deviation]), best)[0]
    assert found == pytest.approx(expected, abs=1e-6)


def test_gains_where_doubles_end():
    found = gains(np.array([1e4, -1e4, 500.0]), np.array([1.0, 1.0, 40.0]), 0.0)
    assert np.isfinite(found).all() and found[0] == 0.0 and found[1] == 1.0


def worth_of(logs, variances, across, *, feasible=1.0, recurrences=10.0, noise=0.01, open_=None):
    logs, n = np.array(logs, float), len(logs)
    gain = gains(logs, np.sqrt(variances), 0.0)
    open_ = np.arange(n) if open_ is None else np.array(open_)
    chance = np.full(n, feasible)
    return two_steps(
        gain,
        logs,
        np.array(variances),
        np.array(across)[open_],
        open_,
        chance,
        open_,
        0.0,
        noise,
        recurrences,
    )


def test_gains_that_are_not_borne_out_before_the_probe_do_not_count_after_it():
    logs, covariance = np.full(3, 0.4), np.full((3, 3), 0.5) + 0.3 * np.eye(3)
    every, likely = np.arange(3), np.ones(3)
    normal = gains(logs, np.sqrt(np.diag(covariance)), 0.0)
    asked = (logs, np.diag(covariance), covariance, every, likely, every, 0.0, 0.01, 10.0)
    assert (two_steps(normal, *asked) > 0).all()
    # beliefs with thinner tails than the normal distribution of their mean and variance
    assert two_steps(np.zeros(3), *asked) == pytest.approx(-np.ones(3))


def test_two_steps_against_chance():
    logs, covariance = (
        np.array([0.1, 0.2, 0.4]),
        np.array([[0.2, 0.1, 0.0], [0.1, 0.3, 0.1], [0.0, 0.1, 0.2]]),
    )
    found = worth_of(logs, np.diag(covariance), covariance, feasible=0.8)
    draws = np.random.default_rng(0)
    for first in range(3):
        seen = logs[first] + np.sqrt(covariance[first, first] + 0.01) * draws.normal(size=20_000)
        by = covariance[:, first] / (covariance[first, first] + 0.01)
        left = np.sqrt(np.maximum(np.diag(covariance) - by * covariance[:, first], 1e-8))
        bar = np.minimum(seen, 0.0)
        later = []
        for other in set(range(3)) - {first}:
            gain = gains(logs[other] + by[other] * (seen - logs[first]), left[other], bar)
            later.append(0.8 * 11 * gain - 1)
        second = (np.exp(bar) * np.maximum(np.max(later, axis=0), 0)).mean()
        gain = gains(logs, np.sqrt(np.diag(covariance)), 0.0)
        failed = max(0, *(0.8 * 11 * gain[other] - 1 for other in range(3) if other != first))
        expected = 0.8 * 11 * gain[first] - 1 + 0.8 * second + 0.2 * failed
        assert found[first] == pytest.approx(expected, abs=0.06)


def test_a_probe_that_teaches_is_worth_more():
    apart, along = np.diag([0.3, 0.3]), np.array([[0.3, 0.29], [0.29, 0.3]])
    assert worth_of([0.2, 0.2], [0.3, 0.3], along)[0] != pytest.approx(
        worth_of([0.2, 0.2], [0.3, 0.3], apart)[0]
    )
    alone = worth_of([0.2, 0.2], [0.3, 0.3], apart, open_=[0])
    assert worth_of([0.2, 0.2], [0.3, 0.3], apart)[0] > alone[0]


def test_the_break_even_is_one_in_as_many_runs_as_come():
    """One probe, all certain: with R more runs a gain g pays from g = 1 / (R + 1)."""
    for gain, recurrences in ((0.1, 9.0), (0.2, 4.0)):
        found = worth_of([np.log(1 - gain)], [1e-12], [[1e-12]], recurrences=recurrences)
        assert found[0] == pytest.approx(0.0, abs=1e-6)


def test_values_in_words():
    assert money(view(), 0.01234) == "$0.0123"
    assert money(replace(view(), objective=Objective("run_time")), 1234.5) == "1.23e+03 s"
