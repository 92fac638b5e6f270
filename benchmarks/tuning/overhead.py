"""What a reported step costs with 1,000 running trials in the store: ours and Optuna's storages.

What is timed: `TrialStore.report`, and `Trial.report` of Optuna, one call a step, each durable on return as
its line says; the steps go round the trials in an order of
chance (`--quick`: round 64 of them). Batches are `report_many` with 64 reports
of different trials. To decide, a driver of ours also reads what is new in the study (`trials`, following),
one of Optuna's asks `should_prune` of a median rule; both are shown, per step. One process, one thread, one
disk; rounds alternate in a turning order, the first of each is a warm-up.

Optuna's RDB storage on SQLite is shown as it comes (rollback journal, a sync for each commit), and tuned as a
user can: with SQLite's write-ahead log, syncing at each commit or at checkpoints only. `vs_optuna` compares
the last with ours at the same setting, where a kill takes nothing and a power cut the last commits. Its
journal storage, a file of lines, syncs for each report.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import sqlite3
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.storages.journal import JournalFileBackend

from tradewind.data.trial_records import Report, Trials
from tradewind.data.trial_store import TrialStore

SEED = 11
TRIALS = 1000
BATCH = 64
WAL, SYNCED = "log, checkpoints synced", "log, commits synced"


class Steps:
    """Which trial reports next, and which step it has got to."""

    def __init__(self, reporting: int) -> None:
        self.order = random.Random(SEED).sample(range(TRIALS), reporting)
        self.count = 0

    def next(self) -> tuple[int, int, float]:
        step, at = divmod(self.count, len(self.order))
        self.count += 1
        return self.order[at], step, 1.0 / (1 + self.count)


def ours(path: Path, reporting: int, *, synced: bool) -> dict[str, tuple[Callable[[], object], int]]:
    """Ways to report, each with how many reports a call makes."""
    with TrialStore(path) as store:
        store.create("study", {"direction": "minimize"})
        for at in range(TRIALS):
            store.add("study", {"learning_rate": 0.001 * (at + 1), "layers": at % 5})
    store = TrialStore(path, synced=synced)
    claims = [store.claim("study", "driver", moment=0.0) for _ in range(TRIALS)]
    steps, following = Steps(reporting), Trials()

    def report() -> None:
        trial, step, value = steps.next()
        store.report(claims[trial], step, value, dollars=step * 0.01, seconds=step * 2.0, moment=step * 1.0)

    def batch() -> None:
        found = []
        for _ in range(BATCH):
            trial, step, value = steps.next()
            found.append(Report(claims[trial], step, value, step * 0.01, step * 2.0, step * 1.0))
        store.report_many(found)

    def follow() -> None:
        report()
        store.trials("study", following)

    store.trials("study", following)
    ways = {"": (report, 1), f", batches of {BATCH}": (batch, BATCH)}
    return ways if synced else {**ways, " + what is new": (follow, 1)}


class Optuna:
    """A study of Optuna's with running trials, and its own way to report."""

    def __init__(self, storage: Any, reporting: int) -> None:
        self.study = optuna.load_study(
            study_name="study",
            storage=storage,
            sampler=optuna.samplers.RandomSampler(SEED),
            pruner=optuna.pruners.MedianPruner(),
        )
        found = self.study.get_trials(deepcopy=False)
        self.steps = Steps(reporting)
        self.trials = {at: optuna.trial.Trial(self.study, found[at]._trial_id) for at in self.steps.order}
        self.latest = self.trials[self.steps.order[0]]

    def report(self) -> None:
        trial, step, value = self.steps.next()
        self.latest = self.trials[trial]
        self.latest.report(value, step)

    def decide(self) -> None:
        self.report()
        self.latest.should_prune()


def filled(storage: Any) -> None:
    """Trials put there by the storage itself, for to ask for each takes Optuna longer the more there are."""
    study = optuna.create_study(study_name="study", storage=storage)
    ranges = {
        "learning_rate": optuna.distributions.FloatDistribution(1e-4, 1.0, log=True),
        "layers": optuna.distributions.IntDistribution(0, 4),
    }
    for at in range(TRIALS):
        trial = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params={"learning_rate": 0.001 * (at + 1), "layers": at % 5},
            distributions=ranges,
        )
        study._storage.create_new_trial(study._study_id, template_trial=trial)


def rdb(path: Path, pragmas: tuple[str, ...]) -> Any:
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 30}})

    def set_up(connection: sqlite3.Connection, _: object) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    storage.engine.dispose()
    sqlalchemy.event.listen(storage.engine, "connect", set_up)
    return storage


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, fewer reports in each")
    parser.add_argument("--folder", help="where the files go (their disk is what is measured)")
    arguments = parser.parse_args()
    rounds, reports, reporting = (5, 80, 64) if arguments.quick else (15, 400, TRIALS)
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        kinds: dict[str, tuple[Callable[[], object], int, int]] = {}
        for synced, durable in ((False, WAL), (True, SYNCED)):
            for way, (call, size) in ours(folder / f"ours-{synced}.sqlite", reporting, synced=synced).items():
                times = max(2, reports // (10 if size > 1 else 4 if synced else 1))
                kinds[f"tradewind, {durable}{way}"] = (call, times, size)
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else name) as memory:
            filled(rdb(Path(memory, "optuna.sqlite"), ("synchronous=OFF", "journal_mode=MEMORY")))
            filled(optuna.storages.JournalStorage(JournalFileBackend(f"{memory}/journal.log")))
            for file in ("optuna.sqlite", "journal.log"):
                shutil.copy(Path(memory, file), folder / file)
        for at, (durable, pragmas) in enumerate(
            (
                (WAL, ("journal_mode=WAL", "synchronous=NORMAL")),
                (SYNCED, ("journal_mode=WAL", "synchronous=FULL")),
                ("as it comes", ()),
            )
        ):
            shutil.copy(folder / "optuna.sqlite", folder / f"optuna-{at}.sqlite")
            peer = Optuna(rdb(folder / f"optuna-{at}.sqlite", pragmas), reporting)
            kinds[f"Optuna RDB, {durable}"] = (peer.report, reports // (4 if at else 1), 1)
            if not at:
                kinds[f"Optuna RDB, {durable} + should_prune"] = (peer.decide, 1, 1)
        journal = optuna.storages.JournalStorage(JournalFileBackend(str(folder / "journal.log")))
        peer = Optuna(journal, reporting)
        kinds["Optuna journal file"] = (peer.report, reports // 4, 1)
        measured: dict[str, list[float]] = {kind: [] for kind in kinds}
        names = list(kinds)
        for number in range(rounds + 1):
            turn = number % len(names)
            for kind in names[turn:] + names[:turn]:
                call, times, size = kinds[kind]
                begin = time.perf_counter()
                for _ in range(times):
                    call()
                if number:
                    measured[kind].append((time.perf_counter() - begin) / (times * size) * 1e3)
    medians = {kind: statistics.median(each) for kind, each in measured.items()}
    mine = medians[f"tradewind, {WAL}"]
    machine = platform.processor() or platform.machine()
    print(f"{TRIALS} running trials; {machine}, {os.cpu_count()} cores, Python {platform.python_version()},")
    print(
        ", ".join(f"{name} {version(name)}" for name in ("tradewind", "optuna", "sqlalchemy")),
        f"SQLite {sqlite3.sqlite_version}; seed {SEED}.",
    )
    print(f"Medians of {rounds} alternating rounds, per report.\n")
    print(f"{'':<52}{'ms':>9}{'spread':>16}{'reports/s':>11}{'ours is':>10}")
    for kind, each in measured.items():
        spread = f"{min(each):.3f}-{max(each):.3f}"
        print(
            f"{kind:<52}{medians[kind]:>9.3f}{spread:>16}{1e3 / medians[kind]:>11,.0f}"
            f"{medians[kind] / mine:>9.1f}x"
        )
    print(f"\n'Ours is' is by which factor `tradewind, {WAL}` is faster.")
    ratio = medians[f"Optuna RDB, {WAL}"] / mine
    synced = medians[f"Optuna RDB, {SYNCED}"] / medians[f"tradewind, {SYNCED}"]
    print(f"With commits synced it is {synced:.1f}x Optuna's: the disk is most of the time.")
    figures = {
        "report_ms": round(mine, 4),
        "vs_optuna": round(ratio, 2),
        "vs_optuna_synced": round(synced, 2),
        "vs_optuna_as_it_comes": round(medians["Optuna RDB, as it comes"] / mine, 1),
        "vs_optuna_journal": round(medians["Optuna journal file"] / mine, 1),
        "synced_ms": round(medians[f"tradewind, {SYNCED}"], 3),
        "batched_ms": round(medians[f"tradewind, {WAL}, batches of {BATCH}"], 4),
        "synced_batched_ms": round(medians[f"tradewind, {SYNCED}, batches of {BATCH}"], 4),
        "decide_ms": round(medians[f"tradewind, {WAL} + what is new"], 4),
    }
    print(json.dumps({"benchmark": "tuning/overhead", "figures": figures}))


if __name__ == "__main__":
    main()
