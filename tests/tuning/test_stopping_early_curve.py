"""EarlyCurve: the laws, and that what will cross goes on."""

import numpy as np
import pytest
from stopping_laws import LENGTH, StoppingLaws

from tradewind.errors import Misuse
from tradewind.estimates.learning_curve import foretold
from tradewind.tuning.stopping.early_curve import EarlyCurve
from tradewind.tuning.stopping.replay import replay
from tradewind.tuning.trial import RUNNING, Trial


class TestLaws(StoppingLaws):
    order_free = True
    # The band above the best loss is a share of it.
    shift_free = False

    @staticmethod
    def make() -> EarlyCurve:
        return EarlyCurve(LENGTH, theta=0.4, top=2)


def test_a_curve_that_will_cross_goes_on_alone() -> None:
    k = np.arange(1, 51.0)
    flat, falling = 0.72 + 0.2 / k, 0.25 + 1.0 / (1 + 0.05 * k)
    assert flat[19] < falling[19]
    found = replay(EarlyCurve(50, theta=0.4, top=1), [flat.tolist(), falling.tolist()])
    assert found.chosen == 1


def test_stages_may_be_known() -> None:
    """After a drop at step 20, what went before says nothing."""
    k = np.arange(1, 41.0)
    y = np.where(k < 20, 2 + 1 / k, 1 + 1 / np.maximum(k - 18, 1))
    rule = EarlyCurve(80, theta=0.5, boundaries=(20, 60))
    trial = Trial(0, {}, RUNNING, tuple(range(1, 41)), tuple(y))
    assert rule.score(trial) == foretold(k, y, 80, boundaries=(20, 60))
    assert rule.score(trial) != foretold(k, y, 80, boundaries=())


def test_forecasts_of_all_trials() -> None:
    k = np.arange(1, 31)
    trials = [
        Trial(
            n, {}, RUNNING, tuple(k[: 10 + 2 * n].tolist()), tuple((0.1 * n + 1 / k[: 10 + 2 * n]).tolist())
        )
        for n in range(6)
    ]
    found = EarlyCurve(60).forecasts([*trials, Trial(9, {})])
    assert sorted(found) == list(range(6))
    assert all(each.low <= each.expected <= each.high for each in found.values())


def test_bad_theta() -> None:
    with pytest.raises(Misuse, match="theta"):
        EarlyCurve(10, theta=1.5)
