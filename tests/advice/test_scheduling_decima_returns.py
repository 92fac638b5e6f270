"""What a decision was worth."""

import numpy as np
import pytest

from tradewind.advice.scheduling.decima.returns import advantages, cost_to_come

ARRIVALS = np.array([0.0, 3.0, 8.0])


def test_the_cost_to_come_is_the_discounted_integral_of_jobs_in_the_cluster():
    completions, horizon = np.array([5.0, 20.0, 9.5]), 7.0
    moments = np.array([0.0, 4.0, 9.0, 19.0, 20.0])
    grid = np.arange(0, 25, 1e-3) + 5e-4
    there = ((grid[:, None] >= ARRIVALS) & (grid[:, None] < completions)).sum(axis=1)
    expected = [
        1e-3 * (there * np.exp(-(grid - moment) / horizon) * (grid >= moment)).sum() for moment in moments
    ]
    assert cost_to_come(ARRIVALS, completions, moments, horizon) == pytest.approx(expected, abs=2e-3)


def test_without_discount_the_cost_from_the_start_is_the_sum_of_the_times():
    completions = np.array([5.0, 20.0, 9.5])
    found = cost_to_come(ARRIVALS, completions, np.zeros(1), 1e9)
    assert found[0] == pytest.approx((completions - ARRIVALS).sum(), rel=1e-6)


def test_runs_that_saved_time_have_positive_advantages():
    # Nothing in hand tells the runs apart, and nothing fades: what counts is the difference from the mean.
    moments, nothing = np.array([0.0, 1.0]), np.zeros((2, 1))
    fast, slow = np.array([4.0, 5.0, 9.0]), np.array([6.0, 9.0, 9.0])
    one, two = advantages([(ARRIVALS, fast, moments, nothing), (ARRIVALS, slow, moments, nothing)], 1e9, 1e9)
    assert one == pytest.approx([3.0, 3.0], abs=1e-3)
    assert two == pytest.approx([-3.0, -3.0], abs=1e-3)


def test_what_is_forgotten_at_once_is_put_down_to_the_last_decision():
    # With a short memory each decision answers for what happened until the next alone.
    moments, nothing = np.array([0.0, 6.0]), np.zeros((2, 1))
    fast, slow = np.array([4.0, 5.0, 9.0]), np.array([4.0, 5.0, 13.0])
    one, two = advantages([(ARRIVALS, fast, moments, nothing), (ARRIVALS, slow, moments, nothing)], 1e9, 1e-6)
    assert one == pytest.approx([0.0, 2.0], abs=1e-3) and two == pytest.approx([0.0, -2.0], abs=1e-3)


def test_what_a_run_has_in_hand_explains_its_costs():
    # The run with more work in hand at the second moment pays for it later: the first decision is to blame.
    rng = np.random.default_rng(0)
    moments, runs = np.array([0.0, 5.0]), []
    for _ in range(40):
        late = rng.uniform(6, 30)
        held = np.array([[0.0], [late]])
        runs.append((np.zeros(1), np.array([late]), moments, held))
    found = advantages(runs, 1e9, 1e-6)
    late = np.array([run[1][0] for run in runs])
    assert np.corrcoef([each[0] for each in found], -late)[0, 1] > 0.99
    assert np.std([each[1] for each in found]) < 0.1 * np.std([each[0] for each in found])
