"""What trials are expected to cost, and what a budget leaves."""

import math

import numpy as np
import pytest

from tradewind.tuning.columns import Columns
from tradewind.tuning.space import Space
from tradewind.tuning.trial import COMPLETED, PAUSED, RUNNING, STOPPED, Trial
from tradewind.tuning.trial_costs import TrialCosts

COLUMNS = Columns(Space.of({"x": {"low": 0.0, "high": 1.0}}))


def price(x):
    return math.exp(3 * x)


PAST = [
    Trial(n, {"x": n / 9}, COMPLETED, (10,), (1.0,), final=1.0, dollars=price(n / 9), seconds=7.0)
    for n in range(10)
]


def test_costs_are_learned_in_their_logarithm():
    costs = TrialCosts(COLUMNS, PAST, "dollars", None)
    means, deviations = costs.logarithms(np.array([[0.05], [0.5], [0.95]]))
    assert means == pytest.approx([0.15, 1.5, 2.85], abs=0.1)
    assert (deviations < 0.1).all() and costs.left == math.inf and costs.weight == 1.0
    value, slope = costs.slope(np.array([0.5]))
    assert value == pytest.approx(means[1]) and slope[0] == pytest.approx(3.0, abs=0.3)
    assert TrialCosts(COLUMNS, PAST, "seconds", None).logarithms(np.array([[0.3]]))[0] == pytest.approx(
        math.log(7)
    )


def test_a_budget_is_kept():
    spent = sum(each.dollars for each in PAST)
    costs = TrialCosts(COLUMNS, PAST, "dollars", spent + 4.0)
    assert costs.left == pytest.approx(4.0) and costs.weight == pytest.approx(4.0 / (spent + 4.0))
    assert costs.affordable(np.array([[0.1], [0.3], [0.6], [0.9]])).tolist() == [True, True, False, False]
    assert not TrialCosts(COLUMNS, PAST, "dollars", spent).affordable(np.array([[0.0]])).any()


def test_what_runs_is_paid_for_beforehand():
    spent = sum(each.dollars for each in PAST)
    running = Trial(10, {"x": 0.5}, RUNNING, dollars=1.0)
    costs = TrialCosts(COLUMNS, [*PAST, running], "dollars", spent + 10.0)
    assert costs.left == pytest.approx(10.0 - price(0.5), abs=0.5)
    paused = Trial(10, {"x": 0.5}, PAUSED, dollars=1.0)
    assert TrialCosts(COLUMNS, [*PAST, paused], "dollars", spent + 10.0).left == pytest.approx(9.0)


def test_a_stopped_trial_tells_its_pace_and_an_earlier_study_costs_nothing():
    halves = [Trial(n, {"x": n / 9}, STOPPED, (5,), (1.0,), dollars=price(n / 9) / 2) for n in range(9)]
    costs = TrialCosts(COLUMNS, [*halves, PAST[9]], "dollars", None)
    assert costs.logarithms(np.array([[0.5]]))[0] == pytest.approx(1.5, abs=0.1)
    old = [Trial(n, {"x": n / 9}, COMPLETED, dollars=price(n / 9), foreign="old") for n in range(9)]
    assert TrialCosts(COLUMNS, old, "dollars", 5.0).left == 5.0
    assert not TrialCosts(COLUMNS, old, "dollars", 5.0).affordable(np.array([[0.9]]))[0]


def test_while_nothing_is_known_all_can_be_paid():
    costs = TrialCosts(COLUMNS, PAST[:2], "dollars", 100.0)
    assert costs.affordable(np.array([[0.9]])).all()
    assert costs.logarithms(np.array([[0.9]]))[0].tolist() == [0.0]
    assert costs.slope(np.array([0.5]))[0] == 0.0
