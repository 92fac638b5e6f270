"""A push and a pull of a 2^19 float32 dense table in shared memory, against two memcpys of its 2 MiB.

The client is a process of its own, the table another process's. The push is sequenced: taken in exactly once
whoever is killed when; `add` at the table. The pull is a copy, into memory of its own or into a buffer that
the caller keeps. Both sides run in the client, alternating, in each round; a round is a median of many.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import platform
import statistics
import time

import numba
import numpy as np

from tradewind.state.shared_memory import SequencedState
from tradewind.state.shared_tables import SharedTables

SIZE = 2**19


def run_client(path: str, rounds: int, turns: int, answers: mp.Queue) -> None:
    """Microseconds of each round: (two memcpys, push and pull, push and pull into a buffer), then the sum."""
    tables = SharedTables.attach(path)
    state = SequencedState(tables, 0)
    delta, buffer = np.ones(SIZE, np.float32), np.empty(SIZE, np.float32)
    sources = [np.ones(SIZE, np.float32) for _ in range(2)]
    targets = [np.empty(SIZE, np.float32) for _ in range(2)]
    found = []
    for _ in range(rounds + 1):
        times: list[tuple[float, float, float]] = []
        for _ in range(turns):
            began = time.perf_counter()
            np.copyto(targets[0], sources[0])
            np.copyto(targets[1], sources[1])
            copied = time.perf_counter()
            state.push("w", delta)
            state.pull("w")
            pulled = time.perf_counter()
            state.push("w", delta)
            state.pull("w", out=buffer)
            times.append((copied - began, pulled - copied, time.perf_counter() - pulled))
        found.append([statistics.median(column) * 1e6 for column in zip(*times, strict=True)])
    answers.put((found[1:], float(buffer[0])))  # the first round warms up
    tables.close()


def main() -> None:
    """Print the table and the closing line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer turns a round")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    rounds, turns = max(5, options.rounds), 40 if options.quick else 200
    spawn = mp.get_context("spawn")
    with SharedTables.create(workers=1, sequenced=True) as tables:
        tables.initialize("w", np.zeros(SIZE, np.float32))
        answers = spawn.Queue()
        client = spawn.Process(target=run_client, args=(str(tables.path), rounds, turns, answers))
        client.start()
        found, last = answers.get(timeout=300)
        client.join(30)
        pushes = 2 * (rounds + 1) * turns
        assert last == pushes, "a push was lost or doubled"
    print(f"{platform.machine()}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}, ", end="")
    print(f"Python {platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}")
    print(f"2^19 float32, {tables.partitions} partitions, {rounds} rounds of {turns} turns; microseconds")
    print(f"{'round':>6} {'2 memcpy':>9} {'push+pull':>10} {'ratio':>6} {'into a buffer':>14} {'ratio':>6}")
    for number, (copy, whole, kept) in enumerate(found):
        print(
            f"{number + 1:>6} {copy:>9.1f} {whole:>10.1f} {whole / copy:>6.2f} {kept:>14.1f} "
            f"{kept / copy:>6.2f}"
        )
    ratio = statistics.median(whole / copy for copy, whole, _ in found)
    buffered = statistics.median(kept / copy for copy, _, kept in found)
    print(f"median {ratio:.2f} (into a buffer {buffered:.2f}); every push was taken in once")
    figures = {"vs_memcpy": round(ratio, 3), "vs_memcpy_buffered": round(buffered, 3)}
    print(json.dumps({"benchmark": "state/dense", "figures": figures}))


if __name__ == "__main__":
    main()
