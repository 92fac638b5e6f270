"""A small training with chance and momentum in it, whose steps a test holds back while it runs."""

from __future__ import annotations

import json
import os
import pickle
import threading
from pathlib import Path

import numpy as np

KEEP_EVERY = 5
"""Steps between two checkpoints."""
CRASHING = 0.9
"""A rate from which on the process ends itself at step 3, as one does that the kernel kills."""


def objective(trial, folder: str, steps: int = 20, crash: bool = False) -> float:
    """The loss of a logistic regression by gradient descent with momentum and noise, after `steps` steps."""
    data = np.random.default_rng(5)
    rows, truth = data.normal(size=(60, 6)), data.normal(size=6)
    labels = (rows @ truth > 0).astype(float)
    weights, speed = np.zeros(6), np.zeros(6)
    chance = np.random.default_rng(7)
    if trial.place:
        weights, speed, chance = pickle.loads(Path(trial.place).read_bytes())
    trial.keep(lambda path: path.write_bytes(pickle.dumps((weights, speed, chance))))
    loss = float("nan")
    for step in range(trial.step + 1, steps + 1):
        wait_for_gate(Path(folder), trial.number, step)
        if crash and trial["rate"] > CRASHING and step == 3:
            os._exit(3)
        taken = chance.integers(0, 60, 20)
        expected = 1 / (1 + np.exp(-(rows[taken] @ weights)))
        slope = rows[taken].T @ (expected - labels[taken]) / 20 + chance.normal(scale=0.01, size=6)
        speed = 0.8 * speed - trial["rate"] * slope
        weights = weights + speed
        margin = rows @ weights
        loss = float(np.mean(np.logaddexp(0, margin) - labels * margin))
        with (Path(folder) / f"did-{trial.number}").open("a") as did:
            did.write(f"{step}\n")
        trial.report(step, loss)
        if step % KEEP_EVERY == 0:
            trial.keep_now()
    return loss


def wait_for_gate(folder: Path, number: int, step: int) -> None:
    """Wait while the file `gates` lets the trial come only to a step before this one."""
    nobody = threading.Event()
    while step > json.loads((folder / "gates").read_text()).get(str(number), step):
        nobody.wait(0.01)
