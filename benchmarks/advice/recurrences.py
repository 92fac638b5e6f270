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
`pays`: the share of searches that came out cheaper. By table, the means.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from searches import (
    Contender,
    World,
    all_of,
    contenders,
    finite,
    made,
    options_of,
    part,
    quantile,
    search,
    told,
    worlds,
)

from tradewind.advice.configuration.corpus_ranking import corpus_ranking
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
Job = tuple[tuple[Path, ...], int, Contender, int, float, str]


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


def totals(job: Job) -> tuple[float, float, float]:
    """Total of the search, of keeping what runs now, and the search's part, over ten optimal runs."""
    paths, at, contender, seed, share, which = job
    world = worlds(paths)[at]
    drawn = part(world.corpus, share, seed)
    now = current(world, drawn, which, seed)
    kept = world.worth(now)
    limit = 600.0 if "lynceus" in str(paths[0].parent.name) else None
    came = search(
        world, made(contender), seed, corpus=drawn if contender.corpus else Corpus(), current=now,
        recurrences=RECURRENCES, most=1000 if contender.own else 10, time_limit=limit,
    )  # fmt: skip
    spent = came.spent[-1] / RECURRENCES
    return spent + min(came.nc[-1], kept), kept, spent


def main() -> None:
    """Run, print the table and the closing line."""
    given = options_of(__doc__)
    watch = stopwatch()
    lines = contenders(given.only)
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
    jobs = [
        (where[at][1], where[at][2], line, seed, given.corpus_share, which)
        for line in lines for at, seed, which in cases
    ]  # fmt: skip
    found = all_of(totals, jobs, given.jobs)
    told(given, shown, watch())
    names = [where[at][0] for at, _, _ in cases]
    print(
        f"\n{'':28}{'total':>8}{'median':>8}{'over keep':>10}{'pays':>6}{'search':>8}"
        + "".join(f"{name:>12}" for name in TABLES)
    )
    figures = {}
    for at, line in enumerate(lines):
        own = found[at * len(cases) : (at + 1) * len(cases)]
        if not at:
            figures[KEEP] = _row(KEEP, [(kept, kept, 0.0) for _, kept, _ in own], names)
        figures[line.label] = _row(line.label, own, names)
    print(json.dumps({"benchmark": "advice/recurrences", "seeds": given.seeds, "figures": figures}))


def _row(
    label: str, found: Sequence[tuple[float, float, float]], names: Sequence[str]
) -> dict[str, float | None]:
    total, kept, spent = (np.array(each) for each in zip(*found, strict=True))
    row = {
        "total": finite(float(total.mean())),
        "total_median": finite(quantile(total, 0.5)),
        "over_keep": finite(float(np.exp(np.log(total / kept).mean()))),
        "pays": finite(float((total < kept).mean()), 2),
        "search_cost": finite(float(spent.mean() * RECURRENCES), 2),
    }
    here = np.array(names)
    row |= {
        f"total_{name}": finite(float(total[here == name].mean())) for name in TABLES if (here == name).any()
    }
    widths = (8, 8, 10, 6, 8, 12, 12, 12, 12)
    print(
        f"{label:28}"
        + "".join(f"{value:>{width}}" for value, width in zip(row.values(), widths, strict=False))
    )
    return row


if __name__ == "__main__":
    main()
