"""One pass of a sparse logistic model by two processes over shared memory, against our single process.

All three sides use the learner's own row-by-row kernel (`algorithms.linear.online`), one pass over the same
rows, data in memory:

- single: one process, its own table;
- in place: two processes, half of the rows each, that write one shared table directly, row by row, without
  a lock (Hogwild): updates that meet may be lost, nothing is exactly once. Only the 2,047 features that the
  first 10,000 rows have most often, and the bias, are learned on a copy of each process, and every 2,500 rows
  what changed is added to the shared ones: two cores that write the same cache lines at every row would
  spend their time fetching them from each other (the side `plain` shows it);
- sequenced: two processes that learn on copies and exchange them, the frequent features every 4,000 rows, the
  others a few times: each exchange is stamped, committed and taken in exactly once, whoever is killed when;
- plain: in place without copies, for comparison.

Each worker numbers the features of its rows so that the frequent ones come first; that is done as the rows
are loaded, as hashing is, and is not timed on any side.

A parallel side is timed from the first worker's start to the last one's end; on every side processes are up,
rows are in memory, learners are made, their tables' pages touched and kernels compiled before. Each worker is
bound to a core of its own, since a pass takes a few hundredths of a second and a scheduler that packs
processes would let one wait for the other. Rows are generated in Criteo's shape (see `criteo_shaped`), and
nothing here is a claim about Criteo's. Where others use the cores too the parallel sides suffer: see the load
average.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from criteo_shaped import Rows, log_loss, train_and_test
from tradewind.algorithms.batch import Batch
from tradewind.algorithms.linear.online import RATE, OnlineLearner
from tradewind.algorithms.linear.packing import Candidate, Pack
from tradewind.algorithms.linear.scaling import Scaling, measure
from tradewind.state.shared_memory import InPlaceState, SequencedState
from tradewind.state.shared_tables import SharedTables

HOT = 2048
"""Features that are learned on a copy, and the bias."""
SHARED_EVERY, EXCHANGED_EVERY = 2500, 4000
"""Rows between two exchanges of those: in place, and sequenced."""
COLD_EXCHANGES = 3
"""Exchanges of all other features, sequenced."""
WORKERS = 2
SEED = 7


def prepared(rows: int) -> tuple[Rows, Rows, Scaling, NDArray[np.float32]]:
    """Training and test rows, the scaling of the first 10,000, labels -1 and 1."""
    train, test = train_and_test(rows, seed=SEED)
    first = train.part(0, min(10_000, len(train)))
    sample = Batch(
        train.features, indptr=first.indptr, indices=first.indices, values=first.values, labels=first.labels
    )
    scaling = measure(sample, features=True, centre=False, labels=False)
    return train, test, scaling, (2 * train.labels - 1).astype(np.float32)


def learner(scaling: Scaling) -> OnlineLearner:
    """A fresh learner of one logistic model."""
    return OnlineLearner(Pack([Candidate("logistic", 0.0, RATE)], 1, 1.0), scaling)


def test_loss(test: Rows, scaling: Scaling, weights: NDArray[Any], bias: float) -> float:
    """Log-loss on the test rows of weights (d,) for scaled features."""
    raw = weights.astype(np.float64) / scaling.scale
    score = bias + (raw[test.indices] * test.values).reshape(len(test), -1).sum(axis=1)
    return log_loss(test.labels, 1 / (1 + np.exp(-score)))


class Numbering:
    """Where the weights lie: the frequent features and the bias first, then all others, then scratch.

    In place, each worker has frequent rows of its own before the others: `copies` of them.
    """

    def __init__(self, train: Rows, scaling: Scaling, worker: int, copies: int) -> None:
        counts = np.bincount(train.part(0, min(10_000, len(train))).indices, minlength=train.features)
        self.hot = np.sort(np.argsort(-counts, kind="stable")[: HOT - 1])
        self.own = slice(worker * HOT, (worker + 1) * HOT)
        self.rows = copies * HOT + train.features + 1
        self.bound = copies * HOT
        self.place = np.arange(train.features, dtype=np.int32) + copies * HOT
        self.place[self.hot] = worker * HOT + np.arange(HOT - 1, dtype=np.int32)
        self.inverse = np.ones(self.rows, np.float32)
        self.inverse[worker * HOT : worker * HOT + HOT - 1] = 1 / scaling.scale[self.hot]

    def weights(self, hot: NDArray[Any], cold: NDArray[Any]) -> NDArray[Any]:
        """The features' weights (d,) of the shared rows (HOT, 2, 1) and (d + 1, 2, 1)."""
        found = cold[:-1, 0, 0].copy()
        found[self.hot] = hot[:-1, 0, 0]
        return found

    def learner(self, table: NDArray[Any], scaling: Scaling) -> OnlineLearner:
        """A learner that works on `table` (rows, 2, 1)."""
        found = learner(scaling)
        found._table, found._inverse, found._bound = table, self.inverse, self.bound
        return found


def cut(worker: int, rows: int, every: int) -> list[tuple[int, int]]:
    """A worker's half of the rows, in order, in stretches."""
    start, end = worker * rows // WORKERS, (worker + 1) * rows // WORKERS
    return [(first, min(first + every, end)) for first in range(start, end, every)]


def learn_in_place(state: InPlaceState, numbering: Numbering, work: Work) -> Callable[[], None]:
    """A worker's half of the rows on the shared table itself; the frequent features exchanged."""
    table = state.live("cold")
    own, base = table[numbering.own], state.pull("hot")
    own[:] = base
    learning = numbering.learner(table, work.scaling)

    def go() -> None:
        for start, stop in cut(work.worker, work.rows, SHARED_EVERY):
            learning._bias[:] = own[-1]
            learning.learn(work.indptr[start : stop + 1], work.indices, work.values, work.signs[start:stop])
            own[-1] = learning._bias
            state.exchange("hot", own, base)

    return go


def learn_sequenced(state: SequencedState, numbering: Numbering, work: Work) -> Callable[[], None]:
    """A worker's half of the rows on a copy, exchanged exactly once."""
    table = np.empty((numbering.rows, 2, 1), np.float32)
    own_hot, own_cold = table[:HOT], table[HOT:]
    base_hot, base_cold = state.pull("hot", out=np.empty_like(own_hot)), state.pull("cold")
    own_hot[:], own_cold[:] = base_hot, base_cold
    learning = numbering.learner(table, work.scaling)
    plan = cut(work.worker, work.rows, EXCHANGED_EVERY)
    between = -(-len(plan) // COLD_EXCHANGES)

    def go() -> None:
        for number, (start, stop) in enumerate(state.draw(plan)):
            learning._bias[:] = own_hot[-1]
            learning.learn(work.indptr[start : stop + 1], work.indices, work.values, work.signs[start:stop])
            own_hot[-1] = learning._bias
            state.exchange("hot", own_hot, base_hot)
            if number % between == between - 1 or number == len(plan) - 1:
                own_cold[-1] = base_cold[-1]  # the kernel's scratch
                state.exchange("cold", own_cold, base_cold)

    return go


def learn_plain(state: InPlaceState, numbering: Numbering, work: Work) -> Callable[[], None]:
    """A worker's half of the rows on the shared table itself."""
    table, bias = state.live("cold"), state.live("hot")[-1]
    learning = numbering.learner(table, work.scaling)

    def go() -> None:
        for start, stop in cut(work.worker, work.rows, SHARED_EVERY):
            learning._bias[:] = bias
            before = learning._bias.copy()
            learning.learn(work.indptr[start : stop + 1], work.indices, work.values, work.signs[start:stop])
            bias[:] += learning._bias - before

    return go


MODES: dict[str, Any] = {"in place": learn_in_place, "sequenced": learn_sequenced, "plain": learn_plain}
COPIES = {"in place": WORKERS, "sequenced": 1, "plain": 1}
"""How many workers' frequent features lie in the table that a worker learns on."""


@dataclass
class Work:
    """A worker's rows, as it numbers them."""

    worker: int
    rows: int
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    signs: NDArray[np.float32]
    scaling: Scaling


def run_worker(worker: int, rows: int, ready: Any, orders: Any, answers: Any) -> None:
    """A worker's life: at each order (path, mode, rows) a pass, answered by when it began and ended."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[worker % len(cores)]})
    train, _, scaling, signs = prepared(rows)
    numberings = {mode: Numbering(train, scaling, worker if n > 1 else 0, n) for mode, n in COPIES.items()}
    numbered = {mode: each.place[train.indices] for mode, each in numberings.items()}
    ready.wait()
    while (order := orders.get()) is not None:
        path, mode, few = order
        tables = SharedTables.attach(path)
        state: Any = SequencedState(tables, worker) if mode == "sequenced" else InPlaceState(tables)
        work = Work(worker, few or len(train), train.indptr, numbered[mode], train.values, signs, scaling)
        go = MODES[mode](state, numberings[mode], work)
        ready.wait()
        began, used = time.perf_counter(), time.process_time()
        go()
        answers.put((began, time.perf_counter(), time.process_time() - used))
        tables.close()


def main() -> None:
    """Print the table and the closing line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows, under 45 s")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    rows = 120_000 if options.quick else 300_000
    spawn = mp.get_context("spawn")
    ready, answers = spawn.Barrier(WORKERS + 1), spawn.Queue()
    orders = [spawn.Queue() for _ in range(WORKERS)]
    workers = [
        spawn.Process(target=run_worker, args=(worker, rows, ready, orders[worker], answers), daemon=True)
        for worker in range(WORKERS)
    ]
    for each in workers:
        each.start()
    train, test, scaling, signs = prepared(rows)
    numbering = Numbering(train, scaling, 0, 1)
    ready.wait(120)

    def parallel(mode: str, few: int = 0) -> tuple[float, float, float]:
        with SharedTables.create(workers=WORKERS, sequenced=mode == "sequenced", partitions=4) as tables:
            prefix = 0 if mode == "sequenced" else COPIES[mode] * HOT
            tables.initialize("hot", np.zeros((HOT, 2, 1), np.float32))
            tables.initialize("cold", np.zeros((prefix + train.features + 1, 2, 1), np.float32))
            for queue in orders:
                queue.put((str(tables.path), mode, few))
            ready.wait(120)
            times = [answers.get(timeout=30) for _ in range(WORKERS)]
            state: Any = SequencedState(tables) if mode == "sequenced" else InPlaceState(tables)
            hot, cold = state.pull("hot"), state.pull("cold")[prefix:]
            if mode == "plain":
                bias, hot = float(hot[-1, 0, 0]), state.pull("cold")[:HOT]
            else:
                bias = float(hot[-1, 0, 0])
        seconds = max(end for _, end, _ in times) - min(began for began, _, _ in times)
        used = max(each for _, _, each in times)
        return seconds, used, test_loss(test, scaling, numbering.weights(hot, cold), bias)

    def single(few: int = 0) -> tuple[float, float, float]:
        part = train.part(0, few) if few else train
        own = learner(scaling)
        own._table[:] = 0  # touches the pages, as the workers' are
        began, used = time.perf_counter(), time.process_time()
        own.learn(part.indptr, part.indices, part.values, signs[: len(part)])
        seconds, used = time.perf_counter() - began, time.process_time() - used
        return seconds, used, test_loss(test, scaling, own.weights[:, 0], float(own.bias[0]))

    single(10_000)  # compiles, or loads from the cache
    for mode in MODES:
        parallel(mode, 10_000)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, ", end="")
    print(f"numpy {np.__version__}, numba {numba.__version__}, seed {SEED}")
    print(f"{len(train)} rows to learn from, 2^19 features, 39 non-zeros a row, one pass")
    print(
        "samples/s; times as fast as single by the clock and by processor time of the slower worker; log-loss"
    )
    print(f"{'round':>5} {'single':>20} " + " ".join(f"{mode:>32}" for mode in MODES))
    found = []
    for number in range(max(5, options.rounds)):
        alone, alone_used, loss = single()
        line = f"{number + 1:>5} {len(train) / alone:>12,.0f} {loss:.4f} "
        row = [loss]
        for mode in MODES:
            seconds, used, loss = parallel(mode)
            row += [alone / seconds, alone_used / used, loss]
            line += f" {len(train) / seconds:>12,.0f} {row[-3]:>5.2f} {row[-2]:>5.2f} {loss:.4f}"
        found.append(row)
        print(line, flush=True)
    for queue in orders:
        queue.put(None)
    for each in workers:
        each.join(30)
    middle = [statistics.median(column) for column in zip(*found, strict=True)]
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    names = [
        "logloss_single",
        *("vs_single", "vs_single_by_processor_time", "logloss_in_place"),
        *("sequenced_vs_single", "sequenced_vs_single_by_processor_time", "logloss_sequenced"),
        *("plain_vs_single", "plain_vs_single_by_processor_time", "logloss_plain"),
    ]
    figures = {name: round(value, 4) for name, value in zip(names, middle, strict=True)}
    print(json.dumps({"benchmark": "training/linear_parallel", "figures": figures}))


if __name__ == "__main__":
    main()
