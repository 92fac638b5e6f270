"""Average job completion time of jobs that are graphs of stages, by scheduler, on 10 and on 50 executors.

    make bench NAME=advice/scheduling
    make bench NAME=advice/scheduling ARGS=--quick

The jobs are made up in the shapes of TPC-H's queries on Spark (`advice/scheduling/shapes.py`), the cluster is
simulated, and every scheduler meets the same jobs with the same luck of each task: 20 jobs at a load of 0.85
on 10 executors, and 150 jobs 25 s apart on 50. Run-time estimates are exact, off by 30 % and off by 100 %.
`decima` has the weights that the package carries, trained on 10 executors with other seeds. `by_load`
rehearses all others on a history of jobs with seeds of its own, once for each table, and never sees the jobs
of the table.
Intervals are of the paired difference from fair, by bootstrap over the seeds. One table is of recorded jobs
(Philly, GPU durations as one-stage jobs, spaced to a load of 0.85) on 50 executors; estimates as said.
Seconds of a decision are of this machine; everything else is simulated time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

import tradewind
from tradewind.advice.scheduling.by_load import ByLoad
from tradewind.advice.scheduling.decima.pretrained import trained
from tradewind.advice.scheduling.estimation_errors import RunTimeErrors
from tradewind.advice.scheduling.heuristics import HEURISTICS
from tradewind.advice.scheduling.interface import Choice, Scheduler, SchedulingView
from tradewind.advice.scheduling.jobs import Job
from tradewind.advice.scheduling.recorded import recorded_jobs
from tradewind.advice.scheduling.shapes import interval_for, tpch_shaped
from tradewind.advice.scheduling.simulation import Cluster, simulate
from tradewind.clock import stopwatch
from tradewind.data.job_traces import job_trace
from tradewind.estimates.bootstrap import paired_interval

HISTORY = 500_000
"""The first seed of the past jobs that `by_load` rehearses with."""


class Setting(Struct, frozen=True):
    """One table."""

    name: str
    cluster: Cluster
    jobs: int
    interval: float
    errors: float
    seeds: int
    streams: int
    """Rehearsals of `by_load`."""
    decima: bool = True


class Timed:
    """A scheduler whose decisions are timed."""

    def __init__(self, inner: Scheduler) -> None:
        self.name, self._inner, self.seconds = inner.name, inner, 0.0

    def choose(self, view: SchedulingView) -> Choice | None:
        watch = stopwatch()
        choice = self._inner.choose(view)
        self.seconds += watch()
        return choice


def main() -> None:
    """Run, print the tables and the closing line."""
    options = _options()
    watch, figures = stopwatch(), {}
    print(
        f"Tradewind {tradewind.__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"{os.cpu_count()} cores, {platform.machine()}; seeds from {options.seed}\n"
        "simulated: jobs made up in TPC-H's shapes, moves of 2 s, warm-up of 1 s, task times spread by 30 %"
    )
    for setting in _settings(options):
        if options.tables not in setting.name:
            continue
        streams = [
            tpch_shaped(setting.jobs, interval=setting.interval, seed=options.seed + at)
            for at in range(setting.seeds)
        ]
        history = tpch_shaped(1000, interval=setting.interval, seed=HISTORY + options.seed)
        figures[setting.name] = _table(setting, streams, history, options)
    trace = options.data / "gpu" / "philly.csv"
    if options.tables not in "philly, 50 executors":
        pass
    elif trace.exists():
        setting = Setting(
            "philly, 50 executors", Cluster(50), 200, 0.0, 0.3, 4 if options.quick else 20, 24, False
        )
        record = job_trace(trace)
        columns = record.arrival, record.duration, record.gpus
        place = {"executors": 50, "load": 0.85, "longest": 86_400.0}
        # The history is the record before the jobs of the table.
        step = (len(record.arrival) - 11_000) // 20
        streams = [
            recorded_jobs(*columns, first=10_000 + step * at, count=200, **place)
            for at in range(setting.seeds)
        ]
        history = recorded_jobs(*columns, first=8_000, count=2_000, **place)
        figures[setting.name] = _table(setting, streams, history, options)
    else:
        print(f"\n{trace} is not here: no table of recorded jobs")
    print(f"\n{watch():.0f} s in all")
    print(json.dumps({"benchmark": "advice/scheduling", "figures": figures}))


def _table(
    setting: Setting, streams: Sequence[Sequence[Job]], history: Sequence[Job], options: argparse.Namespace
) -> dict[str, Any]:
    errors = RunTimeErrors(setting.errors)
    learned = [trained()] if setting.decima else []
    watch = stopwatch()
    ours = ByLoad(
        HEURISTICS, history, setting.cluster, seed=HISTORY + options.seed, learned=learned,
        streams=setting.streams, jobs=min(setting.jobs, 60 if setting.decima else 200), errors=errors,
    )  # fmt: skip
    rehearsed = watch()
    contenders = [*HEURISTICS, *learned]
    times: dict[str, list[float]] = {}
    cost: dict[str, list[float]] = {}
    for at, jobs in enumerate(streams):
        for scheduler in contenders:
            timed = Timed(scheduler)
            outcome = simulate(timed, jobs, setting.cluster, options.seed + at, errors)
            times.setdefault(scheduler.name, []).append(outcome.average)
            cost.setdefault(scheduler.name, []).append(timed.seconds / outcome.decisions)
    # It does in each view as the chosen one does, so its runs are those.
    chosen = ours.rehearsal.chosen
    check = simulate(ours, streams[0], setting.cluster, options.seed, errors)
    assert check.average == times[chosen][0]
    times["by_load"], cost["by_load"] = times[chosen], cost[chosen]
    best = min((scheduler.name for scheduler in HEURISTICS), key=lambda name: np.mean(times[name]))
    print(
        f"\n{setting.name}: {len(streams[0])} jobs, estimates off by {setting.errors:.0%}, "
        f"{len(streams)} seeds; "
        f"by_load chose {chosen} ({ours.rehearsal.why}; {rehearsed:.0f} s); best heuristic {best}"
    )
    print(f"{'':32}{'jct s':>9}{'median':>9}{'against fair s':>17}{'95 %':>20}{'ms/decision':>13}")
    found: dict[str, Any] = {}
    fair = np.array(times["fair"])
    for name in [*(scheduler.name for scheduler in contenders), "by_load"]:
        own = np.array(times[name])
        saved = paired_interval(own - fair, range(len(own)), seed=0)
        milliseconds = 1e3 * float(np.median(cost[name]))
        print(
            f"{name:32}{own.mean():9.1f}{np.median(own):9.1f}{saved.mean:+17.1f}"
            f"{f'{saved.low:+.1f} to {saved.high:+.1f}':>20}{milliseconds:13.3f}"
        )
        found[name] = {
            "jct": float(own.mean()),
            "jct_median": float(np.median(own)),
            "against_fair": [saved.low, saved.mean, saved.high],
            "decision_ms": milliseconds,
        }
    against = paired_interval(np.array(times["by_load"]) - times[best], range(len(fair)), seed=0)
    found["by_load"] |= {
        "chosen": chosen,
        "best_heuristic": best,
        "against_best_heuristic": [against.low, against.mean, against.high],
    }
    print(f"by_load against {best}: {against.mean:+.1f} s ({against.low:+.1f} to {against.high:+.1f})")
    return found


def _settings(options: argparse.Namespace) -> list[Setting]:
    small, large = Cluster(10), Cluster(50)
    if options.quick:
        return [
            Setting("10 executors", small, 20, interval_for(0.85, 10), 0.0, 6, 8),
            Setting("50 executors", large, 20, 25.0, 0.0, 2, 3),
        ]
    found = []
    for errors in (0.0, 0.3, 1.0):
        told = f", errors {errors:.0%}" if errors else ""
        interval = interval_for(0.85, 10)
        found.append(Setting(f"10 executors{told}", small, 20, interval, errors, options.seeds_small, 48))
        found.append(Setting(f"50 executors{told}", large, 150, 25.0, errors, options.seeds_large, 24))
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few seeds: the check that it runs")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="where gpu/philly.csv is")
    parser.add_argument("--seed", type=int, default=0, help="the first seed of the jobs")
    parser.add_argument("--tables", default="", help="only those whose names contain this")
    parser.add_argument("--seeds-small", type=int, default=100, help="streams on 10 executors")
    parser.add_argument("--seeds-large", type=int, default=20, help="streams on 50 executors")
    return parser.parse_args()


if __name__ == "__main__":
    main()
