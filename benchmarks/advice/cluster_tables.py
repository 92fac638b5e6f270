"""The table that `advice/scout` and `advice/cherrypick_runs` make, each of its own data."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from searches import (
    Contender,
    Search,
    all_of,
    bootstrapped,
    contenders,
    finite,
    going_on,
    made,
    options_of,
    part,
    quantile,
    search,
    told,
    worlds,
)

from tradewind.advice.configuration.runs import Corpus
from tradewind.clock import stopwatch

MOST, FEW, FIXED = 20, 10, 10
"""Probes that all make, in a quick run, and those that the table tells of."""
Job = tuple[tuple[Path, ...], int, Contender, int, float, int]


def searched(job: Job) -> tuple[Search, Search]:
    """One contender on one workload with one seed: to so many probes, and to its own end."""
    paths, at, contender, seed, share, most = job
    world = worlds(paths)[at]
    corpus = part(world.corpus, share, seed) if contender.corpus else Corpus()
    far = search(world, made(contender, **going_on(contender, most)), seed, corpus=corpus, most=most)
    if not contender.own:
        return far, Search(world.name, seed, far.nc[:FIXED], far.spent[:FIXED], "ten were asked for")
    return far, search(world, made(contender), seed, corpus=corpus)


def main(name: str, doc: str | None, files: Sequence[Path]) -> None:
    """Run, print the table and the closing line."""
    given = options_of(doc)
    watch = stopwatch()
    paths = tuple(given.data / "config" / each for each in files)
    chosen = worlds(paths)
    numbers = range(len(chosen))[:: max(1, len(chosen) // 3)] if given.quick else range(len(chosen))
    lines = contenders(given.only)
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    most = FEW if given.quick else MOST
    jobs = [
        (paths, at, line, seed, given.corpus_share, most)
        for line in lines
        for at in numbers
        for seed in seeds
    ]
    found = all_of(searched, jobs, given.jobs)
    per = len(numbers) * len(seeds)
    by_line = {line.label: found[at * per : (at + 1) * per] for at, line in enumerate(lines)}
    told(given, [chosen[at] for at in numbers], watch())
    ours = [far for far, _ in by_line.get("tradewind", [])]
    print(
        f"\n{'':28}{'nc6':>7}{'nc10':>7}{'p90':>7}{'95 % of the mean of nc10':>26}{'equal6':>8}{'equal10':>8}"
        f"{'p90':>7}{'stops':>7}{'nc':>7}{'p90':>7}{'search':>8}"
    )
    figures = {line.label: _row(line.label, by_line[line.label], ours) for line in lines}
    print(
        json.dumps({"benchmark": name, "seeds": given.seeds, "workloads": len(numbers), "figures": figures})
    )


def _row(label: str, found: Sequence[tuple[Search, Search]], ours: Sequence[Search]) -> dict[str, object]:
    fars, ends = [far for far, _ in found], [end for _, end in found]
    nc6, nc10 = [each.after(6) for each in fars], [each.after(FIXED) for each in fars]
    by_world = defaultdict(list)
    for each in fars:
        by_world[each.world].append(each.after(FIXED))
    low, high = bootstrapped(by_world, lambda values: float(np.mean(values)))
    row: dict[str, object] = {
        "nc6_median": finite(quantile(nc6, 0.5)),
        "nc10_median": finite(quantile(nc10, 0.5)),
        "nc10_p90": finite(quantile(nc10, 0.9)),
        "nc10_mean": [finite(low), finite(float(np.mean(nc10))), finite(high)],
    }
    for probes in (6, FIXED) if ours else ():
        at = [mine.spent[min(probes, len(mine.spent)) - 1] for mine in ours]
        row[f"equal{probes}_median"] = finite(
            quantile([e.for_cost(c) for e, c in zip(fars, at, strict=True)], 0.5)
        )
        row[f"equal{probes}_p90"] = finite(
            quantile([e.for_cost(c) for e, c in zip(fars, at, strict=True)], 0.9)
        )
    row |= {
        "stop_probes": finite(quantile([len(each.nc) if each.spent[-1] else 0 for each in ends], 0.5)),
        "stop_nc": finite(quantile([each.nc[-1] for each in ends], 0.5)),
        "stop_nc_p90": finite(quantile([each.nc[-1] for each in ends], 0.9)),
        "search_cost": finite(quantile([each.spent[-1] for each in ends], 0.5)),
    }
    interval = f"{low:.3f} {np.mean(nc10):.3f} {high:.3f}"
    print(
        f"{label:28}{row['nc6_median']:>7}{row['nc10_median']:>7}{row['nc10_p90']:>7}{interval:>26}"
        f"{row.get('equal6_median', ''):>8}{row.get('equal10_median', ''):>8}{row.get('equal10_p90', ''):>7}"
        f"{row['stop_probes']:>7}{row['stop_nc']:>7}{row['stop_nc_p90']:>7}{row['search_cost']:>8}"
    )
    return row
