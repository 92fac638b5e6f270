import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.session import durations


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("90s", 90),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1d 2h", 93600),
        ("250ms", 0.25),
        ("1.5h", 5400),
        (7, 7),
        ("12", 12),
    ],
)
def test_what_people_write(written, meant):
    assert durations.seconds(written) == pytest.approx(meant)


@pytest.mark.parametrize(
    "wrong", ["", "h", "2 hours", "30m1h", "1h1h", "-2h", "0s", 0, -1, math.nan, math.inf, "nan", "inf"]
)
def test_what_is_no_duration(wrong):
    with pytest.raises(Misuse) as told:
        durations.seconds(wrong, source="a.toml", field="deadline")
    assert str(told.value).startswith("a.toml: deadline: ")


def test_rounding_never_gives_sixty_of_a_unit():
    assert durations.text(3599.7) == "1h"
    assert durations.text(59.6) == "1m"
    assert durations.text(86399) == "1d"
    assert durations.text(0) == "0s"
    assert durations.text(-90) == "-1m30s"


@settings(max_examples=60)
@given(st.floats(min_value=0.01, max_value=1e7))
def test_text_reads_back_as_nearly_the_same(seconds):
    again = durations.seconds(durations.text(seconds))
    assert abs(again - seconds) <= max(0.005, 0.05 * seconds)
    assert durations.text(again) == durations.text(seconds)
