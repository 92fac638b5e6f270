"""M4 hourly: DeepAR here and in GluonTS for the same training time, beside seasonal naive and AutoETS.

The data are the 414 recorded hourly series of the M4 competition (Mcompetitions/M4-methods on GitHub), 48
steps to forecast, from --data, $TRADEWIND_DATA or ../shared/data. Both sides have two layers of 40 cells,
context 48, Student's t, dropout 0.1, lags and calendar by the hour, and epochs of 13 batches of 128 windows
(414 series, four windows each, here). After each epoch of GluonTS's ours learns until it has had as much
time; reading the data, building the models and forecasting are outside the time on both sides. One process,
one thread each. Both sides are as they come, at a rate of 1e-3; the full run shows both at 3e-3 too.
AutoETS searches all models with season 24 on the whole history of a part of the series, drawn by
seed, for it is slow; what the others reach on that part is shown beside.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import logging
import os
import platform
import statistics
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import lightning.pytorch as lightning
import numpy as np
import pandas as pd
import torch
from gluonts.torch.model.deepar import DeepAREstimator
from statsforecast.models import AutoETS

from tradewind.algorithms.deep import deepar_metrics as metrics
from tradewind.algorithms.deep.deepar import DeepAR
from tradewind.algorithms.local_state import LocalState
from tradewind.algorithms.series import wide_rows
from tradewind.algorithms.shuffling import shuffled

H, SEASON, BATCH, WINDOWS = 48, 24, 32, 4
LEVELS = tuple(round(0.1 * k, 1) for k in range(1, 10))
SEED = 7


def read(path: Path) -> np.ndarray:
    """A wide table, (series, steps), NaN after a series' end."""
    with gzip.open(path, "rt") as file:
        rows = [[float(cell) for cell in row[1:] if cell] for row in csv.reader(file) if row[0] != "V1"]
    found = np.full((len(rows), max(map(len, rows))), np.nan)
    for row, values in zip(found, rows, strict=True):
        row[: len(values)] = values
    return found


class Ours:
    """DeepAR through its three functions, an epoch at a time."""

    def __init__(self, train: np.ndarray, rate: float) -> None:
        self.rows = wide_rows(train)
        self.learner = DeepAR(
            "H", H, rate=rate, windows_per_series=WINDOWS, batch_size=BATCH, quantiles=LEVELS, seed=SEED
        )
        self.state = LocalState()
        self.learner.initialize(self.state, self.rows)
        self.seconds: list[float] = []

    def epoch(self) -> None:
        rows = shuffled(self.rows, SEED, len(self.seconds))
        batches = [rows.rows(at, min(at + BATCH, len(rows))) for at in range(0, len(rows), BATCH)]
        start = time.perf_counter()
        self.learner.update(self.state, self.state.draw(batches), False)
        self.seconds.append(time.perf_counter() - start)

    def until(self, seconds: float) -> None:
        """Whole epochs that end before so much time is spent."""
        while sum(self.seconds) + statistics.median(self.seconds or [0.0]) <= seconds:
            self.epoch()

    def paths(self, part: np.ndarray) -> np.ndarray:
        return self.learner.finalize(self.state).samples(wide_rows(part))


class Alternating(lightning.Callback):
    """Times GluonTS's epochs, and lets ours have as much after each."""

    def __init__(self, ours: list[Ours]) -> None:
        self.ours, self.seconds = ours, []

    def on_train_epoch_start(self, *_: Any) -> None:
        self.start = time.perf_counter()

    def on_train_epoch_end(self, *_: Any) -> None:
        self.seconds.append(time.perf_counter() - self.start)
        for each in self.ours:
            each.until(sum(self.seconds))


def gluonts(train: np.ndarray, part: np.ndarray, rate: float, epochs: int, ours: list[Ours]) -> Any:
    """Its epochs' seconds and its paths (n, 100, H) for `part`."""
    lightning.seed_everything(SEED)

    def listed(table: np.ndarray) -> list[dict[str, Any]]:
        start = pd.Period("1970-01-01 00", freq="h")
        return [{"start": start, "target": row[~np.isnan(row)].astype(np.float32)} for row in table]

    turns = Alternating(ours)
    with tempfile.TemporaryDirectory() as folder:
        estimator = DeepAREstimator(
            "h", H, lr=rate, num_layers=2, hidden_size=40, dropout_rate=0.1, batch_size=BATCH * WINDOWS,
            num_batches_per_epoch=-(-len(train) // BATCH),
            trainer_kwargs={
                "max_epochs": epochs, "enable_progress_bar": False, "enable_model_summary": False,
                "logger": False, "default_root_dir": folder, "accelerator": "cpu", "callbacks": [turns],
            },
        )  # fmt: skip
        predictor = estimator.train(listed(train))
    torch.manual_seed(SEED)
    found = np.stack([each.samples for each in predictor.predict(listed(part), num_samples=100)])
    return turns.seconds, found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few epochs, a part of the series forecast")
    usual = os.environ.get("TRADEWIND_DATA", Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(usual), help="the folder of recorded data")
    parser.add_argument("--epochs", type=int, help="GluonTS's epochs (5 if quick, else 40)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    train = read(options.data / "learn" / "m4-Hourly-train.csv.gz")
    test = read(options.data / "learn" / "m4-Hourly-test.csv.gz")[:, :H]
    epochs = options.epochs or (5 if options.quick else 40)
    chance = np.random.default_rng(SEED)
    order = chance.permutation(len(train))
    shown = np.sort(order[:120]) if options.quick else np.arange(len(train))
    slow = np.sort(order[: 8 if options.quick else 100])
    among = np.searchsorted(shown, slow)  # the slow part's places among those that are forecast
    part, actual = train[shown], test[shown]
    lengths = (~np.isnan(part)).sum(axis=1)

    Ours(train[:BATCH], 1e-3).epoch()  # kernels are compiled once, outside the time
    rates = (1e-3,) if options.quick else (1e-3, 3e-3)
    ours = {rate: Ours(train, rate) for rate in rates}
    rows: dict[str, tuple[np.ndarray, list[float]]] = {}
    seconds, paths = gluonts(train, part, 1e-3, epochs, list(ours.values()))
    rows["GluonTS DeepAREstimator, rate 0.001"] = paths, seconds
    if not options.quick:
        other, paths = gluonts(train, part, 3e-3, epochs, [])
        rows["GluonTS DeepAREstimator, rate 0.003"] = paths, other
    for rate, each in ours.items():
        rows[f"tradewind DeepAR, rate {rate:g}"] = each.paths(part), each.seconds
    medians = {name: np.median(each, axis=1) for name, (each, _) in rows.items()}
    medians["seasonal naive"] = metrics.seasonal_naive(part, lengths, SEASON, H)
    ets = np.full_like(medians["seasonal naive"], np.nan)
    for place in among:
        history = part[place, : lengths[place]]
        ets[place] = AutoETS(season_length=SEASON).forecast(y=history, h=H)["mean"]

    def loss(name: str) -> float:
        bands = np.moveaxis(np.quantile(rows[name][0], LEVELS, axis=1), 0, 2)
        return float(metrics.weighted_quantile_losses(actual, bands, LEVELS).mean())

    print(f"M4 hourly, {len(train)} series to learn from, {len(shown)} forecast, {H} steps, seed {SEED}.")
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {os.cpu_count()} cores, one thread, Python {platform.python_version()},")
    packages = ("tradewind", "numba", "numpy", "torch", "gluonts", "lightning", "statsforecast")
    print(", ".join(f"{each} {version(each)}" for each in packages) + "\n")
    header = f"{'':<36}{'sMAPE':>8}{'MASE':>7}{'wQL':>8}{'epochs':>8}{'training s':>12}{'s an epoch':>12}"
    print(f"{header}  sMAPE on {len(slow)}")
    figures: dict[str, float] = {}
    for name, median in medians.items():
        smape = metrics.smape(actual, median)
        mase = metrics.mase(actual, median, part, lengths, SEASON)
        few = metrics.smape(actual[among], median[among])
        if name in rows:
            spent = rows[name][1]
            told = f"{loss(name):>8.4f}{len(spent):>8}{sum(spent):>12.1f}{statistics.median(spent):>12.2f}"
        else:
            told = " " * 40
        print(f"{name:<36}{smape:>8.4f}{mase:>7.2f}{told}{few:>13.4f}")
    print(f"{'AutoETS':<36}{'':>55}{metrics.smape(actual[among], ets[among]):>13.4f}\n")
    for suffix, side in (("", "tradewind DeepAR"), ("_gluonts", "GluonTS DeepAREstimator")):
        name = f"{side}, rate {rates[0]:g}"
        figures[f"smape{suffix}"] = metrics.smape(actual, medians[name])
        figures[f"wql{suffix}"] = loss(name)
        figures[f"epoch_seconds{suffix}"] = statistics.median(rows[name][1])
    figures["smape_seasonal_naive"] = metrics.smape(actual, medians["seasonal naive"])
    figures["smape_autoets"] = metrics.smape(actual[among], ets[among])
    ratio = figures["epoch_seconds_gluonts"] / figures["epoch_seconds"]
    print(f"Medians over epochs, which alternate. An epoch here is {ratio:.2f}x as fast as GluonTS's.")
    print(f"smape_autoets is of {len(slow)} series only.")
    figures = {name: round(value, 4) for name, value in figures.items()}
    print(json.dumps({"benchmark": "algorithms/deepar", "figures": figures}))


if __name__ == "__main__":
    main()
