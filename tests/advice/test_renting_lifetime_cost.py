"""What an instance costs until its last task ends."""

import numpy as np
import pytest
from renting_stage import LARGE

from tradewind.advice.renting.lifetime_cost import Load, dollars, lifetime_cost


def test_it_is_the_price_times_the_expected_last_end():
    loads = [Load(0.1, np.array([100.0, 900.0])), Load(0.1, np.array([500.0, 300.0]))]
    assert lifetime_cost(LARGE, loads) == pytest.approx(0.2 * 700 / 3600)
    assert lifetime_cost(LARGE, loads[:1]) == pytest.approx(0.2 * 500 / 3600)
    assert lifetime_cost(LARGE, []) == 0.0
    assert dollars(1.8, 1000) == 0.5
