"""Rolling origins and scores, against what is worked out by hand."""

import numpy as np
import pytest

from tradewind.errors import Misuse
from tradewind.estimates.load.evaluation import origins_of, pinball, scores
from tradewind.estimates.load.interface import LoadForecast
from tradewind.estimates.load.persistence import Persistence


class Spy:
    """Says the last rate, 1 below and 1 above it, and keeps what it was shown."""

    name = "spy"

    def __init__(self):
        self.seen = []

    def forecast(self, rates, at, interval, steps):
        self.seen.append((rates.tolist(), at))
        last = float(rates[-1])
        mean = (last,) * steps
        return LoadForecast(at, interval, mean, (0.25, 0.75), ((last - 1,) * steps, (last + 1,) * steps))


def test_forecasters_are_shown_the_window_before_the_origin_and_no_more():
    spy, rates = Spy(), np.arange(10.0)
    scores(spy, rates, 100.0, 60.0, horizons=(1, 2), origins=np.array([4, 6]), window=3)
    assert spy.seen == [([1.0, 2.0, 3.0], 340.0), ([3.0, 4.0, 5.0], 460.0)]


def test_scores_by_hand():
    """A load that rises by one an interval: off by 1 and by 3; the upper quantile holds at one ahead."""
    near, far = scores(
        Spy(), np.arange(10.0), 0.0, 60.0, horizons=(1, 3), origins=np.array([4, 5, 6]), window=10
    )
    assert (near.rmse, far.rmse, near.many, near.ahead, far.ahead) == (1.0, 3.0, 3, 1, 3)
    assert near.coverage == (0.0, 1.0) and far.coverage == (0.0, 0.0)
    # one ahead: 2 above the lower at 0.25, 0 above the upper; three ahead: 4 x 0.25 and 2 x 0.75
    assert near.pinball == pytest.approx((0.25 * 2 + 0.0) / 2)
    assert far.pinball == pytest.approx((0.25 * 4 + 0.75 * 2) / 2)


def test_pinball_of_what_is_below_weighs_the_other_side():
    assert pinball(np.array([[10.0]]), np.array([14.0]), (0.75,)) == 3.0
    assert pinball(np.array([[10.0]]), np.array([6.0]), (0.75,)) == 1.0


def test_a_record_too_short_has_no_origin():
    assert origins_of(100, first=20, furthest=60, every=10).tolist() == [20, 30]
    for every, first in ((10, 50), (0, 20)):
        with pytest.raises(Misuse, match="origin"):
            origins_of(100, first=first, furthest=60, every=every)


def test_persistence_of_a_constant_is_right():
    (found,) = scores(
        Persistence(), np.full(50, 3.0), 0.0, 60.0, horizons=(5,), origins=np.arange(10, 40), window=20
    )
    assert found.rmse == 0.0 and found.coverage == (1.0,) * 6
