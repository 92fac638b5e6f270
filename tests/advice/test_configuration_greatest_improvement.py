"""The loop that advisors of expected improvement share."""

import math

import numpy as np
import pytest
from configurations import SPACE, measured, view

from tradewind.advice.configuration.greatest_improvement import greatest_improvement, relative_gains
from tradewind.advice.configuration.interface import Prediction, Probe, Stop

N = len(SPACE)
RULE = {"starts": 1, "least": 2, "gain": 0.05}


def believed(logs, deviation=0.1, feasible=1.0):
    return Prediction(np.array(logs), np.full(N, deviation), np.full(N, feasible), np.ones(N))


def test_improvement_by_hand():
    # At the mean itself EI is the deviation over the root of 2 pi; half as likely to meet it, half as much.
    gains = relative_gains(believed([0.0] * N, 0.3, 0.5), 0.0)
    assert gains == pytest.approx(np.full(N, 0.15 / math.sqrt(2 * math.pi)))


def test_the_greatest_improvement_comes_next_and_the_smallest_ends_it():
    run = measured(3, 900.0)
    best = math.log(run.dollars)
    logs = [best + 1.0] * N
    logs[7] = best - 0.2
    said = greatest_improvement(view(run), believed(logs), **RULE, note=", he said")
    assert isinstance(said, Probe) and said.configuration == 7 and said.reason.endswith("%, he said")
    # Nothing better is believed: one run is not the least of two, two are.
    flat = believed([best + 1.0] * N)
    assert isinstance(greatest_improvement(view(run), flat, **RULE), Probe)
    said = greatest_improvement(view(run, measured(2, 9e3)), flat, **RULE)
    assert said == Stop(
        "2 runs were made, and the next is expected to better the best by 0.0%, less than 5%."
    )


def test_as_long_as_nothing_met_the_objective_the_likeliest_comes_next():
    feasible = np.full(N, 0.3)
    feasible[[4, 9]] = 0.8
    prediction = Prediction(np.zeros(N), np.ones(N), feasible, np.ones(N))
    numbers = {
        greatest_improvement(view(measured(0, 9.0, "failed"), seed=seed), prediction, **RULE).configuration
        for seed in range(20)
    }
    assert numbers == {4, 9}
