"""Decima trained: from nothing to the weights that the package ships, on a simulated cluster of 10 executors.

    make bench NAME=advice/scheduling_training ARGS="--minutes 60 --out /tmp/decima"
    make bench NAME=advice/scheduling_training ARGS=--quick

Jobs are made up in TPC-H's shapes, and the cluster is simulated. Seeds of training, of validation (which
weights are kept) and of `advice/scheduling` (which are evaluated) are apart. With `--out` the newest and the
best weights so far are written there every few minutes, and with `--begin` training goes on from a file.
One process and one thread. Training begins with imitation of shortest remaining work capped at a fair share,
which the paper does not.

The weights that the package ships were made in two goes, 25 minutes of wall time together, on one core of two
that others were using (about a third of it was ours): `--rate 5e-4` with an entropy weight of 0.01 up to
iteration 50, and `--begin ... --at 50 --imitate 0 --iterations 260` for 90 more. The newest weights of each
tenth iteration were validated on 24 streams, the best were kept; 70 more iterations, and 20 with twice the
sequences and averaged weights, brought none that were better.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import numpy as np
import torch

import tradewind
from tradewind.advice.scheduling.capped_shortest_remaining import CappedShortestRemaining
from tradewind.advice.scheduling.decima.network import Network
from tradewind.advice.scheduling.decima.rollouts import play
from tradewind.advice.scheduling.decima.training import Lesson, Training
from tradewind.advice.scheduling.fair import Fair
from tradewind.advice.scheduling.shapes import interval_for, tpch_shaped
from tradewind.advice.scheduling.shortest_remaining_work import ShortestRemainingWork
from tradewind.advice.scheduling.simulation import Cluster, Simulation, simulate
from tradewind.clock import stopwatch
from tradewind.data.tensor_files import read_tensors, write_tensors

VALIDATION = 900_000
"""The first seed of the streams by which weights are kept."""


def main() -> None:
    """Train, and print how validation went."""
    options = _options()
    torch.set_num_threads(1)
    cluster = Cluster(10)
    seeds = range(VALIDATION, VALIDATION + (4 if options.quick else 40))
    streams = [tpch_shaped(20, interval=interval_for(0.85, 10), seed=seed) for seed in seeds]
    cases = [(jobs, cluster, seed) for jobs, seed in zip(streams, seeds, strict=True)]
    rivals = {
        policy.name: float(np.mean([simulate(policy, *each).average for each in cases]))
        for policy in (Fair(), ShortestRemainingWork(), CappedShortestRemaining(1.0))
    }
    print(
        f"Tradewind {tradewind.__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"torch {torch.__version__}; seed {options.seed}; validation on {len(streams)} streams from seed "
        f"{VALIDATION}: " + ", ".join(f"{name} {each:.1f} s" for name, each in rivals.items()),
        flush=True,
    )
    begin = read_tensors(options.begin)[0] if options.begin else None
    lesson = Lesson(
        seed=options.seed, iterations=options.iterations, rate=options.rate, sequences=options.sequences
    )
    training = Training(lesson, begin, options.at)
    watch, best, every = stopwatch(), np.inf, 2 if options.quick else 10
    for _ in range(options.imitate):
        likely = training.imitate(CappedShortestRemaining(1.0))
    if options.imitate:
        print(f"{watch() / 60:6.1f} min: the teacher's choices have likelihood {likely:.2f}", flush=True)
    while watch() < options.minutes * 60 and training.iteration < options.iterations:
        report = training.step()
        if report.iteration % every:
            continue
        runs = [Simulation(*each) for each in cases]
        played = play(Network(training.averaged), runs, None)
        average = float(np.mean([each.simulation.job_seconds / 20 for each in played]))
        print(
            f"{watch() / 60:6.1f} min, iteration {report.iteration}: {average:.1f} s in validation; "
            f"{report.average:.1f} s in training, entropy {report.entropy:.3f}, moved {report.moved:.3f}",
            flush=True,
        )
        told = {"iteration": str(report.iteration), "validation": f"{average:.2f}", "seed": str(options.seed)}
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            write_tensors(options.out / "newest.safetensors", training.weights, told)
            if average < best:
                write_tensors(options.out / "best.safetensors", training.averaged, told)
        best = min(best, average)
    figures = {"jct": {"decima": best, **rivals}, "minutes": watch() / 60, "iterations": training.iteration}
    print(json.dumps({"benchmark": "advice/scheduling_training", "figures": figures}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="four iterations: the check that it runs")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--imitate", type=int, default=10, help="iterations in which a heuristic is imitated")
    parser.add_argument("--rate", type=float, default=Lesson().rate, help="of Adam, at first")
    parser.add_argument("--sequences", type=int, default=Lesson().sequences, help="by iteration")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a folder for weights")
    parser.add_argument("--begin", type=Path, help="weights to go on from")
    parser.add_argument("--at", type=int, default=0, help="the iteration to go on at")
    parser.add_argument("--data", type=Path, help="unused: nothing recorded is read")
    options = parser.parse_args()
    if options.quick:
        options.iterations, options.minutes, options.imitate = 4, 0.5, 2
    return options


if __name__ == "__main__":
    main()
