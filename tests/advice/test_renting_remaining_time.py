"""Scenarios of what is left, against the law that they are drawn from."""

import numpy as np
import pytest
from renting_stage import NOW, asked, placed
from scipy.stats import lognorm

from tradewind.advice.renting.interface import Placed
from tradewind.advice.renting.remaining_time import RemainingTimes
from tradewind.errors import Misuse


def test_the_sure_have_what_is_left_and_those_overdue_as_long_again():
    law = RemainingTimes(4)
    assert law.of(asked("t", seconds=600), 100).tolist() == [500] * 4
    assert law.of(asked("t", seconds=600), 700).tolist() == [700] * 4


@pytest.mark.parametrize("age", [0.0, 300.0, 5000.0, 1e7])
def test_strata_are_those_of_the_law_cut_off_at_the_age(age):
    found = np.sort(RemainingTimes(64).of(asked("t", seconds=600, spread=1.2), age))
    law = lognorm(1.2, scale=600)
    alive = law.sf(age)
    expected = law.isf(alive * (1 - (np.arange(64) + 0.5) / 64)) - age
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-3)
    assert (found >= 0).all()


def test_the_longer_it_ran_the_longer_it_has_left():
    law, task = RemainingTimes(32), asked("t", seconds=600, spread=1.2)
    means = [law.of(task, age).mean() for age in (600.0, 6000.0, 60_000.0)]
    assert means == sorted(means)


def test_tasks_meet_their_strata_in_orders_of_their_own_that_stay():
    law = RemainingTimes(256)
    one, two = (law.of(asked(name, spread=1.0)) for name in "ab")
    assert abs(np.corrcoef(np.argsort(np.argsort(one)), np.argsort(np.argsort(two)))[0, 1]) < 0.2
    assert (law.of(asked("a", spread=1.0)) == one).all()
    assert (RemainingTimes(256, seed=1).of(asked("a", spread=1.0)) != one).any()


def test_a_placed_task_ends_after_its_pause_or_its_launch():
    law = RemainingTimes(3)
    assert law.of_placed(placed("a", left=50), NOW - 500, NOW).tolist() == [50] * 3
    pausing = Placed(asked("a", seconds=600), started=NOW + 40, worked=200)
    assert law.of_placed(pausing, NOW - 500, NOW).tolist() == [440] * 3
    assert law.of_placed(Placed(asked("a", seconds=600)), NOW + 70, NOW).tolist() == [670] * 3
    with pytest.raises(Misuse):
        RemainingTimes(0)
