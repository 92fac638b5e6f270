"""A study of 1,000 trials on a simulated market, twice: how long that takes, and whether it is the same.

The learning curves are recorded (a task of TaskSet, its 1,000 settings, 51 points each), and so are the
prices, the capacity and its losses; what a step takes on a machine is a stated model, and nothing is learned.
Sixteen trials run at once, ASHA stops them, the cheapest machine by the step is rented for each, notices and
losses of machines requeue them. The whole controller, its journal and the store of trials in a SQLite file
take part. `digest_equal` compares the digests of the studies and of the journals of the two runs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import sqlite3
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from msgspec import Struct

from tradewind import clock
from tradewind.control.journal import Journal
from tradewind.control.records import header_for
from tradewind.data.catalogs import aws_catalog
from tradewind.data.recorded_histories import history
from tradewind.data.trial_store import TrialStore
from tradewind.market.demands import Demand
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.providers.simulated import SimulatedProvider
from tradewind.tuning.machines import controller
from tradewind.tuning.machines.cheapest_step import CheapestStep
from tradewind.tuning.machines.interface import TuningView
from tradewind.tuning.machines.modelled_trials import MODEL, ModelledTrials
from tradewind.tuning.search.grid import FullGrid
from tradewind.tuning.stopping.asha import Asha
from tradewind.tuning.study import Study

SEED, AT_ONCE, TARGET = 5, 16, 30.0
TASK = "FixedTextRNNClassification_imdb_patch32_GRU64_avg_bs128.json.gz"
HISTORY = "demo"
HERE = Path(__file__).resolve()


class Outcome(Struct, frozen=True):
    """What a run came to."""

    seconds: float
    processor: float
    """Seconds of the processor."""
    study: str
    """The digest of what arrived in the study."""
    journal: str
    result: controller.Result
    steps: int
    decisions: int
    events: int


def curves(path: Path) -> np.ndarray:
    """Validation losses (settings, 51); nan where a setting diverged."""
    with gzip.open(path) as file:
        return np.array([each["valid"]["loss"] for each in json.load(file)], np.float64)


def run(losses: np.ndarray, trials: int, folder: Path) -> Outcome:
    """A whole study, from an empty store."""
    steps = losses.shape[1]
    market = RecordedMarket(history(HISTORY), aws_catalog(), boot=60.0)
    start = max(prices.start for prices in market.history.prices.values())
    work_of = np.random.default_rng(SEED).lognormal(np.log(120.0), 0.5, len(losses))
    cores = {each.name: each.resources.vcpus for each in aws_catalog().types}
    began, processor = time.perf_counter(), time.process_time()
    store = TrialStore(folder / "trials.sqlite")
    study = Study(
        {"setting": list(range(len(losses)))},
        search=FullGrid(), stop=Asha(steps, eta=3), trials=trials, failures=None, store=store,
    )  # fmt: skip
    work = ModelledTrials(
        study,
        lambda setting: losses[setting["setting"]].tolist(),
        lambda setting, kind: float(work_of[setting["setting"]] / cores[kind] ** 0.8),
    )
    policy = CheapestStep()
    goal = controller.Goal(demand=Demand(resources=Resources(gpus=1), count=AT_ONCE))
    with Journal(folder / "journal", header_for(policy, TuningView, start=start), commit_every=1000) as book:
        result = clock.simulate(
            controller.run(study, goal, policy, SimulatedProvider(market), work, book, steps=steps),
            start=start,
        )
        rows, journal = book.rows, book.digest
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    digest, events = study.digest(), len(store.history(study.name))
    store.close()
    return Outcome(seconds, processor, digest, journal, result, work.steps, rows, events)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="250 trials instead of 1,000")
    parser.add_argument("--trials", type=int, default=0, help="how many, up to 1,000")
    root = Path(os.environ.get("TRADEWIND_DATA", HERE.parents[2].parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=root, help="the folder of recorded data")
    arguments = parser.parse_args()
    trials = arguments.trials or (250 if arguments.quick else 1000)
    losses = curves(arguments.data / "curves" / "taskset" / TASK)
    print(
        f"{trials} trials, {AT_ONCE} at once, on the market {HISTORY!r}; seed {SEED}; {MODEL}\n"
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}, SQLAlchemy {version('sqlalchemy')}, "
        f"numpy {np.__version__}"
    )
    found = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            found.append(run(losses, trials, Path(folder)))
    print("\n| run | seconds | of the processor | study | journal |\n|---|---|---|---|---|")
    for at, each in enumerate(found, 1):
        print(
            f"| {at} | {each.seconds:.1f} | {each.processor:.1f} | {each.study[:12]} | {each.journal[:12]} |"
        )
    first = found[0]
    print(
        f"\n{first.result.seconds / 3600:.1f} h of the market, {first.decisions} decisions, {first.steps} "
        f"steps, {first.events} events; {first.result.leases} leases, {first.result.revocations} revoked, "
        f"{first.result.moves} moves; ${first.result.cost:.2f} of the recorded market, nobody was paid."
    )
    seconds = min(each.seconds for each in found)
    equal = found[0].study == found[1].study and found[0].journal == found[1].journal
    if not first.result.done:
        raise SystemExit(f"the study did not end: {first.result.reason}")
    print(f"The target is {TARGET:g} s for 1,000 trials; the faster of the two took {seconds:.1f} s.")
    key = "seconds" if trials == 1000 else f"seconds_{trials}"
    print(json.dumps({key: round(seconds, 2), "digest_equal": equal}))


if __name__ == "__main__":
    main()
