"""Does the simulated queue foretell a real server? A real run, and the same arrivals through the simulation.

Real are the processes, the wire and the batching: `tradewind serve` with two replicas, each a process of its
own, asked over HTTP in an open loop with Poisson arrivals. What a batch takes is real too, but it is the
replica's waiting (10 ms, and 4 ms a row), as on an accelerator, so that two cores that others use as well are
not what is measured; `--work cpu` computes for about as long instead.

The simulation (`tradewind.serving.batching.simulation`, on which the profiles of provisioning rest) is given
the arrivals, the same rule object, and a profile measured beforehand and never fitted to the run: the line
through the times of batches of 1 to 16 rows in a replica of its own, the quotients of times and line as the
spread, and the mean of what a lone request takes beyond its batch, on the wire and in the front.

Five repeats, each with its own seed. Compared are p50, p99 and the share of misses (answered after the
objective, or refused) over all of them; the prediction holds if it is off by no more than 15 %, or than the
spread of the five repeats (highest less lowest), whichever is larger. Whole: ten minutes in all. `--quick`:
half a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from load_client import Load, load
from numpy.typing import NDArray

from tradewind import clock
from tradewind.serving.batching.interface import Latency
from tradewind.serving.batching.latency import LearnedLatency
from tradewind.serving.batching.rules import rule
from tradewind.serving.batching.simulation import simulate_queue
from tradewind.serving.models.opening import Opening
from tradewind.serving.server.replicas.own_process import OwnProcess

OBJECTIVE, LARGEST, REPLICAS, REPEATS = 0.120, 16, 2, 5
TOLERANCE = 0.15
MODEL = '''
import time
import numpy as np

class Paced:
    """Takes 10 ms, and 4 ms a row."""
    signature = {{"inputs": {{"x": ["FP32", [-1, 8]]}}, "outputs": {{"y": ["FP32", [-1]]}}}}

    def predict(self, inputs):
        until = time.perf_counter() + 0.010 + 0.004 * len(inputs["x"])
        if {cpu}:
            block = np.ones((64, 64))
            while time.perf_counter() < until:
                block = block @ block * 0.01
        else:
            while (left := until - time.perf_counter()) > 0:
                time.sleep(left)
        return {{"y": inputs["x"].sum(axis=1)}}
'''


def request() -> bytes:
    tensor = {"name": "x", "shape": [1, 8], "datatype": "FP32", "data": [1.0] * 8}
    body = json.dumps({"inputs": [tensor]}).encode()
    head = f"POST /v2/models/Paced/infer HTTP/1.1\r\nhost: here\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _profiled(opening: Opening, rounds: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows and seconds of batches, one after another, in a replica of its own."""
    replica = OwnProcess(opening)
    await replica.open()
    rows, seconds = [], []
    try:
        for _ in range(rounds):
            for count in range(1, LARGEST + 1):
                inputs = {"x": np.ones((count, 8), np.float32)}
                took = clock.stopwatch()
                await replica.run(inputs)
                rows.append(count)
                seconds.append(took())
    finally:
        await replica.close()
    return np.array(rows[LARGEST:]), np.array(seconds[LARGEST:])


def moments(rate: float, seconds: float, seed: int) -> NDArray[np.float64]:
    """The arrivals that `load` has for the same arguments."""
    chance, found, moment = random.Random(seed), [], 0.0
    while (moment := moment + chance.expovariate(rate)) < seconds:
        found.append(moment)
    return np.array(found)


def told(latencies: NDArray[np.float64], asked: int) -> dict[str, float]:
    """Of the requests answered: milliseconds; and the share of all that were not answered in time."""
    in_time = int(np.count_nonzero(latencies <= OBJECTIVE))
    return {
        "p50": 1000 * float(np.quantile(latencies, 0.5)),
        "p99": 1000 * float(np.quantile(latencies, 0.99)),
        "misses": (asked - in_time) / asked,
    }


def predicted(
    rate: float, seconds: float, seed: int, line: Latency, factors: NDArray[np.float64], beyond: float
) -> tuple[NDArray[np.float64], int]:
    """Latencies of those answered, and how many asked, in the simulation."""
    arrivals = moments(rate, seconds, seed)
    shuffled = np.random.default_rng(seed).permutation(factors)
    known = LearnedLatency.guess(line.per_row, line.fixed, line.deviation)
    run = simulate_queue(
        rule(), arrivals, line, objective=OBJECTIVE, replicas=REPLICAS, largest=LARGEST, factors=shuffled,
        learned=known,
    )  # fmt: skip
    found = run.ends - run.arrivals
    return found[np.isfinite(found)] + beyond, len(arrivals)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--work", choices=("waits", "cpu"), default="waits")
    parser.add_argument("--load", type=float, default=0.9, help="share of what both replicas can do")
    options = parser.parse_args()
    seconds, rounds = (3.5, 3) if options.quick else (117.0, 12)
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(Path(folder), options, seconds, rounds)
    print(json.dumps(figures))


def measured(folder: Path, options: argparse.Namespace, seconds: float, rounds: int) -> dict[str, Any]:
    (folder / "paced.py").write_text(MODEL.format(cpu=options.work == "cpu"))
    os.environ["PYTHONPATH"] = str(folder)
    command = [
        sys.executable, "-c", "import sys; from tradewind.cli.main import main; sys.exit(main())", "serve",
        "paced:Paced", "--json", "--port", "0", "--no-grpc", "--isolation", "process", "--slo",
        f"p99<{1000 * OBJECTIVE:g}ms", "--replicas", str(REPLICAS), "--max-batch", str(LARGEST),
    ]  # fmt: skip
    rows, took = clock.serve(_profiled(Opening(python="paced:Paced"), rounds))
    per_row, fixed = np.polyfit(rows, took, 1)
    line = Latency(float(per_row), float(fixed), float(np.std(took - per_row * rows - fixed)))
    factors = took / (per_row * rows + fixed)
    rate = options.load * REPLICAS * LARGEST / line.of(LARGEST)
    print(
        f"A batch of b rows takes {1000 * fixed:.2f} + {1000 * per_row:.2f} b ms, give or take "
        f"{1000 * line.deviation:.2f}; {rate:.0f} requests a second; objective {1000 * OBJECTIVE:g} ms."
    )
    real: list[Load] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder) as server:
        try:
            assert server.stdout is not None
            port = int(json.loads(server.stdout.readline())["http"].rpartition(":")[2])
            asked = request()
            load(port, asked, connections=4, seconds=1.0, rate=20.0)
            alone = load(port, asked, connections=4, seconds=4.0 if options.quick else 10.0, rate=20.0)
            beyond = float(np.mean(alone.latencies)) - line.of(1)
            for repeat in range(REPEATS):
                real.append(load(port, asked, connections=256, seconds=seconds, rate=rate, seed=repeat))
        finally:
            server.terminate()
            server.wait(30)
    came = [told(np.array(each.latencies), each.answered + each.failed) for each in real]
    foretold = [predicted(rate, seconds, repeat, line, factors, beyond) for repeat in range(REPEATS)]
    whole = told(
        np.concatenate([each.latencies for each in real]), sum(each.answered + each.failed for each in real)
    )
    ours = told(np.concatenate([each for each, _ in foretold]), sum(count for _, count in foretold))
    figures: dict[str, Any] = {"name": "serving/validity"}
    print(f"{'':8}{'real':>10}{'predicted':>11}{'off':>8}{'spread':>8}")
    for each in ("p50", "p99", "misses"):
        spread = max(run[each] for run in came) - min(run[each] for run in came)
        allowed = max(TOLERANCE * whole[each], spread)
        off = ours[each] - whole[each]
        share = off / whole[each] if whole[each] else 0.0
        holds = abs(off) <= allowed
        words = "holds" if holds else "DOES NOT HOLD"
        print(f"{each:8}{whole[each]:10.4g}{ours[each]:11.4g}{share:8.1%}{spread:8.3g}  {words}")
        figures |= {f"{each}_real": whole[each], f"{each}_predicted": ours[each], f"{each}_holds": holds}
    busy = max(each.busy for each in real)
    print(
        f"{sum(each.answered for each in real)} answers in {REPEATS} repeats of {seconds:g} s; seeds 0 to "
        f"{REPEATS - 1}; a lone request takes {1000 * beyond:.2f} ms beyond its batch; the client was "
        f"at most {busy:.0%} busy; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.\n"
        f"Python {platform.python_version()}, tradewind {version('tradewind')}, numpy {version('numpy')}."
    )
    return figures | {"work": options.work, "rate": rate, "seconds": REPEATS * seconds}


if __name__ == "__main__":
    main()
