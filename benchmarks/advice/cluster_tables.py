"""The table that `advice/scout` and `advice/cherrypick_runs` make, each of its own data."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from searches import (
    FIXED,
    Asked,
    Search,
    bootstrapped,
    contenders,
    far,
    finite,
    options_of,
    quantile,
    searches,
    told,
    worlds,
)

from tradewind.clock import stopwatch

MOST, FEW = 20, 10
"""Probes that all make, and in a quick run."""


def main(name: str, doc: str | None, files: Sequence[Path]) -> None:
    """Run, print the table and the closing line."""
    given = options_of(doc)
    watch = stopwatch()
    paths = tuple(given.data / "config" / each for each in files)
    chosen = worlds(paths)
    numbers = range(len(chosen))[:: max(1, len(chosen) // 3)] if given.quick else range(len(chosen))
    lines = contenders(given.only, given.without)
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    most = FEW if given.quick else MOST
    cases = [(at, seed) for at in numbers for seed in seeds]
    asked = [
        Asked(paths, at, each, seed, given.corpus_share, most)
        for line in lines for each in (far(line, most), line) for at, seed in cases
    ]  # fmt: skip
    found = searches(asked, given.jobs, given.keep)
    per = len(cases)
    by_line = {
        line.label: (
            [each.within(most) for each in found[2 * at * per : (2 * at + 1) * per]],
            [each.end for each in found[(2 * at + 1) * per : (2 * at + 2) * per]],
        )
        for at, line in enumerate(lines)
    }
    told(given, [chosen[at] for at in numbers], watch())
    ours = by_line["tradewind"][0] if "tradewind" in by_line else []
    print(
        f"\n{'':28}{'nc6':>7}{'nc10':>7}{'p90':>7}{'95 % of the mean of nc10':>26}{'equal6':>8}{'equal10':>8}"
        f"{'p90':>7}{'stops':>7}{'nc':>7}{'p90':>7}{'search':>8}"
    )
    figures = {line.label: _row(line.label, *by_line[line.label], ours) for line in lines}
    print(
        json.dumps({"benchmark": name, "seeds": given.seeds, "workloads": len(numbers), "figures": figures})
    )


def _row(
    label: str, fars: Sequence[Search], ends: Sequence[Search], ours: Sequence[Search]
) -> dict[str, object]:
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
        equal = [each.for_cost(cost) for each, cost in zip(fars, at, strict=True)]
        row[f"equal{probes}_median"] = finite(quantile(equal, 0.5))
        row[f"equal{probes}_p90"] = finite(quantile(equal, 0.9))
        less = defaultdict(list)
        for mine, other in zip(ours, equal, strict=True):
            less[mine.world].append(mine.after(probes) - other)
        mean = float(np.mean([each for values in less.values() for each in values]))
        between = bootstrapped(less, lambda values: float(np.mean(values)))
        row[f"ours_less_equal{probes}"] = [finite(between[0]), finite(mean), finite(between[1])]
    row |= {
        "stop_probes": finite(quantile([each.ended for each in ends], 0.5)),
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
