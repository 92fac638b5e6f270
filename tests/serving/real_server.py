"""`tradewind serve` as a process, for tests that attack it, and a client beside them that must not notice."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

RUN = "import sys; from tradewind.cli.main import main; sys.exit(main())"
FACTORS = (2.0, -1.0, 0.5, 3.0)


class RealServer:
    """A server that is up; `http` and `grpc` are host:port."""

    def __init__(self, process: subprocess.Popen, told: dict) -> None:
        self.process, self.told = process, told
        self.http, self.grpc = told["http"].removeprefix("http://"), told["grpc"]

    def post(
        self, path: str, body: object, timeout: float = 10.0, **headers: str
    ) -> tuple[int, dict, object]:
        """(status, headers in lower case, body of JSON) of one request on a connection of its own."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return asked(self.http, "POST", path, sent, named, timeout)

    def get(self, path: str) -> tuple[int, dict, object]:
        return asked(self.http, "GET", path, b"", {}, 10.0)

    def replicas(self) -> list[int]:
        """The processes of its replicas."""
        return children(self.process.pid)

    def memory(self) -> int:
        """Bytes that the server's own process takes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096

    def end(self, number: int = signal.SIGTERM, within: float = 20.0) -> int:
        """Signal it and wait; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(within)


@contextlib.contextmanager
def real_server(path: Path, *options: str, stderr=subprocess.DEVNULL, **environment: str):
    """A server of the models in `path`, on ports of its own; killed in the end if it still runs."""
    variables = os.environ | {"PYTHONPATH": str(Path(__file__).parent)} | environment
    arguments = ["serve", str(path), "--json", *_ports(options), *options]
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments], stdout=subprocess.PIPE, stderr=stderr, env=variables
    ) as process:
        try:
            line = process.stdout.readline()
            assert line, f"it did not start: {process.wait(10)}"
            yield RealServer(process, json.loads(line))
        finally:
            left = children(process.pid)
            process.kill()
            for each in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)


def _ports(options: tuple[str, ...]) -> list[str]:
    found = [] if "--port" in options else ["--port", "0"]
    return found if "--no-grpc" in options or "--grpc-port" in options else [*found, "--grpc-port", "0"]


def asked(address, method, path, body, headers, timeout):
    connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        said = answer.read()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, told, json.loads(said) if "json" in told.get("content-type", "") else said
    finally:
        connection.close()


def children(pid: int) -> list[int]:
    """The child processes of a process, as /proc has them."""
    try:
        told = [each.read_text().split() for each in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [int(each) for thread in told for each in thread]


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition, seconds: float = 10.0) -> None:
    """Wait until something is so; fails after a while."""
    end = time.perf_counter() + seconds
    while not condition():
        assert time.perf_counter() < end, "it did not come to pass"
        threading.Event().wait(0.01)


def linear_model(folder: Path, name: str = "linear") -> None:
    """An ONNX model `name`: rows [-1, 4] -> score [-1], their product with FACTORS."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["rows", "factors"], ["score"])],
        name,
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None])],
        [helper.make_tensor("factors", TensorProto.FLOAT, [4], FACTORS)],
    )
    saved(graph, folder, name)


def saved(graph, folder: Path, name: str, **imports: int) -> None:
    """Write a graph into the repository as version 1 of a model."""
    opsets = [helper.make_opsetid(domain.replace("_", "."), each) for domain, each in imports.items()]
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), *opsets], ir_version=8)
    (folder / name / "1").mkdir(parents=True)
    onnx.save(model, folder / name / "1" / "model.onnx")


def python_model(folder: Path, name: str, kind: str, **settings: object) -> str:
    """A model of the class `kind` of `troubled_models`; the option that trusts it."""
    (folder / name).mkdir(parents=True)
    lines = [
        f'class = "troubled_models:{kind}"',
        *(f"{key} = {json.dumps(v)}" for key, v in settings.items()),
    ]
    (folder / name / "model.toml").write_text("\n".join(lines))
    return f"--trust=troubled_models:{kind}"


def rows_body(rows, name: str = "rows") -> dict:
    """The body of an inference request of float rows."""
    rows = np.asarray(rows, np.float32)
    tensor = {"name": name, "shape": list(rows.shape), "datatype": "FP32", "data": rows.ravel().tolist()}
    return {"inputs": [tensor]}


class Beside:
    """A well-behaved client in a thread: asks a linear model again and again, on one connection.

    Every answer must be right, and come within `within` seconds; `check` raises the first that was not.
    """

    def __init__(
        self, address: str, model: str = "linear", within: float = 15.0, pause: float = 0.005
    ) -> None:
        self._address, self._model, self._within, self._pause = address, model, within, pause
        self._stop = threading.Event()
        self._problem: BaseException | None = None
        self.answered, self.slowest = 0, 0.0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Beside:
        self._thread.start()
        until(lambda: self.answered or self._problem)
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        self._thread.join(30)
        if raised[0] is None:
            self.check()

    def check(self) -> None:
        """Fail if an answer was wrong or late so far."""
        if self._problem is not None:
            raise self._problem
        assert self.slowest < self._within, f"an answer took {self.slowest:.3f} s"

    def _run(self) -> None:
        rng = np.random.default_rng(5)
        connection = http.client.HTTPConnection(self._address, timeout=30)
        try:
            while not self._stop.wait(self._pause):
                rows = rng.integers(-8, 8, size=(int(rng.integers(1, 4)), 4))
                began = time.perf_counter()
                connection.request("POST", f"/v2/models/{self._model}/infer", json.dumps(rows_body(rows)))
                answer = connection.getresponse()
                said = json.loads(answer.read())
                self.slowest = max(self.slowest, time.perf_counter() - began)
                assert answer.status == 200, said
                assert said["outputs"][0]["data"] == (rows @ np.array(FACTORS)).tolist()
                self.answered += 1
        except BaseException as problem:
            self._problem = problem
        finally:
            connection.close()
