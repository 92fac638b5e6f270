"""Does looking for a better cluster pay: ten more runs of a workload, search included, beside what runs now.

    make bench NAME=advice/recurrences
    make bench NAME=advice/recurrences ARGS="--quick --data DIR"

Tables: Scout's multi-node runs, CherryPick's, Lynceus's TensorFlow jobs and IBM's multi-cloud one, recorded;
searches are simulated on them (see `searches`, and `peers` for Optuna, which never ends and is taken at ten
probes). What runs now is, in turn, the configuration of median cost, the one that is best for the corpus, and
one at random, each of those that work. An advisor is told what runs now and that ten runs are to come, and
ends when it wants to. Whoever has searched takes what is recommended, or keeps what runs now where that is
known to be cheaper; that knowledge is free, and the same for all.

`total`: the mean over workloads, seeds and what runs now of the search plus ten runs, over ten runs on the
optimum; `total_median` likewise; `over_keep`: the geometric mean of the ratio to keeping what runs now;
`pays`: the share of searches that came out cheaper; `ours_less`: the mean of our total less this one, between
its bounds of 95 % by bootstrap over workloads. By table, the means.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from searches import (
    Asked,
    World,
    bootstrapped,
    contenders,
    finite,
    options_of,
    part,
    quantile,
    searches,
    told,
    worlds,
)

from tradewind.advice.configuration.corpus_ranking import corpus_ranking
from tradewind.advice.configuration.interface import Array
from tradewind.advice.configuration.objective import Objective
from tradewind.advice.configuration.runs import Corpus
from tradewind.clock import stopwatch

RECURRENCES = 10.0
TABLES = {
    "scout": (Path("scout-multi-node.csv"),),
    "cherrypick": tuple(Path("cherrypick", f"CP_{name}.csv") for name in ("kmeans", "spark", "tpch")),
    "lynceus": (Path("lynceus", "t2_cnn_intermediate_values.csv"), Path("lynceus", "t2_rnn.csv")),
    "multicloud": (Path("ibm-multi-cloud.csv"),),
}
NOW = ("median", "best_single", "random")
KEEP = "keep what you run"
LIMIT = 600.0
"""Seconds at which the TensorFlow jobs were ended."""


def current(world: World, corpus: Corpus, which: str, seed: int) -> int:
    """What runs now: one that works."""
    works = sorted((run.dollars, number) for number, run in world.truth.items() if run.whole)
    if which == "median":
        return works[len(works) // 2][1]
    numbers = [number for _, number in works]
    if which == "random":
        return numbers[int(np.random.default_rng((seed, 29)).integers(len(numbers)))]
    ranking = corpus_ranking(corpus, Objective(), len(world.space))
    return works[len(works) // 2][1] if ranking is None else next(n for n in ranking.order if n in numbers)


def main() -> None:
    """Run, print the table and the closing line."""
    given = options_of(__doc__)
    watch = stopwatch()
    lines = contenders(given.only, given.without)
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    where, shown = [], []
    for name, files in TABLES.items():
        paths = tuple(given.data / "config" / each for each in files)
        every = worlds(paths)
        numbers = range(len(every))[:: len(every)] if given.quick else range(len(every))
        where += [(name, paths, at) for at in numbers]
        shown += [every[at] for at in numbers]
    cases = [
        (at, seed, which)
        for at in range(len(where)) for seed in seeds
        for which in (NOW[(at + seed) % len(NOW) :][:1] if given.quick else NOW)
    ]  # fmt: skip
    now = []
    for at, seed, which in cases:
        drawn = part(shown[at].corpus, given.corpus_share, seed)
        now.append(current(shown[at], drawn, which, seed))
    asked = [
        Asked(
            where[at][1], where[at][2], line, seed, given.corpus_share, now=here, recurrences=RECURRENCES,
            time_limit=LIMIT if where[at][0] == "lynceus" else None,
        )
        for line in lines for (at, seed, _), here in zip(cases, now, strict=True)
    ]  # fmt: skip
    found = searches(asked, given.jobs, given.keep)
    kept = np.array([shown[at].worth(here) for (at, _, _), here in zip(cases, now, strict=True)])
    told(given, shown, watch())
    names = [where[at][0] for at, _, _ in cases]
    there = [f"{name} {shown[at].name}" for name, (at, _, _) in zip(names, cases, strict=True)]
    print(
        f"\n{'':28}{'total':>8}{'median':>8}{'over keep':>10}{'pays':>6}{'search':>8}{'ours less, 95 %':>24}"
        + "".join(f"{name:>12}" for name in TABLES)
    )
    figures: dict[str, dict[str, object]] = {}
    ends = [each.end for each in found]
    by_line = {KEEP: (kept, np.zeros(len(kept)))}
    for at, line in enumerate(lines):
        own = ends[at * len(cases) : (at + 1) * len(cases)]
        spent = np.array([each.spent[-1] for each in own]) / RECURRENCES
        by_line[line.label] = (spent + np.minimum([each.nc[-1] for each in own], kept), spent)
    ours = by_line["tradewind"][0] if "tradewind" in by_line else None
    for label, (total, spent) in by_line.items():
        figures[label] = _row(label, total, spent, kept, ours, names, there)
    print(json.dumps({"benchmark": "advice/recurrences", "seeds": given.seeds, "figures": figures}))


def _row(
    label: str, total: Array, spent: Array, kept: Array, ours: Array | None, names: Sequence[str],
    there: Sequence[str],
) -> dict[str, object]:  # fmt: skip
    row: dict[str, object] = {
        "total": finite(float(total.mean())),
        "total_median": finite(quantile(total, 0.5)),
        "over_keep": finite(float(np.exp(np.log(total / kept).mean()))),
        "pays": finite(float((total < kept).mean()), 2),
        "search_cost": finite(float(spent.mean() * RECURRENCES), 2),
    }
    between = ""
    if ours is not None:
        less = defaultdict(list)
        for name, value in zip(there, ours - total, strict=True):
            less[name].append(float(value))
        low, high = bootstrapped(less, lambda values: float(np.mean(values)))
        row["ours_less"] = [finite(low), finite(float((ours - total).mean())), finite(high)]
        between = f"{low:.3f} {(ours - total).mean():.3f} {high:.3f}"
    here = np.array(names)
    by_table = {
        f"total_{name}": finite(float(total[here == name].mean())) for name in TABLES if (here == name).any()
    }
    shown = [row[key] for key in ("total", "total_median", "over_keep", "pays", "search_cost")]
    print(
        f"{label:28}"
        + "".join(f"{value:>{width}}" for value, width in zip(shown, (8, 8, 10, 6, 8), strict=True))
        + f"{between:>24}"
        + "".join(f"{value:>12}" for value in by_table.values())
    )
    return row | by_table


if __name__ == "__main__":
    main()
