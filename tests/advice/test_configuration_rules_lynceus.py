"""Lynceus: its laws, its parts by hand, and searches with a budget."""

import math

import numpy as np
import pytest
from configurations import SPACE, measured, view, world
from msgspec.structs import replace
from scipy.stats import truncnorm

from tradewind.advice.configuration.interface import Stop
from tradewind.advice.configuration.objective import Objective
from tradewind.advice.configuration.replayed import replayed
from tradewind.advice.configuration.rules.lynceus import Lynceus, truncated_means
from tradewind.testing.advisors import AdvisorLaws


class TestLaws(AdvisorLaws):
    def advisor(self):
        return Lynceus(least=4, top=3)


class TestLawsAsPublished(AdvisorLaws):
    def advisor(self):
        return replace(Lynceus.published(), top=2)


def test_the_mean_above_a_cut_is_that_of_a_truncated_normal():
    means, deviations, above = (
        np.array([0.0, 2.0, -1.0]),
        np.array([1.0, 0.5, 2.0]),
        np.array([1.0, 0.0, 9.0]),
    )
    z = (above - means) / deviations
    expected = [
        truncnorm.mean(low, np.inf, loc=mean, scale=deviation)
        for low, mean, deviation in zip(z, means, deviations, strict=True)
    ]
    assert truncated_means(means, deviations, above) == pytest.approx(expected)
    far = truncated_means(np.zeros(2), np.ones(2), np.array([29.9, 30.1]))
    assert 29.9 < far[0] < far[1] < 30.2


def test_a_probe_ends_where_it_has_cost_as_much_as_the_best():
    best = measured(3, 900.0)
    said = Lynceus().next(view(best, measured(5, 3000.0)))
    assert said.limit * SPACE[said.configuration].per_hour / 3600 == pytest.approx(best.dollars)
    in_time = replace(view(best), objective=Objective("run_time", 1000.0))
    assert Lynceus().next(in_time).limit == 900.0
    assert Lynceus().next(view()).limit is None and Lynceus(cuts=False).next(view(best)).limit is None


def test_a_run_that_was_cut_is_believed_to_be_dearer_than_its_cut():
    runs = [measured(n, 900.0) for n in (1, 2, 5, 6)]
    cut = measured(3, 50.0, "stopped")
    for advisor in (Lynceus(trees=200), replace(Lynceus.published(), trees=200)):
        found = advisor.predict(view(*runs, cut))
        assert found.logs[3] > math.log(cut.dollars) + 0.5 and found.feasible[3] == 0.0


def test_a_budget_is_kept_and_ends_the_search():
    """With raw costs and with their logarithms; each stays below what it may spend, or little above."""
    truth = world()
    every = sum(run.dollars for run in truth.values())
    for advisor in (Lynceus(), replace(Lynceus.published(), top=3)):
        for seed in range(2):
            end, why = replayed(advisor, view(seed=seed, budget=0.5 * every), truth)
            assert end.spent <= 0.55 * every and end.best is not None and len(why) > 5
    poor = view(truth[3], budget=truth[3].dollars * 1.0001)
    assert Lynceus().next(poor) == Stop(
        f"No other run is sure to fit what is left of {poor.budget:.2f} dollars."
    )


def test_improvement_for_a_dollar_goes_where_it_is_cheap():
    """Two that are as unsure, the one at a tenth of the price: it comes first though it gains no more."""
    runs = [measured(n, 400.0 + 10 * n) for n in (0, 1, 4, 5, 8, 9)]
    found = Lynceus(horizon=0, cuts=False, starts=3)
    said = found.next(view(*runs))
    belief = found.predict(view(*runs))
    dollars = np.exp(belief.logs)
    assert dollars[said.configuration] <= np.median(dollars[list(view(*runs).unseen)])


def test_looking_ahead_may_choose_otherwise_and_is_repeatable():
    truth = world()
    ends = {}
    for horizon in (0, 1, 2):
        advisor = Lynceus(horizon=horizon, cuts=False, top=4)
        ends[horizon] = [
            tuple(run.configuration for run in replayed(advisor, view(seed=seed), truth, most=8)[0].runs)
            for seed in range(4)
        ]
    assert ends[0] != ends[1] or ends[1] != ends[2]


def test_as_published():
    found = Lynceus.published()
    assert (found.logs, found.horizon, found.gain, found.sure, found.discount) == (False, 2, 0.0, 2.326, 0.9)
