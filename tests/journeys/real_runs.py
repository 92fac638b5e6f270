"""What the journeys share: a small job on real processes, and how things are done to it while it runs."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tradewind import clock
from tradewind.control.journal import Journal
from tradewind.control.records import Sample
from tradewind.data.model_files.layout import newest_snapshot
from tradewind.market.leases import Ending
from tradewind.market.news import Ended
from tradewind.session.assembly import job_of, material_of
from tradewind.session.spec import TrainSpec, make_spec
from tradewind.session.stretch import Trained
from tradewind.session.train import train
from tradewind.training.in_process import learn_here
from tradewind.training.state_host import fresh_state

START = clock.moment("2020-02-01T00:00:00Z")
HERE = Path(__file__).parent
SLOWLY = 0.1
"""Seconds a batch, where a run must not end before something has happened to it."""
ROUND = 160
"""Rows that all workers together read in a round."""


def write_rows(path: Path, rows: int = 1600, seed: int = 3) -> None:
    """A LIBSVM file of two classes that a linear model mostly tells apart."""
    chance = np.random.default_rng(seed)
    weights = chance.normal(size=30)
    with path.open("w") as file:
        for _ in range(rows):
            columns = np.sort(chance.choice(30, 6, replace=False))
            values = chance.normal(size=6).round(3)
            label = 1 if values @ weights[columns] > 0 else -1
            cells = " ".join(f"{c + 1}:{v}" for c, v in zip(columns, values, strict=True))
            file.write(f"{label:+d} {cells}\n")


def write_prices(path: Path, *changes: tuple[float, float]) -> None:
    """Prices of p2.xlarge in two zones: changes (market seconds from START, USD an hour), for a day.

    On demand it is 0.9, which is what is bid: a price above that takes every spot lease back.
    """
    lines = ["zone,instance_type,time,price"]
    for zone in ("us-east-1a", "us-east-1b"):
        for at, price in (*changes, (86_400.0, changes[-1][1])):
            lines.append(f"{zone},p2.xlarge,{clock.iso(START + at)},{price}")
    path.write_text("\n".join(lines) + "\n")


def small_spec(folder: Path, **changes: Any) -> TrainSpec:
    """A job of 10 rounds an epoch on two workers; `changes` are fields of the spec."""
    document: dict[str, Any] = {
        "name": "small",
        "learner": {"kind": "paced_learner:PacedLearner", "optimizer": "sgd"},
        "data": {"path": str(folder / "rows.libsvm")},
        "epochs": 30,
        "batch": 40,
        "parts": 4,
        "snapshot_every": "30s",
        "workers": {"count": 2, "instance_types": ["p2.xlarge"]},
        "provider": {"kind": "local", "history": str(folder / "prices.csv"), "boot": 5, "speed": 60},
        "out": str(folder / "runs"),
    }
    return make_spec({**document, **changes})


def undisturbed(spec: TrainSpec) -> dict[str, bytes]:
    """The tables that the job of `spec` comes to in this process, with nothing done to it."""
    job, material = job_of(spec), material_of(spec, None)
    engine = fresh_state(job, material.algorithm, material.train)
    learn_here(job, material.algorithm, material.train, engine)
    return {name: array.tobytes() for name, array in engine.snapshot().plain()[0].items()}


def learned(run: str | Path) -> dict[str, bytes]:
    """The tables in the last snapshot of a run."""
    found = newest_snapshot(Path(run) / "snapshots")
    assert found is not None
    return {name: array.tobytes() for name, array in found[1].items()}


def processes(run: Path) -> dict[str, int]:
    """The processes whose output goes to the run's logs, by the log's name: tasks, and agents by lease.

    An agent and its nursery share a log; the agent, who leads the group, is the one that is told.
    """
    found: dict[str, int] = {}
    logs = str(run.resolve() / "logs")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            target = os.readlink(entry / "fd" / "1")
            if target.startswith(logs):
                name, pid = Path(target).stem, int(entry.name)
                if not name.startswith("lease-") or os.getpgid(pid) == pid:
                    found[name] = pid
    return found


def kill(run: Path, kind: str, *, group: bool = False, by: int = signal.SIGKILL) -> bool:
    """kill -9 of one task of a kind (`worker`, `state`), or of its whole lease; whether there was one."""
    victims = [pid for name, pid in sorted(processes(run).items()) if name.startswith(kind)]
    if not victims:
        return False
    with contextlib.suppress(ProcessLookupError):
        if group:
            os.killpg(os.getpgid(victims[0]), by)
        else:
            os.kill(victims[0], by)
        return True
    return False


class Mishaps:
    """Watches a run, does one thing after another to it, and lets it hurry to its end after the last.

    A mishap is tried at every sample until it says that it has happened; the next one is due when so many
    rounds more are done, which shows that the run has got over it.
    """

    def __init__(self, folder: Path, mishaps: Sequence[Callable[[Path], bool]], rounds: int = 3) -> None:
        self.folder, self.left, self.rounds = folder, list(mishaps), rounds
        self.due = 0.0
        self.samples: list[Sample] = []

    def update(self, sample: Sample) -> None:
        """The run is at `sample`."""
        self.samples.append(sample)
        if sample.done < self.due:
            return
        if not self.left:
            set_pace(self.folder, 0.0)
        elif sample.done > 0 and self.left[0](latest(self.folder)):
            self.left.pop(0)
            self.due = sample.done + self.rounds * ROUND


def latest(folder: Path) -> Path:
    """The only run's folder."""
    (run,) = [each for each in (folder / "runs").iterdir() if each.is_dir() and not each.is_symlink()]
    return run


def set_pace(folder: Path, seconds: float) -> None:
    """How long each worker waits before a batch, from the next one on."""
    draft = folder / "pace.draft"
    draft.write_text(repr(seconds))
    draft.rename(folder / "pace")


def train_slowly(folder: Path, spec: TrainSpec, watching: Mishaps) -> Trained:
    """Train at full speed as far as the estimate sees, and slowly from then on until the last mishap."""
    watched = watching.update

    def update(sample: Sample) -> None:
        if not watching.samples:
            set_pace(folder, SLOWLY)
        watched(sample)

    watching.update = update  # type: ignore[method-assign]
    return train(spec, console=watching)


def endings(run: Path) -> list[Ending]:
    """How the leases ended whose end was told."""
    with Journal.read(run / "journal.sqlite") as journal:
        return [each.ending for _, each in journal.news() if isinstance(each, Ended)]
