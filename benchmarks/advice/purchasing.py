"""Welfare and profit of posted prices against first come first served, one bar, and the offline optimum.

    make bench NAME=advice/purchasing
    make bench NAME=advice/purchasing ARGS=--quick

Jobs are synthetic: arrivals uniform over the slots, 1 to `--largest` unit tasks, windows of up to twelve
slots, values a unit log-uniform between L and U, drawn apart from all else, at three loads (tasks asked for
over instances there are). The policy is our reconstruction from a title (see
`advice.purchasing.online_purchase`); it is given the true L and U. `value_density` is given the bar, of
twenty, that did best on seeds disjoint from those of the table, at each load. The optimum is a mixed integer
programme that knows all jobs (50 at most). Intervals, 95 %, are over seeds: bootstrap of the difference to
`accept_all` and to `value_density`, as shares of the optimum.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
from pathlib import Path

import numpy as np

import tradewind
from tradewind.advice.purchasing.accept_all import AcceptAll
from tradewind.advice.purchasing.interface import Job, Purchaser, Supply, sold
from tradewind.advice.purchasing.offline_optimum import offline_optimum
from tradewind.advice.purchasing.online_purchase import OnlinePurchase
from tradewind.advice.purchasing.value_density import ValueDensity
from tradewind.clock import stopwatch
from tradewind.estimates.bootstrap import paired_interval

LEAST, GREATEST = 0.2, 20.0
"""US dollars a unit task, L and U."""
COST = 0.2
CAPACITY, SLOTS, JOBS = 6, 30, 50
LOADS = (0.5, 1.0, 2.0)
FIRST_OF_TUNING = 10_000


def drawn(seed: int, load: float) -> tuple[list[Job], Supply]:
    """Fifty jobs whose tasks are `load` times the instances of all slots, roughly."""
    chance = np.random.default_rng([seed, int(100 * load)])
    mean = load * CAPACITY * SLOTS / JOBS
    jobs = []
    for at in range(JOBS):
        tasks = int(chance.integers(1, max(2, round(2 * mean))))
        first = int(chance.integers(0, SLOTS))
        last = min(SLOTS - 1, first + int(chance.integers(0, 12)))
        density = math.exp(chance.uniform(math.log(LEAST), math.log(GREATEST)))
        jobs.append(
            Job(
                id=f"j{at}",
                arrival=first,
                last=last,
                tasks=tasks,
                value=density * tasks,
                parallel=int(chance.integers(1, 5)),
            )
        )
    return jobs, Supply(SLOTS, CAPACITY, COST)


def bar_for(load: float, seeds: int) -> float:
    """The bar with the greatest welfare on the tuning seeds."""
    bars = np.geomspace(LEAST, GREATEST, 20)
    worth = [
        sum(
            sold(*drawn(FIRST_OF_TUNING + seed, load), ValueDensity(float(bar))).welfare
            for seed in range(seeds)
        )
        for bar in bars
    ]
    return float(bars[int(np.argmax(worth))])


def main() -> None:
    """Run, print the table and the closing line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="eight seeds; < 45 s")
    made.add_argument("--seeds", type=int, default=0, help="at each load; 60, or 8 if quick")
    made.add_argument("--data", type=Path, help="not read: the jobs are synthetic")
    options = made.parse_args()
    seeds = options.seeds or (8 if options.quick else 60)
    watch = stopwatch()
    figures: dict[str, dict[str, dict[str, float | list[float]]]] = {}
    for load in LOADS:
        bar = bar_for(load, seeds)
        policies: tuple[Purchaser, ...] = (
            AcceptAll(),
            ValueDensity(bar),
            OnlinePurchase(LEAST, GREATEST),
        )
        best = np.array([offline_optimum(*drawn(seed, load)) for seed in range(seeds)])
        welfare: dict[str, np.ndarray] = {}
        print(f"\nload {load:g}, bar of value_density {bar:.2f}; mean optimum {best.mean():.1f} USD")
        print(f"{'':18}{'welfare of optimum':>20}{'worst':>8}{'profit':>10}{'ours is better by, 95 %':>30}")
        rows: dict[str, dict[str, float | list[float]]] = {}
        for policy in policies:
            sales = [sold(*drawn(seed, load), policy) for seed in range(seeds)]
            welfare[policy.name] = np.array([sale.welfare for sale in sales]) / best
            rows[policy.name] = {
                "welfare_median": round(float(np.median(welfare[policy.name])), 4),
                "welfare_worst": round(float(welfare[policy.name].min()), 4),
                "profit_mean": round(float(np.mean([sale.profit for sale in sales])), 2),
                "accepted": round(
                    float(np.mean([sum(each.accepted for each in sale.answers) for sale in sales])), 1
                ),
            }
        ours = welfare["online_purchase"]
        for name, row in rows.items():
            told = ""
            if name != "online_purchase":
                interval = paired_interval(ours - welfare[name], range(seeds))
                row["ours_minus_it"] = [
                    round(each, 4) for each in (interval.low, interval.mean, interval.high)
                ]
                told = f"{interval.mean:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"
            print(
                f"{name:18}{row['welfare_median']:>20}{row['welfare_worst']:>8}"
                f"{row['profit_mean']:>10}{told:>30}"
            )
        figures[f"{load:g}"] = rows
    ratio = 1 + math.log(GREATEST / LEAST)
    print(
        f"\nsynthetic jobs; {seeds} seeds at each load, tuned on others; Tradewind {tradewind.__version__}, "
        f"Python {platform.python_version()}, numpy {np.__version__}, {os.cpu_count()} cores; "
        f"{watch():.0f} s in all; "
        f"1 + ln(U / L) is {ratio:.1f}"
    )
    print(json.dumps({"benchmark": "advice/purchasing", "figures": figures}))


if __name__ == "__main__":
    main()
