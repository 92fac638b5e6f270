import math

import numpy as np
import pytest

from tradewind.tuning.machines.speeds import Speeds

TYPES, VCPUS = ("a", "b", "c"), (1.0, 4.0, 8.0)


def test_before_anything_was_measured_vcpus_say_what_a_step_takes():
    found = Speeds().of(VCPUS, TYPES, [3, 9])
    assert sorted(found) == [3, 9] and found[3] == found[9] == pytest.approx((1.0, 0.25, 0.125))
    assert Speeds().of((), (), [3]) == {3: ()}


def test_what_was_measured_stands_and_later_ones_count_more():
    speeds = Speeds()
    assert speeds.measured("a", 0, 10.0)
    assert speeds.of(VCPUS, TYPES, [0])[0][0] == pytest.approx(10.0)
    assert not speeds.measured("a", 0, 10.5)  # a twentieth is no news
    assert speeds.measured("a", 0, 20.0) and speeds.measured("b", 0, 3.0)
    after = speeds.of(VCPUS, TYPES, [0])[0]
    assert 10.5 < after[0] < 20.0 and after[1] == pytest.approx(3.0)
    assert speeds.types == ("a", "b")


def test_a_rank_one_model_gets_better_with_each_trial_that_is_measured():
    drawn = np.random.default_rng(3)
    speed, work = np.array([1.0, 0.8, 0.2]), drawn.lognormal(3.0, 0.7, 40)  # b is no faster than a
    truth = np.outer(speed, work) * drawn.lognormal(0.0, 0.05, (3, 40))
    speeds, errors = Speeds(), []
    for trial in range(40):
        reckoned = speeds.of(VCPUS, TYPES, [trial])[trial]
        ratios = np.log(reckoned) - np.log(truth[:, trial])
        errors.append(np.ptp(ratios))  # what matters is how the machines compare
        speeds.measured(TYPES[trial % 3], trial, float(truth[trial % 3, trial]))
        kind = (trial + 1) % 3
        speeds.measured(TYPES[kind], trial, float(truth[kind, trial]))
    assert errors[0] > 1.0 and np.mean(errors[-20:]) < 0.2
    third = speeds.of(VCPUS, TYPES, [0])[0][2]  # of trial 0 the third type was never measured
    assert third == pytest.approx(truth[2, 0], rel=0.2)


def test_types_come_and_go():
    speeds = Speeds()
    speeds.measured("b", 0, 2.0)
    assert speeds.of((1.0,), ("a",), [0]) == {0: (1.0,)}
    both = speeds.of(VCPUS, TYPES, [0])[0]
    assert both[1] == pytest.approx(2.0) and math.isclose(both[0], 4 * both[1], rel_tol=0.01)


def test_until_it_is_measured_a_type_is_as_fast_as_in_earlier_runs():
    speeds = Speeds()
    found = speeds.of([1.0, 8.0, 2.0], ["a", "b", "c"], [0], {"a": 60.0, "b": 30.0})
    assert found[0][:2] == pytest.approx((60.0, 30.0))
    # c has two vCPUs: one of a's does 1/60 of a step a second, one of b's 1/240; in the mean 1/120
    assert found[0][2] == pytest.approx(60.0)
    assert speeds.of([1.0, 8.0, 2.0], ["a", "b", "c"], [0])[0] == pytest.approx((1.0, 1 / 8, 1 / 2))
    speeds.measured("a", 0, 120.0)
    after = speeds.of([1.0, 8.0, 2.0], ["a", "b", "c"], [0], {"a": 60.0, "b": 30.0})[0]
    assert after[0] == pytest.approx(120.0), "what was measured stands"
    assert after[1] == pytest.approx(60.0, rel=0.1), "and the others are in the relation that they had"
