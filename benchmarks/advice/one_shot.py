"""What advisors recommend that look at a few reference runs and at other workloads, and then at nothing more.

    make bench NAME=advice/one_shot
    make bench NAME=advice/one_shot ARGS="--quick --data DIR"

Recorded: Scout's multi-node runs (12 whole workloads) and IBM's multi-cloud runs; every search is simulated,
a probe being looked up in the table. Cost is list price times recorded seconds for Scout, the recorded cost
for IBM. One program is left out at a time: the corpus has no run of it at any size. A workload's space has
those configurations on which the table has a run of it; workloads without a whole run are left out. Seeds
choose the profiles of `quasar` and the samples of `transfer`, the trees of `paris` and how factors begin;
`ernest` has no chance in it.

`ratio` is the cost of a run of what is recommended over that of the cheapest whole one, over workloads and
seeds; what fails there counts as infinite in the median, and is counted by itself too. `probes` are the runs
made and `search` their dollars over the cheapest run. `best measured` is random search with as many probes as
`ernest` makes, for comparison.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sklearn

import tradewind
from tradewind.advice.configuration.interface import AdvisingView, Advisor
from tradewind.advice.configuration.objective import Objective
from tradewind.advice.configuration.recommendation import recommended
from tradewind.advice.configuration.recorded import Recorded, recorded
from tradewind.advice.configuration.replayed import replayed
from tradewind.advice.configuration.rules.ernest import Ernest
from tradewind.advice.configuration.rules.paris import Paris
from tradewind.advice.configuration.rules.quasar import Quasar
from tradewind.advice.configuration.rules.random import Random
from tradewind.advice.configuration.rules.selecta import Selecta
from tradewind.advice.configuration.rules.transfer import Transfer
from tradewind.clock import stopwatch
from tradewind.data.measured_runs.reading import measured_runs
from tradewind.market.measured_runs import DONE, MeasuredRun

TABLES = {"scout": "scout-multi-node.csv", "multicloud": "ibm-multi-cloud.csv"}
ADVISORS: dict[str, Callable[[], Advisor]] = {
    "ernest": Ernest, "paris": Paris, "selecta": Selecta, "quasar": Quasar, "transfer": Transfer,
    "best measured": lambda: Random(probes=9),
}  # fmt: skip
UNSEEDED = ("ernest",)


def worlds(rows: tuple[MeasuredRun, ...], source: str) -> dict[str, Recorded]:
    """Of each workload the table of those configurations that it was run on."""
    places: dict[str, set[str]] = {}
    for row in rows:
        places.setdefault(row.workload, set()).add(row.configuration)
    found = {}
    made: dict[frozenset[str], Recorded] = {}
    for workload, names in places.items():
        key = frozenset(names)
        if key not in made:
            made[key] = recorded([row for row in rows if row.configuration in names], source)
        found[workload] = made[key]
    return found


def judged(advisor: Advisor, world: Recorded, workload: str, seed: int) -> tuple[float, int, float]:
    """Cost over the cheapest (infinite where it fails, NaN where nothing is recommended), probes, search."""
    table = world.one_each(workload)
    least = min(run.dollars for run in table.values() if run.whole)
    corpus = world.corpus(world.programs[workload])
    view, _ = replayed(advisor, AdvisingView(world.space, Objective(), corpus=corpus, seed=seed), table)
    said = recommended(view, advisor)
    if said is None:
        return float("nan"), len(view.runs), view.spent / least
    run = table[said.configuration]
    return run.dollars / least if run.whole else float("inf"), len(view.runs), view.spent / least


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="one seed, every third workload")
    arguments = parser.parse_args()
    seeds = 1 if arguments.quick else arguments.seeds
    print(
        f"tradewind {tradewind.__version__}, numpy {np.__version__}, scikit-learn {sklearn.__version__},"
        f" Python {platform.python_version()}, {os.cpu_count()} cores"
    )
    print(f"recorded runs in {arguments.data}; searches simulated; seeds 0 to {seeds - 1}")
    told: dict[str, dict[str, dict[str, float]]] = {}
    line = "{:<14} {:>7} {:>7} {:>10} {:>6} {:>6} {:>7} {:>7} {:>8}"
    for name, file in TABLES.items():
        rows = measured_runs(arguments.data / "config" / file)
        by_workload = worlds(rows, file)
        whole = [
            each for each in by_workload if any(row.workload == each and row.status == DONE for row in rows)
        ]
        workloads = whole[:: 3 if arguments.quick else 1]
        print(f"\n{name}: {len(workloads)} workloads")
        head = ("", "median", "p90", "within 10%", "fails", "none", "probes", "search", "s each")
        print(line.format(*head))
        told[name] = {}
        for label, make in ADVISORS.items():
            seconds = stopwatch()
            found = [
                judged(make(), by_workload[workload], workload, seed)
                for workload in workloads
                for seed in range(1 if label in UNSEEDED else seeds)
            ]
            ratios = np.array([each[0] for each in found])
            said = ratios[~np.isnan(ratios)]
            median, ninetieth = np.quantile(said, [0.5, 0.9], method="higher")
            figures = {
                "ratio_median": float(median), "ratio_p90": float(ninetieth),
                "within_ten_percent": float(np.mean(ratios <= 1.1)), "fails": float(np.mean(np.isinf(said))),
                "none": float(np.mean(np.isnan(ratios))),
                "probes": float(np.mean([each[1] for each in found])),
                "search_cost": float(np.median([each[2] for each in found])),
            }  # fmt: skip
            told[name][label] = {
                key: round(value, 4) if np.isfinite(value) else -1.0 for key, value in figures.items()
            }
            shown = [
                f"{figures[key]:.2f}" if np.isfinite(figures[key]) else "fails"
                for key in ("ratio_median", "ratio_p90", "within_ten_percent", "fails", "none", "probes")
            ]
            each = seconds() / len(found)
            print(line.format(label, *shown, f"{figures['search_cost']:.1f}", f"{each:.2f}"), flush=True)
    print("\n-1 below stands for what fails")
    print(json.dumps({"benchmark": "advice/one_shot", "seeds": seeds, "tables": told}))


if __name__ == "__main__":
    main()
