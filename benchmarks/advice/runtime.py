"""How well run time on larger clusters is foretold from the four smallest: Ernest, and our model.

    make bench NAME=advice/runtime
    make bench NAME=advice/runtime ARGS="--quick --data DIR"

All recorded: C3O's runs of Spark jobs (`DIR/config/c3o/*.tsv`, every job that lies there), 2 to 12 machines,
each run five times. A group is one machine type with one set of inputs; groups of fewer than five cluster
sizes are left out and counted. Both sides are given the same runs, all those on a group's four smallest
clusters, and foretell each run on the larger ones; the error is the mean absolute percentage error of a
group's runs, averaged over a job's groups.

- `ernest`: least squares of seconds, as its authors' code has it.
- `ours`: the group's own runs and nothing else.
- `ours, same job`: besides, all runs of the job's other groups, the larger clusters among them, as a user has
  them who ran the job before on other data, with other parameters or on other machines.

Nothing here is drawn by chance, so there are no seeds. `covered` is the share of runs within the bounds that
are to hold nine in ten; `losses` the groups in which Ernest is nearer.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tradewind
from tradewind.data.measured_runs.reading import measured_runs
from tradewind.estimates.scale_out.ernest import ernest
from tradewind.estimates.scale_out.run_time_model import RunTimeModel, run_time_model
from tradewind.estimates.scale_out.timings import Timings

SMALLEST = 4
"""Cluster sizes of a group that are given."""


def groups_of(path: Path) -> tuple[list[Timings], int]:
    """The groups of a job that have enough cluster sizes, and how many have not."""
    rows: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for run in measured_runs(path):
        machine_type = run.configuration.partition("x")[2]
        one = (float(run.features["machines"]), run.seconds)
        rows.setdefault((run.workload, machine_type), []).append(one)
    groups = [Timings.of(*zip(*each, strict=True)) for each in rows.values()]
    kept = [each for each in groups if len(np.unique(each.machines)) > SMALLEST]
    return kept, len(groups) - len(kept)


def halves(group: Timings) -> tuple[Timings, Timings]:
    """What is given, and what is to be foretold."""
    largest = np.unique(group.machines)[SMALLEST - 1]
    return group.where(group.machines <= largest), group.where(group.machines > largest)


def errors(groups: list[Timings], fit: Callable[[int, Timings], RunTimeModel]) -> tuple[list[float], float]:
    """Each group's error, and the share of all runs within the bounds."""
    found, covered = [], []
    for number, group in enumerate(groups):
        given, asked = halves(group)
        model = fit(number, given)
        found.append(float(np.mean(np.abs(model.predict(asked.machines) / asked.seconds - 1))))
        bounds = {count: model.seconds(float(count)) for count in np.unique(asked.machines)}
        covered += [
            bounds[count].covers(time) for count, time in zip(asked.machines, asked.seconds, strict=True)
        ]
    return found, float(np.mean(covered))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--quick", action="store_true", help="every third group of a job; others still help")
    arguments = parser.parse_args()
    files = sorted((arguments.data / "config" / "c3o").glob("*.tsv"))
    if not files:
        raise SystemExit(f"no *.tsv in {arguments.data / 'config' / 'c3o'}; give --data")
    print(f"tradewind {tradewind.__version__}, numpy {np.__version__}, Python {platform.python_version()}")
    print(f"recorded runs of C3O in {arguments.data}; {os.cpu_count()} cores\n")
    line = "{:<12} {:>6} {:>8} {:>8} {:>8} {:>15} {:>8} {:>9}"
    print(line.format("job", "groups", "left out", "ernest", "ours", "ours, same job", "losses", "covered"))
    told: dict[str, dict[str, float]] = {}
    for path in files:
        groups, left_out = groups_of(path)
        step = 3 if arguments.quick else 1
        asked = groups[::step]
        plain = []
        for group in asked:
            given, larger = halves(group)
            model = ernest(given)
            plain.append(float(np.mean(np.abs(model.predict(larger.machines) / larger.seconds - 1))))
        alone, covered = errors(asked, lambda _, given: run_time_model(given))

        def helped(
            number: int, given: Timings, groups: list[Timings] = groups, step: int = step
        ) -> RunTimeModel:
            others = [each for place, each in enumerate(groups) if place != number * step]
            return run_time_model(given, others)

        same_job, covered_by_corpus = errors(asked, helped)
        losses = sum(ours > theirs for ours, theirs in zip(alone, plain, strict=True))
        told[path.stem] = {
            "ernest_mape": round(float(np.mean(plain)), 4), "mape": round(float(np.mean(alone)), 4),
            "mape_same_job": round(float(np.mean(same_job)), 4),
            "ernest_median": round(float(np.median(plain)), 4), "median": round(float(np.median(alone)), 4),
            "groups": len(asked), "left_out": left_out, "losses": losses,
            "covered": round(covered, 3), "covered_same_job": round(covered_by_corpus, 3),
        }  # fmt: skip
        shown = [f"{np.mean(each):.1%}" for each in (plain, alone, same_job)]
        print(line.format(path.stem, len(asked), left_out, *shown, losses, f"{covered:.2f}"))
    worse = [job for job, each in told.items() if each["mape"] > each["ernest_mape"]]
    print(f"\njobs on which ours is worse than Ernest's: {', '.join(worse) or 'none'}")
    print(json.dumps({"benchmark": "advice/runtime", "quick": arguments.quick, "workloads": told}))


if __name__ == "__main__":
    main()
