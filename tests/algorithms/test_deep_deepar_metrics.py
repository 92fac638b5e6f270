"""The figures that forecasts are judged by; the seasonal naive forecast has the M4 competition's."""

import csv
import gzip

import numpy as np
import pytest

from tradewind.algorithms.deep import deepar_metrics as metrics


def test_smape_nd_rmse_and_coverage() -> None:
    actual = np.array([[1.0, np.nan, 0.0], [3.0, 4.0, np.nan]])
    forecast = np.array([[1.0, 5.0, 0.0], [1.0, 4.0, 9.0]])
    assert metrics.smape(actual, forecast) == pytest.approx((0 + (2 * 2 / 4 + 0) / 2) / 2)
    assert metrics.nd(actual, forecast) == pytest.approx(2 / 8)
    assert metrics.rmse(actual, forecast) == pytest.approx(np.sqrt(4 / 4))
    assert metrics.coverage(actual, forecast - 1, forecast + 1) == pytest.approx(3 / 4)


def test_weighted_quantile_losses() -> None:
    actual = np.array([[2.0, 4.0]])
    quantiles = np.array([[[1.0, 3.0], [4.0, 6.0]]])
    found = metrics.weighted_quantile_losses(actual, quantiles, (0.1, 0.9))
    assert found == pytest.approx([2 * 0.1 * 1 / 6, 2 * (0.1 * 1 + 0.1 * 2) / 6])
    median = metrics.weighted_quantile_losses(actual, quantiles[..., :1], (0.5,))
    assert median == pytest.approx(metrics.nd(actual, quantiles[..., 0]))


def test_mase_leaves_out_series_that_do_not_change() -> None:
    history = np.array([[1.0, 2.0, 3.0, 5.0], [7.0, 7.0, 7.0, 7.0], [1.0, np.nan, np.nan, np.nan]])
    actual, forecast = np.full((3, 1), 6.0), np.full((3, 1), 4.0)
    lengths = np.array([4, 4, 1])
    assert metrics.mase(actual, forecast, history, lengths, 1) == pytest.approx(2 / (4 / 3))
    assert np.isnan(metrics.mase(actual[1:], forecast[1:], history[1:], lengths[1:], 1))


def test_seasonal_naive() -> None:
    history = np.array([[1.0, 2.0, 3.0], [9.0, np.nan, np.nan], [np.nan] * 3])
    found = metrics.seasonal_naive(history, np.array([3, 1, 0]), 2, 3)
    assert found.tolist() == [[2, 3, 2], [9, 9, 9], [0, 0, 0]]


def m4(path) -> np.ndarray:
    with gzip.open(path, "rt") as file:
        rows = [[float(cell) for cell in row[1:] if cell] for row in csv.reader(file) if row[0] != "V1"]
    found = np.full((len(rows), max(map(len, rows))), np.nan)
    for row, values in zip(found, rows, strict=True):
        row[: len(values)] = values
    return found


def test_the_seasonal_naive_forecast_of_m4_hourly(bench_data) -> None:
    """13.91 % sMAPE, as Makridakis et al., International Journal of Forecasting 36 (2020), have it."""
    train, test = (m4(bench_data(f"learn/m4-Hourly-{name}.csv.gz")) for name in ("train", "test"))
    lengths = (~np.isnan(train)).sum(axis=1)
    forecast = metrics.seasonal_naive(train, lengths, 24, 48)
    assert train.shape == (414, 960) and test.shape == (414, 48)
    assert metrics.smape(test, forecast) == pytest.approx(0.1391, abs=5e-5)
    assert metrics.mase(test, forecast, train, lengths, 24) == pytest.approx(1.193, abs=5e-4)
