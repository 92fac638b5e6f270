"""What a frequency says: lags, calendar features, seasons, moments."""

import numpy as np
import pytest

from tradewind.algorithms.deep.deepar_calendar import Frequency, frequency_called
from tradewind.errors import Misuse


@pytest.mark.parametrize(
    ("text", "unit", "count", "season"),
    [
        ("H", "H", 1, 24), ("h", "H", 1, 24), ("2H", "H", 2, 12), ("15min", "min", 15, 96),
        ("T", "min", 1, 1440), ("D", "D", 1, 1), ("2W", "W", 2, 1), ("M", "M", 1, 12), ("MS", "M", 1, 12),
        ("7H", "H", 7, 1),
    ],
)  # fmt: skip
def test_names(text, unit, count, season) -> None:
    found = frequency_called(text)
    assert found == Frequency(unit, count) and found.season == season


@pytest.mark.parametrize("text", ["", "Y", "0H", "-1D", "hourly", "1.5H", "S"])
def test_what_is_no_frequency_is_told(text) -> None:
    with pytest.raises(Misuse, match="is no frequency"):
        frequency_called(text)


def test_the_lags_of_hours_months_and_weeks() -> None:
    day = [23, 24, 25, 47, 48, 49, 71, 72, 73, 95, 96, 97, 119, 120, 121, 143, 144, 145, 167, 168, 169]
    far = [335, 336, 337, 503, 504, 505, 671, 672, 673, 719, 720, 721]
    assert list(frequency_called("H").lags()) == [1, 2, 3, 4, 5, 6, 7, *day, *far]
    assert list(frequency_called("M").lags()) == [*range(1, 8), 11, 12, 13, 23, 24, 25, 35, 36, 37]
    weeks = [*range(1, 8), 8, 12, 51, 52, 53, 103, 104, 105, 155, 156, 157]
    assert list(frequency_called("W").lags()) == weeks
    for text in ("min", "30min", "4H", "D", "3D", "2W", "6M"):
        lags = frequency_called(text).lags()
        assert list(lags) == sorted(set(lags)) and lags[0] == 1 and lags[-1] <= 1200


def test_moments_step_by_calendar_months() -> None:
    start = np.array([np.datetime64("2026-01-15", "s").astype(np.int64)])
    found = frequency_called("2M").moments(start, np.array([[0, 1, 6, -1]]))
    assert found.astype("datetime64[s]").astype("datetime64[D]").astype(str).tolist() == [
        ["2026-01-01", "2026-03-01", "2027-01-01", "2025-11-01"]
    ]
    found = frequency_called("90min").moments(start, np.array([[0, 2]]))
    assert (found[0, 1] - found[0, 0]) == 3 * 3600


def moments(*texts: str) -> np.ndarray:
    return np.array([np.datetime64(each, "s").astype(np.int64) for each in texts])


def test_calendar_features() -> None:
    at = moments("2026-11-23T17:45:00", "1969-12-31T23:59:00", "2024-12-31T00:00:00")  # a Monday first
    found = frequency_called("min").calendar(at)
    assert found[:, 0] == pytest.approx([45 / 59 - 0.5, 0.5, -0.5])
    assert found[:, 1] == pytest.approx([17 / 23 - 0.5, 0.5, -0.5])
    assert found[:, 2] == pytest.approx([-0.5, 2 / 6 - 0.5, 1 / 6 - 0.5])
    assert found[:, 3] == pytest.approx([22 / 30 - 0.5, 0.5, 0.5])
    assert found[:, 4] == pytest.approx([326 / 365 - 0.5, 364 / 365 - 0.5, 0.5])
    assert frequency_called("M").calendar(at)[:, 0] == pytest.approx([10 / 11 - 0.5, 0.5, 0.5])
    assert frequency_called("W").calendar(at)[:, 1] == pytest.approx([46 / 52 - 0.5, 0.5, 0.5])
    assert frequency_called("D").calendar(at.reshape(3, 1)).shape == (3, 1, 3)
    for text in ("min", "H", "D", "W", "M"):
        assert frequency_called(text).calendar(at).shape == (3, len(frequency_called(text).features))


def test_a_feature_counts_once_its_cycle_has_come_twice() -> None:
    hours = frequency_called("H")
    assert hours.features == ("hour_of_day", "day_of_week", "day_of_month", "day_of_year")
    assert hours.repeated(47) == (False, False, False, False)
    assert hours.repeated(2 * 168) == (True, True, False, False)
    assert hours.repeated(2 * 366 * 24) == (True, True, True, True)
    assert frequency_called("30min").repeated(96) == (True, True, False, False, False)
    assert frequency_called("2W").repeated(53) == (True, True)
    assert frequency_called("M").repeated(23) == (False,) and frequency_called("3M").repeated(8) == (True,)
