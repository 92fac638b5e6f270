"""Whole learning curves of known settings, with their hyper-parameters: TaskSet's, and LCBench's surrogate's.

TaskSet's are recorded (validation loss at 51 points; settings whose curve is not finite are left out).
LCBench's come from a network that was fitted to recorded curves (52 epochs, validation cross-entropy), for
settings drawn from the space that comes with it; so does what an epoch of each takes beside the others.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tradewind.tuning.trial import Setting

Array = NDArray[np.float64]
EPOCHS = 52
SETTINGS_OF_A_TASK = 200
"""How many settings of LCBench's space are drawn for each task."""
PACES = (0.25, 3.0)
"""What a step may take beside the median setting's: a slower one would be longer than the hour after which
SpotTune leaves a machine, and never end there."""
BOUNDED = {"beta1": (0.0, 1.0), "beta2": (0.0, 1.0)}
"""Hyper-parameters of TaskSet that are not spread over magnitudes."""


@dataclass(frozen=True)
class Task:
    """What n settings come to in T steps."""

    name: str
    space: Mapping[str, Any]
    settings: tuple[Setting, ...]
    losses: Array
    """(n, T)"""
    pace: Array
    """(n,) what a step takes beside the median setting's, on any machine."""
    batch: Array
    """(n,) rows of a batch; nan where that is not among the hyper-parameters."""

    @cached_property
    def rows(self) -> Array:
        """(n, d) the settings in the unit cube."""
        columns = []
        for name, bounds in self.space.items():
            low, high = bounds["low"], bounds["high"]
            values = np.array([each[name] for each in self.settings], np.float64)
            if bounds.get("log"):
                columns.append(np.log(values / low) / np.log(high / low))
            else:
                columns.append((values - low) / (high - low))
        return np.column_stack(columns)

    def drawn(self, chosen: NDArray[np.intp]) -> Task:
        """Some of the settings."""
        return Task(
            self.name,
            self.space,
            tuple(self.settings[at] for at in chosen),
            self.losses[chosen],
            self.pace[chosen],
            self.batch[chosen],
        )


def taskset(folder: Path) -> list[Task]:
    """The recorded tasks, by name."""
    found = []
    for path in sorted(folder.glob("*.json.gz")):
        with gzip.open(path) as file:
            known = json.load(file)
        losses = np.array([each["valid"]["loss"] for each in known], np.float64)
        fine = np.isfinite(losses).all(axis=1)
        settings = tuple(dict(each["hp"]) for each, there in zip(known, fine, strict=True) if there)
        space: dict[str, Any] = {}
        for name in settings[0]:
            values = [each[name] for each in settings]
            if name in BOUNDED:
                low, high = BOUNDED[name]
                space[name] = {"low": low, "high": high}
            else:
                space[name] = {"low": min(values), "high": max(values), "log": True}
        count = len(settings)
        name = path.name.split("imdb_")[-1].split(".")[0]
        found.append(Task(name, space, settings, losses[fine], np.ones(count), np.full(count, np.nan)))
    return found


def lcbench(folder: Path, tasks: int = 34) -> list[Task]:
    """The first tasks of the surrogate; the same settings whenever it is asked."""
    listed = json.loads((folder / "config_space.json").read_text())["hyperparameters"]
    known = {each["name"]: each for each in listed}
    codes = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    network = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
    names = [
        "batch_size", "learning_rate", "momentum", "weight_decay", "num_layers", "max_units", "max_dropout",
    ]  # fmt: skip
    space = {
        name: {"low": known[name]["lower"], "high": known[name]["upper"], "log": bool(known[name]["log"])}
        for name in names
    }
    chance, found, count = np.random.default_rng(11), [], SETTINGS_OF_A_TASK
    for task in known["OpenML_task_id"]["choices"][:tasks]:
        columns = []
        for name, bounds in space.items():
            low, high, drawn = bounds["low"], bounds["high"], chance.random(count)
            value = low * (high / low) ** drawn if bounds["log"] else low + (high - low) * drawn
            columns.append(np.rint(value) if known[name]["type"] == "uniform_int" else value)
        epochs = np.tile(np.arange(1, EPOCHS + 1), count)
        grid = np.column_stack([epochs, np.repeat(np.column_stack(columns), EPOCHS, axis=0)])
        inputs = {"x_cat": np.full((len(grid), 1), codes[task], np.int32), "x_cont": grid.astype(np.float32)}
        said = network.run(None, inputs)[0].astype(np.float64)
        seconds = np.maximum(said[:, 0].reshape(count, EPOCHS)[:, -1], 1e-3)
        whole = [known[name]["type"] == "uniform_int" for name in names]
        settings = tuple(
            {name: int(value) if exact else float(value)
             for name, value, exact in zip(names, row, whole, strict=True)}
            for row in np.column_stack(columns)
        )  # fmt: skip
        losses = said[:, 2].reshape(count, EPOCHS)
        pace = np.clip(seconds / np.median(seconds), *PACES)
        found.append(Task(f"LCBench {task}", space, settings, losses, pace, columns[0]))
    return found
