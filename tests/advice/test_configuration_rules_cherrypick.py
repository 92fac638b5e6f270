"""CherryPick: its laws, decisions on a small world, and figures of its own runs."""

import math

import numpy as np
import pytest
from configurations import SPACE, measured, view, world
from scipy.stats import norm

from tradewind.advice.configuration.interface import AdvisingView
from tradewind.advice.configuration.objective import Objective
from tradewind.advice.configuration.recorded import recorded
from tradewind.advice.configuration.replayed import replayed
from tradewind.advice.configuration.rules.cherrypick import CherryPick
from tradewind.data.measured_runs.reading import measured_runs
from tradewind.testing.advisors import AdvisorLaws


class TestLaws(AdvisorLaws):
    def advisor(self):
        return CherryPick(starts=2, least=4)


def test_the_best_of_a_small_world_is_found_before_all_was_tried():
    truth = world()
    best = min(run.dollars for run in truth.values() if run.whole)
    for seed in range(3):
        end, _ = replayed(CherryPick(least=6), view(seed=seed), truth)
        assert end.best.dollars == best and len(end.runs) < len(SPACE)


def test_a_failure_is_believed_to_be_dear():
    known = view(measured(3, 500.0), measured(7, 400.0), measured(0, 60.0, "failed"))
    found = CherryPick().predict(known)
    assert found.logs[0] > max(found.logs[[3, 7]]) and found.feasible[0] == 0.0


def test_a_deadline_is_a_probability():
    known = AdvisingView(SPACE, Objective(deadline=600.0), (measured(0, 5000.0), measured(7, 400.0)))
    found = CherryPick().predict(known)
    assert found.feasible[0] == 0.0 and found.feasible[7] == 1.0
    unseen = list(known.unseen)
    z = (math.log(600.0) - np.log(found.seconds[unseen])) / found.deviations[unseen]
    assert found.feasible[unseen] == pytest.approx(norm.cdf(z))


def test_on_its_own_runs_of_tpch_the_published_stop_is_as_published(bench_data):
    """The optimum in 45 to 90 % of searches, three quarters of an exhaustive search's cost saved (abstract).

    Of the tables at hand TPC-H alone bears out the first; the second holds on all.
    """
    table = recorded(measured_runs(bench_data("config/cherrypick/CP_tpch.csv")))
    truth = table.one_each("tpch")
    optimum, every = min(run.dollars for run in truth.values()), sum(run.dollars for run in truth.values())
    ends = [
        replayed(CherryPick.published(), AdvisingView(table.space, Objective(), seed=seed), truth)[0]
        for seed in range(10)
    ]
    assert 0.45 <= sum(end.best.dollars == optimum for end in ends) / len(ends) <= 1.0
    assert all(end.spent < 0.25 * every for end in ends)
    assert (CherryPick.published().least, CherryPick.published().gain) == (6, 0.1)
