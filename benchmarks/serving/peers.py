"""The servers that are compared, ours among them: how each is installed, started, asked and understood.

All serve one network of 64 inputs, 64 hidden units and 10 outputs, written as ONNX with a fixed seed, on
onnxruntime with one thread, and each is set as a user would who wants speed from one worker: no batching
(nobody waits for others; ours keeps its own rule), no access log, no log line per request.

A peer has a virtual environment of its own, made of the pinned list beside its handler, and reused.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save
from server_process import CannotStart, ServerProcess, ask, free_port

HERE = Path(__file__).parent / "peer_servers"
VENVS = Path("~/.cache/tradewind-bench").expanduser()
SEED = 7
OURS = "tradewind"
_OPEN_INFERENCE = "/v2/models/mlp/infer"


def write_network(path: Path) -> np.ndarray:
    """Write the network, `x` to `y`; returns the row that is asked for."""
    chance = np.random.default_rng(SEED)
    sizes = {"W1": (64, 64), "b1": (64,), "W2": (64, 10), "b2": (10,)}
    weights = [
        numpy_helper.from_array((chance.normal(size=size) / 8).astype(np.float32), name)
        for name, size in sizes.items()
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "W1", "b1"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Gemm", ["r", "W2", "b2"], ["y"]),
        ],
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 10])],
        weights,
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return chance.normal(size=(1, 64)).astype(np.float32)


@dataclass(frozen=True)
class Server:
    """One way to serve the network. `command` is given the environment's bin folder, model, port, folder."""

    name: str
    label: str
    """With what is set, for the table."""
    command: Callable[[Path, Path, int, Path], list[str]]
    package: str
    """Of its environment, and the name of its list; empty for ours, which runs in this one."""
    ready: str
    infer: str = "/predict"
    environment: Mapping[str, str] | None = None

    @property
    def speaks_open_inference(self) -> bool:
        return self.infer == _OPEN_INFERENCE


def _ours(bin: Path, model: Path, port: int, folder: Path) -> list[str]:
    return [str(bin / "tradewind"), "serve", str(model), "--port", str(port), "--grpc-port", "0", "--json"]


def _mlserver(bin: Path, model: Path, port: int, folder: Path) -> list[str]:
    settings = {
        "debug": False,
        "parallel_workers": 0,
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
    }
    network = {
        "name": "mlp",
        "implementation": "on_mlserver.Network",
        "parameters": {"uri": str(model), "version": "1"},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(network))
    return [str(bin / "mlserver"), "start", str(folder)]


def _script(name: str) -> Callable[[Path, Path, int, Path], list[str]]:
    return lambda bin, model, port, folder: [
        str(bin / "python"),
        str(HERE / name),
        str(model),
        str(port),
        str(folder),
    ]


def _bentoml(bin: Path, model: Path, port: int, folder: Path) -> list[str]:
    return [
        *(str(bin / "bentoml"), "serve", "on_bentoml:Network", "--working-dir", str(HERE)),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]


SERVERS = {
    server.name: server
    for server in (
        Server(OURS, "tradewind serve, as it comes", _ours, "", "/v2/models/mlp/ready", _OPEN_INFERENCE),
        Server(
            "mlserver",
            "MLServer, in-process, ONNX runtime of ours",
            _mlserver,
            "mlserver",
            "/v2/models/mlp/ready",
            _OPEN_INFERENCE,
            {"PYTHONPATH": str(HERE)},
        ),
        Server(
            "litserve", "LitServe, one worker, batching off", _script("on_litserve.py"), "litserve", "/health"
        ),
        Server(
            "kserve",
            "KServe Python, one worker, HTTP only",
            _script("on_kserve.py"),
            "kserve",
            "/v2/models/mlp/ready",
            _OPEN_INFERENCE,
        ),
        Server(
            "bentoml",
            "BentoML, one worker, typed array",
            _bentoml,
            "bentoml",
            "/readyz",
            environment={"BENTOML_DO_NOT_TRACK": "1"},
        ),
        Server(
            "ray",
            "Ray Serve, one replica, no dashboard",
            _script("on_ray.py"),
            "ray",
            "/-/healthz",
            environment={"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_USAGE_STATS_ENABLED": "0"},
        ),
    )
}


def json_request(server: Server, x: np.ndarray) -> bytes:
    """One row in JSON: the Open Inference Protocol's where it is spoken, else {"x": [[...]]}."""
    body: dict[str, object] = {"x": x.tolist()}
    if server.speaks_open_inference:
        body = {"inputs": [{"name": "x", "shape": [1, 64], "datatype": "FP32", "data": x.ravel().tolist()}]}
    return _post(server.infer, {"Content-Type": "application/json"}, json.dumps(body).encode())


def binary_request(server: Server, x: np.ndarray) -> bytes:
    """One row as a binary tensor of the Open Inference Protocol, its answer wanted likewise."""
    head = {
        "inputs": [
            {
                "name": "x",
                "shape": [1, 64],
                "datatype": "FP32",
                "parameters": {"binary_data_size": x.nbytes},
            }
        ],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    }
    text = json.dumps(head).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(text)),
    }
    return _post(server.infer, headers, text + x.tobytes())


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n".encode()


def _post(path: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: */*"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join([*lines, f"Content-Length: {len(body)}"]) + "\r\n\r\n").encode() + body


def values(headers: Mapping[str, str], body: bytes) -> np.ndarray:
    """The ten values of an answer, in whichever of these forms it came."""
    if length := headers.get("Inference-Header-Content-Length"):
        return np.frombuffer(body[int(length) :], np.float32)
    said = json.loads(body)
    if isinstance(said, dict):
        said = said["outputs"][0]["data"] if "outputs" in said else said["y"]
    return np.asarray(said, np.float32).ravel()


class Running:
    """A server that answers, and answers rightly; raises CannotStart where it does not."""

    def __init__(
        self,
        server: Server,
        venvs: Path,
        request: Callable[[Server, np.ndarray], bytes] = json_request,
    ) -> None:
        self.server = server
        self._folder = tempfile.TemporaryDirectory(prefix=f"{server.name}-")
        folder = Path(self._folder.name)
        model = folder / "mlp.onnx"
        x = write_network(model)
        self.request, self.port = request(server, x), free_port()
        bin = venvs / server.package / "bin" if server.package else Path(sys.executable).parent
        environment = {
            **os.environ,
            **{"OMP_NUM_THREADS": "1", "NETWORK": str(model), "TMPDIR": str(folder)},
            **(server.environment or {}),
        }
        command = server.command(bin, model, self.port, folder)
        self.process = ServerProcess(command, folder, environment)
        try:
            self.ready_after = self.process.wait_for(self.port, get(server.ready))
            self.answered_after = self.process.wait_for(self.port, self.request)
            self._check(model, x)
        except BaseException:
            self.stop()
            raise

    def _check(self, model: Path, x: np.ndarray) -> None:
        from onnxruntime import InferenceSession  # noqa: PLC0415

        (truth,) = InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": x})
        status, headers, body = ask(self.port, self.request)
        if status != 200 or not np.allclose(values(headers, body), truth.ravel(), atol=1e-4):
            raise CannotStart(f"answers wrongly: {status} {body[:100]!r}")

    def stop(self) -> None:
        self.process.stop()
        self._folder.cleanup()

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def installed(server: Server, venvs: Path) -> bool:
    """Whether its environment is there, made of the list as it is now."""
    mark = venvs / server.package / "made-of"
    return not server.package or (mark.exists() and mark.read_text() == _digest(server))


def install(server: Server, venvs: Path) -> None:
    """Make its environment; raises CannotStart with pip's last line where that fails."""
    if installed(server, venvs):
        return
    where, listed = venvs / server.package, HERE / f"{server.package}.txt"
    print(f"installing {server.name} into {where}", file=sys.stderr)
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(where)],
        [str(where / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(listed)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CannotStart(f"not installed: {(done.stderr.strip().splitlines() or ['?'])[-1][:160]}")
    (where / "made-of").write_text(_digest(server))


def version_of(server: Server, venvs: Path) -> str:
    python = str(venvs / server.package / "bin" / "python") if server.package else sys.executable
    code = f"import importlib.metadata as m; print(m.version({server.package or OURS!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def _digest(server: Server) -> str:
    return hashlib.sha256((HERE / f"{server.package}.txt").read_bytes()).hexdigest()
