"""Five times the load that a server can bear: what is still answered in time, as a share of its capacity.

`tradewind serve` as a process on one core, asked over kept connections by one client process on another, in
an open loop (Poisson; latency counts from the moment a request was due). Two bottlenecks:

- `model`: a model that sleeps 40 ms and 1 ms a row, up to 16 rows at a time: the time is synthetic, the
  process that it is spent in, its queue and the batches are not. Objective 200 ms. The rule is ours, and
  beside it the peers' ways of cutting batches in the same server, which refuse nobody early. 1000
  connections; a request that finds them all taken waits for one.
- `front`: an ONNX model of one matrix product, so quick that reading requests is all there is to do; the
  processor is what is short. The same objective. 4000 connections, all of which have a request under way all
  the time; what finds them taken is lost, as at a load balancer that has no more (column `lost`). Did it wait
  for one instead, it would be late when it is sent, and no server could help. `front_first` is the same with
  nothing promised: requests are answered in the order in which they come.

Capacity is what the same server answers in a closed loop of 32 connections (front: 64), its median over the
rounds. Goodput is requests answered within the objective, for each second of the burst. Sides alternate, a
server started anew for each round of each. Also: the shares of the requests offered that were lost and that
were refused, the server's memory at its highest less that before, the seconds after the burst until ten
requests in a row are answered in time, and the client's share of its core.

    make bench NAME=serving/overload ARGS="--quick"
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

FIXED, PER_ROW, LARGEST = 0.040, 0.001, 16
OBJECTIVE, TIMES = 0.2, 5.0
CORES = sorted(os.sched_getaffinity(0))
RULES = ("slack", "take_all", "triton", "clipper")
_SIGNATURE = {"inputs": {"rows": ["FP32", [-1, 4]]}, "outputs": {"sum": ["FP32", [-1]]}}
ROW = [2.0, -1.0, 0.5, 3.0]


class Paced:
    """The model of the first part; it sleeps as long as a device would compute."""

    signature = _SIGNATURE

    def predict(self, inputs: dict[str, Any]) -> Any:
        time.sleep(FIXED + PER_ROW * len(inputs["rows"]))
        return inputs["rows"].sum(axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round, ours alone, shorter bursts")
    options = parser.parse_args()
    from server_process import keep_children  # noqa: PLC0415 -- a replica imports this module for `Paced`

    keep_children()
    rounds, seconds = (1, 3.0) if options.quick else (5, 10.0)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"numpy {version('numpy')}, onnxruntime {version('onnxruntime')}, uvloop {version('uvloop')}; "
        f"{rounds} rounds of {seconds:g} s, seeds 1 to {rounds}"
    )
    sides = [("model", rule) for rule in (RULES[:1] if options.quick else RULES)]
    sides += [("front", "slack"), ("front_first", "slack")]
    os.sched_setaffinity(0, {CORES[-1]})
    seen: dict[tuple[str, str], list[dict[str, float]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        onnx = _onnx(Path(folder))
        for number in range(rounds):
            for side in sides:
                seen[side].append(_burst(side, onnx, seconds, number + 1))
    titles = (
        "capacity/s",
        "goodput/s",
        "share",
        "p99 ms",
        "refused",
        "lost",
        "MB more",
        "recovers s",
        "client",
    )
    print(" " * 16 + "".join(f"{title:>11}" for title in titles))
    figures: dict[str, Any] = {}
    for side in sides:
        found = {key: statistics.median(each[key] for each in seen[side]) for key in seen[side][0]}
        found["share"] = found["goodput"] / found["capacity"]
        print(
            f"{' '.join(side):16}{found['capacity']:11.0f}{found['goodput']:11.0f}{found['share']:11.3f}"
            f"{found['p99'] * 1e3:11.1f}{found['refused']:11.2f}{found['lost']:11.2f}{found['grown']:11.1f}"
            f"{found['recovery']:11.3f}{found['client']:11.2f}"
        )
        figures["_".join(side)] = {key: round(value, 4) for key, value in found.items()}
    shares = {name: figures[f"{name}_slack"]["share"] for name in ("model", "front")}
    print(json.dumps({"goodput_of_capacity": shares, "sides": figures}))


def _burst(side: tuple[str, str], onnx: Path, seconds: float, seed: int) -> dict[str, float]:
    from load_client import load  # noqa: PLC0415

    what, rule = side
    with _served(what, rule, onnx) as (server, port, request):
        server.pin(CORES[0])
        modest, many = (32, 1000) if what == "model" else (64, 4000)
        steady = load(port, request, connections=modest, seconds=seconds / 2)
        capacity = steady.answered / steady.seconds
        before, highest = server.memory(), [0.0]
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.2):
                highest[0] = max(highest[0], server.memory())

        watching = threading.Thread(target=watch)
        watching.start()
        queues = what == "model"
        burst = load(
            port, request, connections=many, seconds=seconds, rate=TIMES * capacity, seed=seed,
            queues=queues, greeting=b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n",
        )  # fmt: skip
        over.set()
        watching.join()
        good = sum(each <= OBJECTIVE for each in burst.latencies)
        latencies = burst.latencies or [float("inf")]
        offered = burst.answered + burst.failed
        return {
            "capacity": capacity,
            "goodput": good / seconds,
            "p99": float(np.percentile(latencies, 99)),
            "refused": (burst.failed - burst.lost) / offered,
            "lost": burst.lost / offered,
            "grown": highest[0] - before,
            "recovery": _recovery(port, request),
            "client": burst.busy,
        }


def _recovery(port: int, request: bytes) -> float:
    """Seconds from now until the first of ten requests in a row that are answered in time."""
    from server_process import ask  # noqa: PLC0415

    began = time.perf_counter()
    first, row = began, 0
    while row < 10 and time.perf_counter() < began + 30:
        sent = time.perf_counter()
        well = ask(port, request)[0] == 200 and time.perf_counter() - sent <= OBJECTIVE
        if well and not row:
            first = sent
        row = row + 1 if well else 0
    return first - began


@contextlib.contextmanager
def _served(what: str, rule: str, onnx: Path) -> Iterator[tuple[Any, int, bytes]]:
    from server_process import ServerProcess, free_port  # noqa: PLC0415

    port = free_port()
    path, name = ("overload:Paced", "paced") if what == "model" else (str(onnx), "quick")
    run = "import sys; from tradewind.cli.main import main; sys.exit(main())"
    promise = [] if what == "front_first" else ["--slo", f"p99<{1e3 * OBJECTIVE:g}ms"]
    command = [
        sys.executable, "-c", run, "serve", path, "--name", name, "--port", str(port), "--no-grpc",
        *promise, "--batching", rule, "--max-batch", str(LARGEST),
    ]  # fmt: skip
    tensor = {"name": "rows", "shape": [1, 4], "datatype": "FP32", "data": ROW}
    body = json.dumps({"inputs": [tensor]}).encode()
    head = f"POST /v2/models/{name}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
        server = ServerProcess(command, Path(folder), environment)
        try:
            server.wait_for(port, request)
            yield server, port, request
        finally:
            server.stop()


def _onnx(folder: Path) -> Path:
    import onnx  # noqa: PLC0415
    from onnx import TensorProto, helper  # noqa: PLC0415

    graph = helper.make_graph(
        [helper.make_node("MatMul", ["rows", "factors"], ["sum"])],
        "quick",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, [None])],
        [helper.make_tensor("factors", TensorProto.FLOAT, [4], [1.0] * 4)],
    )
    path = folder / "quick.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


if __name__ == "__main__":
    main()
