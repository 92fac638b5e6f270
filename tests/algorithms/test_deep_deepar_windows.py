"""Windows against a plain reading of their description, step by step."""

import numpy as np
import pytest

from tradewind.algorithms.deep.deepar_calendar import frequency_called
from tradewind.algorithms.deep.deepar_windows import (
    History,
    WindowPlan,
    Windows,
    cut,
    scales_of,
    typical_scale,
)
from tradewind.algorithms.series import series_rows, unpacked_series, wide_rows

N = None
GIVEN = [
    {"start": "2026-01-01 05:00", "target": [1, N, -3, 4, 0, 6], "dynamic_feat": [[5, 6, 7, 8, 9, 10, 11]]},
    {"start": "2026-03-01", "target": [0, 0, 0, 0, N], "dynamic_feat": [[1, 2, 3, 4, 5, 6]]},
    {"start": "2026-03-01", "target": [], "dynamic_feat": [[1, 2]]},
]
LAGS = [1, 2, 4]


def plan(**changes) -> WindowPlan:
    settings = {
        "context": 3, "prediction": 2, "lags": np.array(LAGS), "frequency": frequency_called("H"),
        "fallback": 2.5, "shift": np.array([4], np.float32), "spread": np.array([2], np.float32),
    }  # fmt: skip
    return WindowPlan(**{**settings, **changes})


def expected(row: int, moment: int) -> tuple[np.ndarray, list, float]:
    """The inputs (5, 10) and targets (5,) of one window."""
    given = GIVEN[row]
    target, start = given["target"], np.datetime64(given["start"], "s")
    there = [t for t in range(max(0, moment - 3), min(moment, len(target))) if target[t] is not None]
    mean = sum(abs(target[t]) for t in there) / len(there) if there else 0
    scale = mean if mean > 0 else 2.5

    def back(t: int) -> float:
        if t < 0 or t >= len(target):
            return 0
        while t >= 0 and target[t] is None:
            t -= 1
        return target[t] / scale if t >= 0 else 0

    rows = []
    for t in range(moment - 3, moment + 2):
        at = start + np.timedelta64(3600 * t, "s")
        day = at.astype("datetime64[D]")
        hour = (at - day).astype(int) / 3600
        rows.append(
            [
                *(back(t - lag) for lag in LAGS),
                float(0 < t <= len(target) and target[t - 1] is not None),
                hour / 23 - 0.5,
                (day.astype(object).weekday()) / 6 - 0.5,
                (day.astype(object).day - 1) / 30 - 0.5,
                (day - day.astype("datetime64[Y]")).astype(int) / 365 - 0.5,
                np.log10(2 + max(t, 0)),
                (given["dynamic_feat"][0][t] - 4) / 2 if t >= 0 else 0,
                np.log(scale),
            ]
        )
    wanted = [target[t] if 0 <= t < len(target) else None for t in range(moment - 3, moment + 2)]
    return np.array(rows), wanted, scale


@pytest.mark.parametrize(("row", "moment"), [(0, 0), (0, 1), (0, 3), (0, 4), (0, 5), (1, 3), (1, 4), (2, 0)])
def test_a_window_is_what_its_description_says(row, moment) -> None:
    history = History.of(unpacked_series(series_rows(GIVEN)))
    found = cut(plan(), history, np.array([1, row]), np.array([2, moment]))
    inputs, target, scale = expected(row, moment)
    assert found.inputs.shape == (5, 2, plan().width) and found.inputs.dtype == np.float32
    assert found.inputs[:, 1] == pytest.approx(inputs, abs=1e-6)
    assert found.scale[1] == pytest.approx(scale)
    assert found.observed[:, 1].tolist() == [each is not None for each in target]
    assert found.target[:, 1].tolist() == [each or 0 for each in target]


def test_without_scales_values_are_as_they_are() -> None:
    history = History.of(unpacked_series(series_rows(GIVEN)))
    found = cut(plan(scaled=False), history, np.array([0]), np.array([4]))
    assert found.scale.tolist() == [1] and found.inputs[4, 0, :3].tolist() == [0, 4, 1]
    assert (found.inputs[:, 0, -1] == 0).all()


def test_the_typical_scale_is_the_median_of_those_there_are() -> None:
    assert typical_scale(unpacked_series(series_rows(GIVEN))) == pytest.approx(14 / 5)
    assert typical_scale(unpacked_series(series_rows(GIVEN[1:]))) == 1.0


def test_the_scales_of_inputs_are_of_most_of_them_and_enlarge_none() -> None:
    table = np.random.default_rng(0).normal(50, 10, size=(40, 60))
    table[0, :3] = 1e9  # one series in forty is another world
    history = History.of(unpacked_series(wide_rows(table)))
    windows = cut(plan(shift=np.zeros(0), spread=np.zeros(0)), history, np.arange(40), np.full(40, 30))
    mean, factor = scales_of(plan(shift=np.zeros(0), spread=np.zeros(0)), windows, 60)
    steps = windows.inputs.reshape(-1, windows.inputs.shape[2])
    assert mean[:3] == pytest.approx(steps[:, :3].mean(axis=0), rel=0.1)
    assert (factor <= 1).all() and factor[:4].tolist() == [1, 1, 1, 1]
    assert factor[4:8].tolist() == [1, 0, 0, 0]  # sixty hours show the day twice, the week not
    wild = windows.inputs.copy()
    wild[:, :, -1] = np.linspace(0, 40, wild[:, :, -1].size).reshape(wild.shape[:2])
    again = scales_of(plan(), Windows(wild, windows.target, windows.observed, windows.scale), 60)
    assert again[0, -1] == pytest.approx(20, rel=0.02)
    assert 1 / again[1, -1] == pytest.approx(40 / np.sqrt(12), rel=0.05)
