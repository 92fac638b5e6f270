"""What a budget still pays for, and how it says that it does not."""

from __future__ import annotations

import math

import pytest

from tradewind.errors import Misuse
from tradewind.tuning.budgets import Budget
from tradewind.tuning.trial import COMPLETED, PAUSED, RUNNING, Trial


def paid(*dollars: float, state: str = COMPLETED) -> list[Trial]:
    return [Trial(number, {}, state, dollars=each) for number, each in enumerate(dollars)]


def test_without_bounds_nothing_ends():
    assert Budget().closed(paid(1e9), 1e9) == ""


@pytest.mark.parametrize(
    ("budget", "trials", "passed", "said"),
    [
        (Budget(trials=2), paid(0.0), 0.0, ""),
        (Budget(trials=2), paid(0.0, 0.0), 0.0, "2 trials were to be tried"),
        (Budget(dollars=1.0), paid(0.4, 0.4), 0.0, ""),
        (Budget(dollars=1.0), paid(0.4, 0.6), 0.0, "the budget of 1 US dollars is spent: 1"),
        (Budget(dollars=1.0), paid(1.2), 0.0, "buys no trial: trial 0 alone cost 1.2"),
        (Budget(dollars=1.0, least=0.3), paid(0.7), 0.0, ""),
        (Budget(dollars=1.0, least=0.3), paid(0.1) * 7, 0.0, ""),
        (Budget(dollars=1.0, least=0.3), paid(0.8), 0.0, "0.2 of 1 US dollars are left, and a trial costs"),
        (Budget(dollars=1.0, least=0.3), paid(0.1, 0.1, state=RUNNING), 0.0, ""),
        (Budget(dollars=1.0, least=0.3), paid(0.1, 0.1, 0.0, state=RUNNING), 0.0, "0.1 of 1 US dollars are"),
        (Budget(dollars=1.0, least=0.3), paid(0.1, 0.1, 0.0, state=PAUSED), 0.0, ""),
        (Budget(seconds=60.0), [], 59.9, ""),
        (Budget(seconds=60.0), [], 60.0, "the study's 60 seconds are over"),
        (Budget(seconds=60.0, least_seconds=5.0), [], 55.0, ""),
        (Budget(seconds=60.0, least_seconds=5.0), [], 56.0, "4 of 60 seconds are left, and a trial takes 5"),
        (Budget(dollars=9.0, seconds=60.0), paid(1.0), 61.0, "60 seconds are over"),
    ],
)  # fmt: skip
def test_it_says_why_nothing_new_begins(budget, trials, passed, said):
    found = budget.closed(trials, passed)
    assert bool(found) == bool(said) and said in found


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (Budget(trials=0), "trials: 0 trials try nothing"),
        (Budget(dollars=0.0), "budget: 0.0 buys no trial"),
        (Budget(dollars=math.inf), "budget"),
        (Budget(seconds=-1.0), "seconds: -1.0 buys no trial"),
        (Budget(seconds=math.nan), "seconds"),
        (Budget(least=0.0), "least"),
        (Budget(dollars=1.0, least=1.5), "budget: 1 buys no trial, for one costs 1.5.*Give 1.5 US dollars"),
        (Budget(seconds=10.0, least_seconds=20.0), "seconds: 10 buys no trial.*Give 20 seconds or more"),
    ],
)  # fmt: skip
def test_a_budget_that_buys_nothing_is_refused(budget, said):
    with pytest.raises(Misuse, match=said):
        budget.check("study")


def test_one_that_buys_exactly_one_is_fine():
    Budget(trials=1, dollars=1.0, least=1.0, seconds=5.0, least_seconds=5.0).check("study")
