"""What is recommended, and with which words of warning."""

import math

import numpy as np
import pytest
from configurations import SPACE, measured, view
from msgspec import Struct
from msgspec.structs import replace

from tradewind.advice.configuration.interface import Prediction, Stop
from tradewind.advice.configuration.objective import Objective
from tradewind.advice.configuration.recommendation import recommended


class Believes(Struct, frozen=True):
    """An advisor that believes what it was told to."""

    logs: tuple
    feasible: tuple = (1.0,) * len(SPACE)
    recommends_unmeasured: bool = False

    def next(self, view):
        return Stop("It was told all.")

    def predict(self, view):
        logs = np.array(self.logs)
        return Prediction(logs, np.full(len(logs), 0.1), np.array(self.feasible), np.exp(logs))


FLAT = Believes(tuple(float(number) for number in range(len(SPACE))))


def test_the_best_that_was_measured():
    found = recommended(
        view(measured(3, 900.0), measured(5, 700.0), measured(1, 60.0, "failed"), current=3), FLAT
    )
    assert (found.name, found.measured, found.seconds) == ("2xlarge", True, 700.0)
    assert found.value == found.dollars == pytest.approx(0.8 * 700 / 3600)
    assert (
        found.low == pytest.approx(found.value / math.exp(0.16449)) and found.low < found.value < found.high
    )
    assert found.saving == pytest.approx(1 - (0.8 * 700) / (0.8 * 900)) and found.warnings == ()
    assert found.spent == pytest.approx((0.8 * 900 + 0.8 * 700 + 0.2 * 60) / 3600)


def test_an_advisor_that_stands_by_its_predictions_may_name_what_was_not_tried():
    told = replace(FLAT, recommends_unmeasured=True)
    found = recommended(view(measured(3, 900.0)), told)
    assert (found.configuration, found.measured, found.value) == (0, False, 1.0)
    assert found.warnings == ("It was not tried: the figures are a prediction.",)
    # what was tried and failed is not it, whatever is believed
    assert recommended(view(measured(3, 900.0), measured(0, 9.0, "failed")), told).configuration == 1
    # nor what is not likely to work, where something does
    doubtful = replace(told, feasible=(0.6,) + (1.0,) * (len(SPACE) - 1))
    assert recommended(view(measured(3, 900.0)), doubtful).configuration == 1


def test_nothing_is_said_where_nothing_is_likely_to_work():
    hopeless = replace(FLAT, feasible=(0.2,) * len(SPACE))
    assert recommended(view(measured(0, 9.0, "failed")), hopeless) is None
    guess = replace(FLAT, feasible=(0.6,) * len(SPACE))
    found = recommended(view(measured(0, 9.0, "failed")), guess)
    assert found.configuration == 1 and any("0.60" in each for each in found.warnings)


def test_what_breaks_the_deadline_by_belief_says_so():
    told = replace(FLAT, recommends_unmeasured=True, logs=(8.0,) * len(SPACE))
    found = recommended(replace(view(), objective=Objective("run_time", 100.0)), told)
    assert any("2981 s, of 100 s allowed" in each for each in found.warnings)


def test_what_runs_now_is_compared_with_even_where_it_is_better():
    logs = list(FLAT.logs)
    logs[7] = math.log(0.01)
    found = recommended(view(measured(3, 900.0), current=7), Believes(tuple(logs)))
    assert found.saving == pytest.approx(1 - 0.2 / 0.01)
    assert [each.split()[0] for each in found.warnings] == ["8xlarge,", "It"]
    # known not to work: there is nothing to compare with
    assert recommended(view(measured(3, 900.0), measured(7, 5.0, "failed"), current=7), FLAT).saving is None
    # ended early as no better: what it costs is what is believed
    found = recommended(
        view(measured(3, 900.0), measured(7, 5.0, "stopped"), current=7), Believes(tuple(logs))
    )
    assert found.saving == pytest.approx(1 - 0.2 / 0.01) and "ended early" in found.warnings[0]
