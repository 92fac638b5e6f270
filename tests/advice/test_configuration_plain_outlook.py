"""What is believed without a model."""

import numpy as np
import pytest
from configurations import SPACE, measured, view

from tradewind.advice.configuration.plain_outlook import outlook


def test_the_mean_everywhere_and_the_measured_where_it_was_measured():
    found = outlook(view(measured(3, 900.0), measured(5, 400.0), measured(0, 9.0, "failed")))
    first, second = np.log(0.8 * 900 / 3600), np.log(0.8 * 400 / 3600)
    assert found.logs[3] == pytest.approx(first) and found.logs[7] == pytest.approx((first + second) / 2)
    assert found.feasible[[0, 3, 7]].tolist() == [0.0, 1.0, 0.6] and found.seconds[7] == pytest.approx(600.0)
    assert found.deviations[3] < found.deviations[7]


def test_nothing_known():
    found = outlook(view())
    assert np.isfinite(found.logs).all() and (found.feasible == 0.5).all() and len(found.logs) == len(SPACE)
