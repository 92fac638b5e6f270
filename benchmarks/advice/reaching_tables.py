"""The table that `advice/lynceus` and `advice/multicloud` make, each of its own data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from searches import (
    NEAR,
    Asked,
    Search,
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

RECURRENCES = 100.0
"""Runs to come that advisors are told of: who wants to be within 5 % will run it often."""
NAMED = (
    "cherrypick", "cherrypick, published stop", "lynceus", "lynceus, published model", "arrow", "micky",
    "best_single", "best_single, ranking", "ernest", "paris", "selecta", "quasar", "transfer",
)  # fmt: skip
"""Advisors of others' papers, and the corpus's best."""


def main(
    name: str, doc: str | None, files: Sequence[Path], *, most: int, few: int, limit: float | None = None
) -> None:
    """Run, print the table and the closing line; `most` probes, `few` in a quick run, by 3 workloads."""
    given = options_of(doc)
    watch = stopwatch()
    paths = tuple(given.data / "config" / each for each in files)
    chosen = worlds(paths)
    numbers = range(len(chosen))[:: max(1, len(chosen) // 3)] if given.quick else range(len(chosen))
    most = few if given.quick else most
    lines = contenders(given.only, given.without)
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    cases = [(at, seed) for at in numbers for seed in seeds]
    asked = [
        Asked(paths, at, each, seed, given.corpus_share, most, recurrences=RECURRENCES, time_limit=limit)
        for line in lines for each in (far(line, most), line) for at, seed in cases
    ]  # fmt: skip
    found = searches(asked, given.jobs, given.keep)
    per = len(cases)
    told(given, [chosen[at] for at in numbers], watch())
    print(
        f"\n{'':28}{'cost to within 5 %':>19}{'p90':>9}{f'in {most}':>7}{'nc6':>8}{'nc10':>8}{'p90':>8}"
        f"{'stops':>7}{'within5':>9}{'search':>9}{'mean':>9}"
    )
    figures = {
        line.label: _row(
            line.label,
            [each.within(most) for each in found[2 * at * per : (2 * at + 1) * per]],
            [each.end for each in found[(2 * at + 1) * per : (2 * at + 2) * per]],
        )
        for at, line in enumerate(lines)
    }
    reached = {label: figures[label]["cost_to_within5_p90"] for label in NAMED if label in figures}
    closing: dict[str, object] = {}
    if best := min(
        (label for label in reached if reached[label]), key=lambda each: reached[each], default=""
    ):
        closing = {"best_named": best, "best_named_cost_to_within5_p90": reached[best]}
        if "tradewind" in figures:
            mine = figures["tradewind"]
            for key in ("cost_to_within5_p90", "search_cost_mean"):
                closing[f"tradewind_{key}_over_best_named"] = (
                    finite(mine[key] / figures[best][key]) if mine[key] and figures[best][key] else None
                )
        print("; ".join(f"{key} {value}" for key, value in closing.items()))
    told_ = {"benchmark": name, "seeds": given.seeds, "workloads": len(numbers), "probes": most}
    print(json.dumps(told_ | {"figures": figures} | closing))


def _row(label: str, fars: Sequence[Search], ends: Sequence[Search]) -> dict[str, float | None]:
    costs = [each.cost_within(NEAR) for each in fars]
    nc10 = [each.after(10) for each in fars]
    row = {
        "cost_to_within5_median": finite(quantile(costs, 0.5), 2),
        "cost_to_within5_p90": finite(quantile(costs, 0.9), 2),
        "found": finite(float(np.mean(np.isfinite(costs)))),
        "nc6_median": finite(quantile([each.after(6) for each in fars], 0.5)),
        "nc10_median": finite(quantile(nc10, 0.5)),
        "nc10_p90": finite(quantile(nc10, 0.9)),
        "stop_probes": finite(quantile([each.ended for each in ends], 0.5)),
        "within5": finite(float(np.mean([each.nc[-1] <= NEAR + 1e-9 for each in ends]))),
        "search_cost": finite(quantile([each.spent[-1] for each in ends], 0.5), 2),
        "search_cost_mean": finite(float(np.mean([each.spent[-1] for each in ends])), 2),
    }
    shown = [("-" if value is None else value) for value in row.values()]
    widths = (19, 9, 7, 8, 8, 8, 7, 9, 9, 9)
    print(f"{label:28}" + "".join(f"{value:>{width}}" for value, width in zip(shown, widths, strict=True)))
    return row
