"""Promise: what it is, its gradient, and that climbing raises it."""

import math

import numpy as np
import pytest
from scipy.special import logsumexp

from tradewind.estimates.expected_improvement import log_expected_improvement
from tradewind.estimates.gaussian_process import GaussianProcess
from tradewind.tuning.acquisition import Promise
from tradewind.tuning.columns import Columns
from tradewind.tuning.observations import observed
from tradewind.tuning.space import Space
from tradewind.tuning.trial import COMPLETED, Trial
from tradewind.tuning.trial_costs import TrialCosts

SPACE = Space.of(
    {
        "x": {"low": 0.0, "high": 1.0},
        "n": {"low": 1, "high": 40},
        "c": ["a", "b", "d"],
        "y": {"low": 0.0, "high": 1.0, "when": {"c": ["a", "b"]}},
    }
)
COLUMNS = Columns(SPACE)


def loss(setting):
    far = (
        (setting["x"] - 0.3) ** 2
        + (setting["n"] / 40 - 0.6) ** 2
        + {"a": 0.2, "b": 0.0, "d": 0.5}[setting["c"]]
    )
    return far + (setting.get("y", 0.5) - 0.8) ** 2


def made(costs=False, foreign=False, futures=False):
    chance = np.random.default_rng(0)
    trials = []
    for number in range(30):
        setting = SPACE.setting(chance.random(4))
        old = "old" if foreign and number % 3 == 0 else ""
        trials.append(
            Trial(
                number,
                setting,
                COMPLETED,
                final=loss(setting),
                dollars=math.exp(2 * setting["x"]),
                foreign=old,
            )
        )
    seen = observed(COLUMNS, trials, (), 100)
    process = GaussianProcess.fitted(seen.rows, seen.losses, warped=seen.bent)
    if futures:
        rows = np.pad(COLUMNS.rows(chance.random((2, 4))), ((0, 0), (0, seen.extra)))
        process = process.conditioned(rows, [[-1.5, 0.2], [0.3, -2.0], [0.0, 0.0]])
    return (
        Promise(COLUMNS, process, seen, TrialCosts(COLUMNS, trials, "dollars", None) if costs else None),
        process,
        seen,
    )


def test_it_is_expected_improvement_on_the_least_mean():
    promise, process, seen = made()
    rows = COLUMNS.rows(np.random.default_rng(1).random((20, 4)))
    means, variances = process.predict(rows)
    best = process.predict(seen.rows)[0].min()
    assert promise.at(rows) == pytest.approx(log_expected_improvement(means, np.sqrt(variances), best))


def test_futures_are_averaged_over():
    promise, process, seen = made(futures=True)
    rows = COLUMNS.rows(np.random.default_rng(1).random((20, 4)))
    means, variances = process.predict(rows)
    best = process.predict(seen.rows)[0].min(axis=1)
    each = [log_expected_improvement(means[s], np.sqrt(variances), best[s]) for s in range(3)]
    assert promise.at(rows) == pytest.approx(logsumexp(each, axis=0) - math.log(3))


@pytest.mark.parametrize(
    "arguments", [{}, {"costs": True}, {"foreign": True, "futures": True}, {"costs": True, "foreign": True}]
)
def test_its_gradient_is_that_of_differences(arguments):
    promise, process, seen = made(**arguments)
    row = COLUMNS.rows([[0.4, 0.5, 0.1, 0.7]])
    scaled = process.scaled_points(np.pad(row, ((0, 0), (0, seen.extra))))[0]
    value, slope = promise._slope(scaled.copy())
    assert value == pytest.approx(promise.at(row)[0])
    for k in (0, 5):
        step = np.zeros(scaled.size)
        step[k] = 1e-5
        up, down = promise._slope(scaled + step)[0], promise._slope(scaled - step)[0]
        assert slope[k] == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("arguments", [{}, {"costs": True}, {"foreign": True, "futures": True}])
def test_climbing_raises_it_in_all_kinds_of_parameters(arguments):
    promise, _, _ = made(**arguments)
    grid = np.random.default_rng(2).random((4000, 4))
    most = promise.at(COLUMNS.rows(grid)).max()
    reached = []
    for start in grid[:6]:
        unit, score = promise.climbed(start)
        assert score >= promise.at(COLUMNS.rows(start))[0]
        assert score == pytest.approx(promise.at(COLUMNS.rows(unit))[0], abs=1e-9)
        assert ((unit >= 0) & (unit <= 1)).all()
        reached.append(score)
    assert max(reached) >= most - 1e-3


def test_what_costs_more_promises_less():
    plain, dear = made()[0], made(costs=True)[0]
    rows = COLUMNS.rows([[0.1, 0.6, 0.5, 0.8], [0.9, 0.6, 0.5, 0.8]])
    change = dear.at(rows) - plain.at(rows)
    assert change[0] - change[1] == pytest.approx(1.6, abs=0.2)
