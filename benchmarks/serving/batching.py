"""Batching rules in simulated time: requests in time within 50 ms, of a model that takes 5 ms for one row.

Simulated are the queue and the replica; the rules are the very objects that the server runs. A batch of b
rows takes per_row * b + fixed seconds, once exactly and once times a lognormal factor of mean 1 (spread 5 %).
Two splits of the 5 ms: `weights`, 0.5 ms a row and 4.5 ms fixed, as of a dense network whose time goes into
reading its weights, and `rows`, 3 ms a row and 2 ms fixed, as of one that computes on every row. Two networks
of either kind are measured on this machine with onnxruntime, one thread, and printed beside. A batch has 64
rows at most.

Arrivals: Poisson; an MMPP of two states (four times the rate for a fifth of the time, 0.5 s at a stretch);
the two recorded Azure LLM inference traces of 2023, arrival times only, played faster so that their mean rate
is the load. Rounds are five seeds; of a trace, five of six consecutive parts, each scaled to the load by
itself.

Peers: their batchers written anew from their code and papers (their servers are not run), each tuned for the
process and the load by a grid, by requests in time, on another seed or the sixth part. CORK looks at its
queue once a millisecond; the row without that is no peer, but tells what the rule alone is worth. Ours has
one setting for all, its default, and knows nothing of the model beforehand.

Loads are shares of the capacity: the throughput of the largest batch that takes half of the 50 ms, so that
who comes when one begins is in time with the next. Goodput has two meanings here. `goodput_...` is the
highest offered load of which at least 99 % is answered in time, a refusal counting as not in time: what a p99
objective promises. `in_time_...` is requests in time per second at a fixed load, overload too. The optimum is
exact: a dynamic program that knows all arrivals (tradewind.serving.batching.optimum); with spread there is
none. A ratio to the best peer cannot exceed the optimum's, which is printed beside it.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from tradewind.errors import Misuse
from tradewind.estimates.load.arrivals import bursty, poisson, replayed
from tradewind.serving.batching.interface import BatchingRule, Latency
from tradewind.serving.batching.optimum import most_in_time
from tradewind.serving.batching.rules import rule
from tradewind.serving.batching.simulation import SimulatedRun, simulate_queue

OBJECTIVE, LARGEST, SHARE, SPREAD = 0.05, 64, 0.99, 0.05
SPLITS = {"weights": Latency(0.0005, 0.0045), "rows": Latency(0.003, 0.002)}
PROCESSES = ("poisson", "mmpp", "azure_code", "azure_conv")
OURS = "slack"
TUNING_SEED, FIRST_SEED, ROUNDS = 1000, 1, 5
SLOWEST, STEP, STEP_QUICK = 0.02, 1.01, 1.04
"""The loads searched for the highest with 99 % in time: from SLOWEST on, each so many times the last."""
TUNING = 4000
"""Requests that a peer is tuned on at most."""
Moments = np.ndarray[Any, np.dtype[np.float64]]
Source = Callable[[float, int], Moments]
"""Arrivals at a rate in a round; round -1 is for tuning."""


def sizes_of(line: Latency) -> list[int]:
    """Largest batches that a user would try: by what takes half of the objective, and powers of two."""
    half = size_within(line, OBJECTIVE / 2)
    tried = {max(1, round(half * share)) for share in (0.5, 1.0, 1.5)} | {32, 64}
    return sorted(size for size in tried if size <= LARGEST)


def size_within(line: Latency, seconds: float) -> int:
    return max([b for b in range(1, LARGEST + 1) if line.of(b) <= seconds], default=1)


def capacity_of(line: Latency) -> float:
    """Rows a second in batches of half the objective."""
    size = size_within(line, OBJECTIVE / 2)
    return size / line.of(size)


def settings(line: Latency, quick: bool) -> dict[str, list[dict[str, Any]]]:
    """Every peer's grid."""
    sizes = sizes_of(line)
    if quick:
        sizes = sizes[len(sizes) // 2 - 1 :: 2]
    profile = {b: line.of(b) for b in (1, 2, 4, 8, 16, 32, 64)}
    windows = (0.002, 0.01) if quick else (0.0, 0.001, 0.002, 0.005, 0.01, 0.02)
    timeouts = (0.2, 0.5) if quick else (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    budgets = (0.9, 0.95, 1.0) if quick else (0.8, 0.85, 0.9, 0.95, 0.98, 1.0)
    pairs = itertools.product
    return {
        "take_all": [{}],
        "fixed_window (Ray, MLServer)": [{"window": w, "size": s} for w, s in pairs(windows, sizes)],
        "fixed_window (LitServe)": [
            {"window": w, "size": s, "since": "worker"} for w, s in pairs(windows[:3], sizes)
        ],
        "triton": [
            {"delay": d, "size": s, "timeout": OBJECTIVE * t}
            for t, s, d in pairs(timeouts, sizes, (0.0,) if quick else (0.0, 0.002))
            if not d or t in (0.3, 0.5)
        ],
        "mark": [{"objective": OBJECTIVE * b, "profile": profile} for b in (0.6, *budgets)],
        "cork (BentoML)": [{"max_latency": OBJECTIVE * b, "size": s} for b, s in pairs(budgets, sizes)],
        "cork (idealised: no tick)": [
            {"max_latency": OBJECTIVE * b, "size": s, "tick": 0.0} for b, s in pairs(budgets, sizes)
        ],
        "clipper": [{"objective": OBJECTIVE * b} for b in (0.3, 0.4, 0.5, 0.6, 0.8)],
    }


def made(peer: str, setting: dict[str, Any]) -> BatchingRule:
    return rule(peer.partition(" ")[0], **setting)


def traces(folder: Path, name: str) -> list[Moments]:
    """Six consecutive parts of a recorded trace, in seconds."""
    with gzip.open(folder / f"azure-llm-2023-{name.removeprefix('azure_')}.csv.gz", "rt") as file:
        stamps = [row["TIMESTAMP"] for row in csv.DictReader(file)]
    first = datetime.fromisoformat(stamps[0][:26])
    moments = np.sort([(datetime.fromisoformat(each[:26]) - first).total_seconds() for each in stamps])
    return list(np.array_split(moments, 6))


def sources(folder: Path, requests: int) -> dict[str, Source]:
    """By process, its arrivals."""

    def drawn(maker: Callable[[float, float, int], Moments]) -> Source:
        def arrivals(rate: float, round_: int) -> Moments:
            seed = TUNING_SEED if round_ < 0 else FIRST_SEED + round_
            return maker(rate, requests / rate, seed)

        return arrivals

    def played(parts: list[Moments]) -> Source:
        return lambda rate, round_: replayed(parts[5 if round_ < 0 else round_], rate)

    def mmpp(rate: float, seconds: float, seed: int) -> Moments:
        return bursty(rate, seconds, seed, burst=4.0, share=0.2, sojourn=0.5)

    return {
        "poisson": drawn(poisson),
        "mmpp": drawn(mmpp),
        **{name: played(traces(folder, name)) for name in PROCESSES[2:]},
    }


class Bench:
    """One split and one spread: runs, tunes, and remembers."""

    def __init__(self, line: Latency, spread: float, quick: bool) -> None:
        self.line, self.quick = line, quick
        self.capacity = capacity_of(line)
        self.grid = settings(line, quick)
        self.factors = None
        if spread:
            sigma = float(np.sqrt(np.log1p(spread * spread)))
            self.factors = np.random.default_rng(7).lognormal(-sigma * sigma / 2, sigma, 4096)
        self.tuned: dict[tuple[str, str, float], dict[str, Any]] = {}

    def run(self, contender: BatchingRule, arrivals: Moments) -> SimulatedRun:
        return simulate_queue(
            contender, arrivals, self.line, objective=OBJECTIVE, largest=LARGEST, factors=self.factors
        )

    def in_time(self, contender: BatchingRule, arrivals: Moments) -> int:
        return self.run(contender, arrivals).in_time

    def setting(self, peer: str, process: str, source: Source, load: float) -> dict[str, Any]:
        """The best of the grid for this process and load."""
        key = (peer, process, load)
        if key not in self.tuned:
            arrivals = source(load * self.capacity, -1)[:TUNING]
            grid = self.grid[peer]
            scores = [self.in_time(made(peer, each), arrivals) for each in grid]
            self.tuned[key] = grid[int(np.argmax(scores))]
        return self.tuned[key]

    def optimum(self, arrivals: Moments, refused_at_most: int) -> int | None:
        """The most in time; None if more must be refused than that."""
        seconds = np.array([self.line.of(b) for b in range(1, LARGEST + 1)])
        try:
            return most_in_time(arrivals, seconds, OBJECTIVE, refused_at_most)
        except Misuse:
            return None

    def at_load(self, process: str, source: Source, load: float) -> dict[str, list[float]]:
        """Shares in time by contender and round; the contenders alternate."""
        found: dict[str, list[float]] = {}
        for round_ in range(ROUNDS):
            arrivals = source(load * self.capacity, round_)
            total = len(arrivals)
            counts = {OURS: self.in_time(rule(OURS), arrivals)}
            for peer in self.grid:
                contender = made(peer, self.setting(peer, process, source, load))
                counts[peer] = self.in_time(contender, arrivals)
            if self.factors is None:
                best = self.optimum(arrivals, total - max(counts.values()))
                assert best is not None, "a rule that beats the optimum"
                counts["optimum"] = best
            for name, count in counts.items():
                found.setdefault(name, []).append(count / total)
        return found

    def highest(self, name: str, process: str, source: Source) -> float:
        """The highest load searched of which 99 % is in time, over all rounds together; by bisection."""
        step = STEP_QUICK if self.quick else STEP
        low, high = 0, int(np.log(1.3 / SLOWEST) / np.log(step)) + 1
        while low < high:
            middle = (low + high + 1) // 2
            good = self.keeps(name, process, source, SLOWEST * step**middle)
            low, high = (middle, high) if good else (low, middle - 1)
        return float(SLOWEST * step**low)

    def keeps(self, name: str, process: str, source: Source, load: float) -> bool:
        rounds = [source(load * self.capacity, round_) for round_ in range(ROUNDS)]
        total = sum(len(each) for each in rounds)
        if name == "optimum":
            left = int((1.0 - SHARE) * total)
            for arrivals in rounds:
                best = self.optimum(arrivals, left)
                if best is None:
                    return False
                left -= len(arrivals) - best
            return True
        contender = rule(OURS)
        if name != OURS:
            contender = made(name, self.setting(name, process, source, load))
        return sum(self.in_time(contender, each) for each in rounds) >= SHARE * total


def measured(quick: bool) -> Iterator[str]:
    """Lines that say what one row and more take of two real networks on this machine."""
    random = np.random.default_rng(0)
    kinds: dict[str, tuple[list[Any], list[Any], tuple[int, ...], str]] = {}
    nodes, weights, last = [], [], "x"
    for at, (rows, columns) in enumerate([(2048, 2048), (2048, 2048), (2048, 512)]):
        weights.append(numpy_helper.from_array(random.normal(size=(rows, columns)).astype("f4"), f"w{at}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{at}"], [f"y{at}"]))
        last = f"y{at}"
    kinds["dense, 38 MB of weights"] = (nodes, weights, (2048,), last)
    nodes, weights, last = [], [], "x"
    for at, (before, after) in enumerate([(3, 32), (32, 64), (64, 64)]):
        values = random.normal(size=(after, before, 3, 3)).astype("f4")
        weights.append(numpy_helper.from_array(values, f"w{at}"))
        nodes.append(helper.make_node("Conv", [last, f"w{at}"], [f"y{at}"], strides=[2, 2]))
        last = f"y{at}"
    kinds["convolutions, 0.2 MB of weights"] = (nodes, weights, (3, 128, 128), last)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    for name, (nodes, weights, shape, last) in kinds.items():
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            nodes,
            "measured",
            [value("x", TensorProto.FLOAT, [None, *shape])],
            [value(last, TensorProto.FLOAT, None)],
            weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        sizes, took = (1, 2, 4, 8, 16), {}
        for _ in range(5 if quick else 20):
            for rows in sizes:
                batch = np.ones((rows, *shape), np.float32)
                began = time.perf_counter()
                session.run(None, {"x": batch})
                took[rows] = min(took.get(rows, np.inf), time.perf_counter() - began)
        per_row, fixed = np.polyfit(sizes, [took[rows] for rows in sizes], 1)
        times = ", ".join(f"{rows}: {1e3 * took[rows]:.2f}" for rows in sizes)
        yield (
            f"  {name}: ms by rows {times}; line {1e3 * per_row:.2f} a row + {1e3 * fixed:.2f}, "
            f"{100 * max(0.0, fixed) / (per_row + fixed):.0f} % of one row's time fixed"
        )


def row(name: str, values: list[str]) -> None:
    print(f"{name:32}" + "".join(f"{each:>12}" for each in values), flush=True)


def main() -> None:
    """Print the tables and one line of figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="fewer requests, loads and settings; one split")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TRADEWIND_DATA", "../shared/data")))
    parser.add_argument("--requests", type=int, help="requests in a round")
    arguments = parser.parse_args()
    quick = arguments.quick
    requests = arguments.requests or (1500 if quick else 6_000)
    loads = (0.8, 5.0) if quick else (0.5, 0.8, 0.9, 1.0, 1.2, 5.0)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
          f"{platform.python_version()}, numpy {version('numpy')}, onnxruntime {version('onnxruntime')}; "
          f"{ROUNDS} rounds of {requests} requests (a trace: a sixth of it), seeds {FIRST_SEED} to "
          f"{FIRST_SEED + ROUNDS - 1}, tuned on {TUNING_SEED}. Simulated time.\nMeasured here:")  # fmt: skip
    for line in measured(quick):
        print(line)
    by_process = sources(arguments.data / "requests", requests)
    figures: dict[str, Any] = {
        key: {process: {} for process in PROCESSES}
        for key in (
            "goodput_vs_best_peer", "goodput_vs_optimum", "optimum_vs_best_peer",
            "in_time_vs_best_peer", "in_time_vs_optimum", "overload",
        )
    }  # fmt: skip
    chosen = dict(itertools.islice(SPLITS.items(), 1)) if quick else SPLITS
    for split, line in chosen.items():
        for spread in (0.0,) if quick else (0.0, SPREAD):
            bench = Bench(line, spread, quick)
            label = split if not spread else f"{split}_spread"
            half = size_within(line, OBJECTIVE / 2)
            print(f"\n{split}: T(b) = {1e3 * line.per_row:g} b + {1e3 * line.fixed:g} ms, spread "
                  f"{100 * spread:g} %; capacity {bench.capacity:.0f}/s (batches of {half})")  # fmt: skip
            for process, source in by_process.items():
                report(bench, label, process, source, loads, figures)
    figures["simulated"] = True
    print(json.dumps(figures))


def report(
    bench: Bench, label: str, process: str, source: Source, loads: tuple[float, ...], figures: dict[str, Any]
) -> None:
    """One process: shares in time at each load, and the highest load of which 99 % is in time."""
    shares = {load: bench.at_load(process, source, load) for load in loads}
    names = list(shares[loads[0]])
    print(f"\n{process}: % in time by load, medians of {ROUNDS} rounds; last, the load with 99 % in time")
    row("", [f"{load:g}" for load in loads] + ["99 %"])
    high = {name: bench.highest(name, process, source) for name in names}
    for name in names:
        medians = [f"{100 * float(np.median(shares[load][name])):.2f}" for load in loads]
        row(name, [*medians, f"{high[name]:.3f}"])
    peers = [peer for peer in bench.grid if "idealised" not in peer]
    best = {load: max(peers, key=lambda peer, at=load: float(np.mean(shares[at][peer]))) for load in loads}
    ratios = {load: mean_ratio(shares[load][OURS], shares[load][best[load]]) for load in loads}
    row("ours / best peer", [f"{ratios[load]:.3f}" for load in loads])
    best_high = max(high[peer] for peer in peers)
    figures["goodput_vs_best_peer"][process][label] = round(high[OURS] / best_high, 4)
    figures["in_time_vs_best_peer"][process][label] = {f"{load:g}": round(ratios[load], 4) for load in loads}
    if "optimum" in names:
        against = {load: mean_ratio(shares[load][OURS], shares[load]["optimum"]) for load in loads}
        bound = {load: mean_ratio(shares[load]["optimum"], shares[load][best[load]]) for load in loads}
        row(
            "ours / optimum",
            [f"{against[load]:.3f}" for load in loads] + [f"{high[OURS] / high['optimum']:.3f}"],
        )
        row(
            "optimum / best peer",
            [*(f"{bound[load]:.3f}" for load in loads), f"{high['optimum'] / best_high:.3f}"],
        )
        figures["goodput_vs_optimum"][process][label] = round(high[OURS] / high["optimum"], 4)
        figures["optimum_vs_best_peer"][process][label] = round(high["optimum"] / best_high, 4)
        figures["in_time_vs_optimum"][process][label] = {f"{at:g}": round(against[at], 4) for at in loads}
    tuned = (f"{load:g}: {best[load]} {plain(bench.tuned[best[load], process, load])}" for load in loads)
    print("best peer: " + ", ".join(tuned))
    over = [bench.run(rule(OURS), source(loads[-1] * bench.capacity, each)) for each in range(ROUNDS)]
    goodput = float(np.median([run.goodput for run in over])) / bench.capacity
    print(f"{OURS} at {loads[-1]:g} times the capacity: {goodput:.3f} of the capacity in time")
    figures["overload"][process][label] = round(goodput, 4)


def plain(setting: dict[str, Any]) -> str:
    return " ".join(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
                    for name, value in setting.items() if name != "profile")  # fmt: skip


def mean_ratio(ours: list[float], theirs: list[float]) -> float:
    """Of the sums over all rounds."""
    return sum(ours) / max(sum(theirs), 1e-12)


if __name__ == "__main__":
    main()
