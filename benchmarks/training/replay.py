"""How fast policies are replayed: the same job from many starts on the markets of 2015, by every policy.

    make bench NAME=training/replay                    200 starts of a job of 2 h, 20 of one of 20 h
    make bench NAME=training/replay ARGS=--quick       30 starts and 3

A job of 512 vCPUs on any mix of five types in two zones (d2.8xlarge in 15 leases, m3.medium in 512), two
processes. What is real: the prices (EC2, us-east-1a and 1b, 2015-03-11 to 2015-08-31, every recorded change)
and the rules of billing of that time. What is simulated: the work, which is a speed model, and start-up, a
stated delay. Each start has a forecast of its own, from the history before it, which counts too; policies
that do without are told it as well. Nothing is journalled.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

import tradewind
from tradewind import clock
from tradewind.control.loop import Unrecorded
from tradewind.data.catalogs import aws_catalog
from tradewind.data.recorded_histories import history
from tradewind.errors import TradewindError
from tradewind.estimates.revocation.forecasters import forecaster
from tradewind.market.decisions import Decision
from tradewind.market.demands import Demand
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.session.assembly import POLICIES
from tradewind.session.trials import trial, trials
from tradewind.training.elastic.bidding.checkpoint_restart import CheckpointRestart
from tradewind.training.elastic.modelled_work import MODEL, ModelledWork
from tradewind.training.view import Goal

VCPUS = 512.0
STARTUP = 60.0
DEADLINE = 2.0
"""Times the job's length: policies that need one have it, and it presses none."""
LEARN = 28 * 86_400.0
"""Seconds of history that a forecast has at least."""
JOBS = 2
SEED = 0


class Counting(Unrecorded):
    """Counts decisions."""

    def __init__(self) -> None:
        self.decisions = 0

    def record(self, view: Any, memory: Any, decision: Decision, recalled: Any) -> None:
        """Count one."""
        self.decisions += 1


class Case(NamedTuple):
    """A start, the hours of the job, and the names of the policies that run from there."""

    start: float
    hours: float
    policies: tuple[str, ...]


class Run(NamedTuple):
    """What one policy took from one start."""

    seconds: float
    """The wall's."""
    decisions: int
    refused: str
    """Why it did not run; empty if it did."""


def runs_of(market: RecordedMarket, case: Case) -> tuple[float, dict[str, Run]]:
    """Every policy from one start, and the wall's seconds that its forecaster took to make."""
    making = clock.stopwatch()
    forecast = forecaster("empirical", market.history, case.start)
    made = making()
    found = {}
    for name in case.policies:
        policy = POLICIES[name]()
        rigid = isinstance(policy, CheckpointRestart)
        goal = Goal(
            workers=Demand(
                resources=Resources(vcpus=1),
                count=int(VCPUS),
                instance_types=tuple(sorted({pool.instance_type for pool in market.history.pools})),
            ),
            state=Demand(resources=Resources(vcpus=2, memory_gib=8), count=0 if rigid else 1),
            deadline=case.start + DEADLINE * case.hours * 3600 + STARTUP,
            vcpus=VCPUS,
        )
        work = ModelledWork(
            VCPUS * case.hours * 3600,
            1.0,
            startup=STARTUP,
            mode="checkpoints" if rigid else "servers",
            snapshot_every=policy.interval if rigid else 3600.0,
            snapshot_seconds=policy.checkpoint if rigid else 0.0,
        )
        record, elapsed, refused = Counting(), clock.stopwatch(), ""
        try:
            trial(market, goal, policy, work, case.start, forecaster=forecast, record=record)
        except TradewindError as problem:
            refused = str(problem)
        found[name] = Run(elapsed(), record.decisions, refused)
    return made, found


def show(hours: float, starts: int, seconds: float, results: Sequence[tuple[float, dict[str, Run]]]) -> None:
    """The table of one length of job."""
    by_policy: dict[str, list[Run]] = defaultdict(list)
    for _, found in results:
        for name, run in found.items():
            by_policy[name].append(run)
    print(f"\n{hours:g} h of {VCPUS:g} vCPUs, {starts} starts, {len(by_policy)} policies: {seconds:.1f} s")
    print(f"{'':22}{'runs':>6}{'refused':>9}{'decisions':>11}{'a second':>10}{'ms a run':>10}{'median':>9}")
    for name, runs in by_policy.items():
        spent, decided = sum(run.seconds for run in runs), sum(run.decisions for run in runs)
        print(
            f"{name:22}{len(runs):6}{sum(bool(run.refused) for run in runs):9}{decided:11,}"
            f"{decided / spent:10,.0f}{1000 * spent / len(runs):10.1f}"
            f"{1000 * statistics.median(run.seconds for run in runs):9.1f}"
        )
    making = sum(made for made, _ in results)
    print(f"{'(forecasters made)':22}{len(results):6}{'':30}{1000 * making / len(results):10.1f}")


def main() -> None:
    """Run, print the tables and the closing line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    here = Path(__file__).resolve().parents[2]
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TRADEWIND_DATA", here / "../shared/data"))
    )
    parser.add_argument("--quick", action="store_true", help="30 starts and 3 instead of 200 and 20")
    parser.add_argument("--starts", type=int, help="starts of the job of 2 hours; a tenth of it for 20 hours")
    parser.add_argument("--jobs", type=int, default=JOBS, help="processes")
    parser.add_argument("--policies", default=",".join(sorted(POLICIES)), help="names with commas between")
    options = parser.parse_args()
    source = options.data / "spot" / "prices-2015.csv.gz"
    if not source.is_file():
        sys.exit(f"{source}: not there; give --data DIR with spot/prices-2015.csv.gz")
    recorded = history(source)
    market = RecordedMarket(recorded, aws_catalog(), boot=0.0, on_demand=("us-east-1",))
    names = tuple(options.policies.split(","))
    number = options.starts or (30 if options.quick else 200)
    first = max(prices.start for prices in recorded.prices.values()) + LEARN
    print(
        f"Tradewind {tradewind.__version__}, Python {platform.python_version()}, "
        f"numpy {np.__version__}, msgspec {msgspec.__version__}, {os.cpu_count()} cores, {platform.machine()}"
    )
    print(f"{source.name}: {len(recorded.pools)} markets; {options.jobs} processes; seed {SEED}; {MODEL}")
    # Compiled once, and not counted.
    runs_of(market, Case(first, 1.0, names))
    figures: dict[str, Any] = {}
    for hours, count in ((2.0, number), (20.0, max(1, number // 10))):
        last = recorded.end - (DEADLINE * hours + 1) * 3600
        moments = np.random.default_rng(SEED).uniform(first, last, count)
        cases = [Case(float(start), hours, names) for start in moments]
        elapsed = clock.stopwatch()
        results = trials(cases, lambda case: runs_of(market, case), jobs=options.jobs)
        seconds = elapsed()
        show(hours, count, seconds, results)
        runs = [run for _, found in results for run in found.values()]
        decided, spent = sum(run.decisions for run in runs), sum(run.seconds for run in runs)
        key = "" if hours == 2.0 else f"_{hours:g}h"
        figures |= {
            f"seconds{key}": round(seconds, 2),
            f"starts{key}": count,
            f"decisions_per_s{key}": round(decided / spent, 1),
            f"ms_per_run{key}": round(1000 * spent / len(runs), 2),
        }
        if hours == 2.0:
            for name in names:
                mine = [found[name] for _, found in results]
                rate = sum(run.decisions for run in mine) / sum(run.seconds for run in mine)
                figures[f"decisions_per_s_{name}"] = round(rate, 1)
    figures["policies"] = len(names)
    print(json.dumps({"benchmark": "training/replay", "figures": figures}))


if __name__ == "__main__":
    main()
