import math

import pytest

from tradewind.errors import Misuse
from tradewind.estimates.run_time import Interval
from tradewind.estimates.tracked_error import LATEST, correction, probability_error, ratio_error


def about(value):
    return Interval(0.8 * value, value, 1.2 * value)


def test_run_times_by_hand() -> None:
    told = ratio_error([about(100.0), about(100.0)], [200.0, 100.0])
    assert told is not None
    assert (told.count, told.error, told.covered) == (2, 0.25, 0.5)
    assert told.bias == pytest.approx(math.sqrt(2) - 1)


def test_probabilities_by_hand() -> None:
    told = probability_error([Interval(0.8, 0.9, 1.0), Interval(0, 0.4, 0.5)], [1.0, 0.0])
    assert told is not None
    assert told.error == pytest.approx((0.01 + 0.16) / 2) and told.bias == pytest.approx(0.15)
    assert told.covered == 1.0


def test_nothing_came() -> None:
    assert ratio_error([], []) is None and probability_error([], []) is None
    assert correction([], []) == Interval(1.0, 1.0, 1.0)


def test_only_the_latest_count() -> None:
    told = ratio_error([about(1.0)] * (LATEST + 5), [9.0] * 5 + [1.0] * LATEST)
    assert told is not None and told.count == LATEST and told.error == 0.0


def test_a_correction_is_shrunk_and_narrows_with_outcomes() -> None:
    one, many = (correction([about(10.0)] * n, [20.0] * n) for n in (1, 15))
    assert one.expected == pytest.approx(math.sqrt(2))
    assert many.expected == pytest.approx(2 ** (15 / 16))
    assert one.low < one.expected < one.high and many.high / many.low < one.high / one.low


def test_lengths_must_agree_and_ratios_be_possible() -> None:
    with pytest.raises(Misuse, match="2 predictions of 1"):
        ratio_error([about(1.0)] * 2, [1.0])
    with pytest.raises(Misuse, match="above 0"):
        ratio_error([about(1.0)], [0.0])
