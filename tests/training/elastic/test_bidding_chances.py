"""What an outlook says of one lease, against sums done by hand."""

import math

import pytest
from bidding_views import outlook, pool
from hypothesis import given
from hypothesis import strategies as st

from tradewind.estimates.outlook import NEVER
from tradewind.training.elastic.bidding.chances import mean_time, median_time, risk, risk_of, within

HERE = pool("c3.xlarge", "a")
SEEN = outlook({HERE: [[0.4, 0.5], [0.05, 0.1]]})
LOW = risk(SEEN, HERE, 0.01)


def test_a_risk_is_the_row_of_its_delta():
    assert LOW == ((0.0, 0.0), (1800.0, 0.4), (3600.0, 0.5))
    assert risk(SEEN, HERE, 0.0) == LOW
    assert risk(SEEN, HERE, math.inf) == ((0.0, 0.0), (1800.0, 0.05), (3600.0, 0.1))
    # A third of the way from 0.01 to 0.1.
    between = risk(SEEN, HERE, 0.04)
    assert [chance for _, chance in between] == pytest.approx([0.0, 0.4 - 0.35 / 3, 0.5 - 0.4 / 3])
    assert risk(SEEN, pool("c3.xlarge", "elsewhere"), 0.01) is None


def test_within_is_linear_and_goes_on_at_the_mean_rate():
    assert within(LOW, 900.0) == pytest.approx(0.2)
    assert within(LOW, 2700.0) == pytest.approx(0.45)
    assert within(LOW, 7200.0) == pytest.approx(0.75)  # half, and half of what is left
    assert within(LOW, 0.0) == 0.0 and within(((0.0, 0.0),), 99.0) == 0.0


def test_the_median_is_of_those_that_are_revoked():
    # Half of 0.5 is reached at 0.25 / 0.4 of 1800 s.
    assert median_time(LOW, 3600.0) == pytest.approx(1125.0)
    assert median_time(LOW, 900.0) == pytest.approx(450.0)
    assert median_time(((0.0, 0.0), (3600.0, 0.0)), 600.0) == 600.0


def test_the_mean_is_the_area_under_what_is_left():
    # 0.8 of the first half hour, 0.55 of the second, and half of it at a rate that halves it every hour.
    area = 1800 * 0.8 + 1800 * 0.55
    assert mean_time(SEEN, HERE, 0.01) == pytest.approx(area + 0.5 * 3600 / math.log(2))
    assert mean_time(outlook({HERE: [[0.0, 0.0]] * 2}), HERE, 0.01) == NEVER
    assert mean_time(outlook({HERE: [[0.5, 1.0]] * 2}), HERE, 0.01) == pytest.approx(
        1800 * 0.75 + 1800 * 0.25
    )
    assert mean_time(SEEN, pool("c3.xlarge", "elsewhere"), 0.01) is None


chances = st.lists(st.floats(0, 1), min_size=1, max_size=4)


@given(chances, st.floats(0, 1e6), st.floats(0, 1e6))
def test_whatever_the_forecast_chances_rise_and_medians_lie_within(row, one, other):
    points = risk_of(tuple(600.0 * (at + 1) for at in range(len(row))), row)
    less, more = sorted((one, other))
    assert 0 <= within(points, less) <= within(points, more) + 1e-12 <= 1 + 1e-9
    assert 0 <= median_time(points, more) <= more
