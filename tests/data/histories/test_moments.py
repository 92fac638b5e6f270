from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.data.histories.moments import moments, recorded_moment

WHEN = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@settings(max_examples=80, deadline=None)
@given(st.lists(WHEN, min_size=1, max_size=5), st.sampled_from(["Z", "+00:00", ""]))
def test_many_at_once_are_what_each_is_alone(times, zone):
    texts = [f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond:06d}{zone}" for when in times]
    assert moments(texts).tolist() == [recorded_moment(text) for text in texts]
    assert moments(texts).tolist() == [when.timestamp() for when in times]


def test_other_zones_are_taken_into_account():
    texts = ["2020-01-01T02:00:00+02:00", "2019-12-31T19:00:00-05:00", "2020-01-01T00:00:00Z"]
    assert moments(texts).tolist() == [1577836800.0] * 3


@pytest.mark.parametrize(
    "text", ["", "noon", "2020-01-01", "2020-02-30T00:00:00Z", "2020-01-01T25:00:00Z", "NaT"]
)
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(ValueError):
        recorded_moment(text)
    with pytest.raises(ValueError):
        moments(["2020-01-01T00:00:00Z", text])
