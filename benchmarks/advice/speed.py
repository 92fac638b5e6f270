"""How long a suggestion over 500 configurations takes, of each advisor and of Optuna.

    make bench NAME=advice/speed
    make bench NAME=advice/speed ARGS="--quick"

The world is synthetic: 500 clusters of 25 made-up types in 20 sizes, run times by Amdahl's law with noise,
one in ten fails; a corpus of eight other workloads, each run everywhere; 20 observations, and none. Processor
time of one thread. `first_ms` is the first suggestion for a space and a corpus that the process has not met,
after a warm-up on another, so that nothing but the compiled code is kept; `median_ms` the median over seeds
of the same, each with a corpus of its own; `again_ms` that of asking once more.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from searches import contenders, made

import tradewind
from tradewind.advice.configuration.interface import AdvisingView
from tradewind.advice.configuration.objective import Objective
from tradewind.advice.configuration.runs import Corpus, Run
from tradewind.advice.configuration.space import Configuration, ConfigurationSpace
from tradewind.market.measured_runs import DONE, FAILED

TYPES, SIZES, OTHERS, SEEN = 25, 20, 8, 20


def space(types: int, sizes: int, seed: int) -> ConfigurationSpace:
    """Clusters of made-up types."""
    chance = np.random.default_rng(seed)
    found = []
    for kind in range(types):
        vcpus, per = int(2 ** chance.integers(1, 6)), float(chance.choice((2.0, 4.0, 8.0)))
        price = vcpus * (0.03 + 0.004 * per) * float(chance.uniform(0.9, 1.1))
        for count in range(1, sizes + 1):
            features: dict[str, float | str] = {
                "machines": count, "vcpus": vcpus, "memory_gib": vcpus * per, "family": f"f{kind % 5}",
            }  # fmt: skip
            found.append(Configuration(f"{count}xt{kind}", count * price, features))
    return ConfigurationSpace(tuple(found))


def runs(there: ConfigurationSpace, seed: int) -> tuple[Run, ...]:
    """A workload on all of them."""
    chance = np.random.default_rng((seed, 1))
    work, share = float(np.exp(chance.normal(9, 1))), float(chance.uniform(0.02, 0.3))
    found = []
    for number, each in enumerate(there.configurations):
        cores = float(each.features["machines"]) * float(each.features["vcpus"])
        seconds = work * (share / 4 + (1 - share) / cores) * float(np.exp(chance.normal(0, 0.1)))
        status = FAILED if chance.random() < 0.1 else DONE
        found.append(Run(number, seconds, seconds * each.per_hour / 3600, status))
    return tuple(found)


def view(types: int, sizes: int, seen: int, seed: int) -> AdvisingView:
    """A view of a search, some runs under way."""
    there = space(types, sizes, seed)
    own = runs(there, seed)
    tried = np.random.default_rng((seed, 2)).permutation(len(there))[:seen]
    corpus = Corpus({f"w{at}": runs(there, 1000 * (seed + 1) + at) for at in range(OTHERS)})
    return AdvisingView(there, Objective(), tuple(own[int(at)] for at in tried), corpus, seed=seed)


def main() -> None:
    """Run, print the table and the closing line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="three seeds")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--data", help="not read: the world is synthetic")
    given = parser.parse_args()
    seeds = 3 if given.quick else given.seeds
    print(
        f"Tradewind {tradewind.__version__}, numpy {np.__version__}, Python {platform.python_version()},"
        f" {os.cpu_count()} cores, {platform.machine()}; {TYPES * SIZES} synthetic configurations, {SEEN}"
        f" observations, {OTHERS} other workloads; seeds 0 to {seeds - 1}"
    )
    print(f"{'':28}{'first ms':>10}{'median ms':>11}{'again ms':>10}{'none seen ms':>14}")
    figures = {}
    for line in contenders(given.only):
        advising = made(line)
        for seed in (901, 902):
            for seen in (0, 9):
                advising.next(view(5, 4, seen, seed))
        took, again, bare = [], [], []
        for seed in range(seeds):
            for seen, where in ((SEEN, took), (SEEN, again), (0, bare)):
                if where is not again:
                    known = view(TYPES, SIZES, seen, seed)
                begun = time.process_time()
                advising.next(known)
                where.append(1000 * (time.process_time() - begun))
        row = {
            "first_ms": round(took[0], 1), "median_ms": round(statistics.median(took), 1),
            "again_ms": round(statistics.median(again), 1), "none_seen_ms": round(statistics.median(bare), 1),
        }  # fmt: skip
        figures[line.label] = row
        print(
            f"{line.label:28}"
            + "".join(f"{v:>{w}}" for v, w in zip(row.values(), (10, 11, 10, 14), strict=True))
        )
    print(json.dumps({"benchmark": "advice/speed", "configurations": TYPES * SIZES, "figures": figures}))


if __name__ == "__main__":
    main()
