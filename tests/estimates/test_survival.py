"""The chance that a lease still lives, by hand."""

import math

import pytest

from tradewind.estimates.survival import CERTAIN, Survival


def test_it_is_linear_between_the_ages():
    life = Survival((0.0, 1800.0, 3600.0), (1.0, 0.5, 0.0))
    assert (life.at(0.0), life.at(900.0), life.at(1800.0), life.at(9999.0)) == (1.0, 0.75, 0.5, 0.0)
    assert life.seconds(0.0, 3600.0) == pytest.approx(1800.0)
    assert life.seconds(900.0, 900.0) == 0.0


def test_after_the_last_age_it_falls_on_at_the_last_rate():
    life = Survival((0.0, 1800.0, 3600.0), (1.0, 1.0, 0.5))
    assert life.at(7200.0) == pytest.approx(0.125)
    tail = 0.5 * 1800.0 / math.log(2) * (1 - 0.5**3)
    assert life.seconds(3600.0, 9000.0) == pytest.approx(tail, rel=0.05)


def test_what_nobody_takes_lives_on():
    assert CERTAIN.at(1e6) == 1.0 and CERTAIN.seconds(10.0, 7210.0) == pytest.approx(7200.0)
