"""A small engine behind a real gRPC server, on a loop of its own in a thread, and what its tests send."""

import asyncio
import contextlib
import queue
import threading

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import np_to_triton_dtype

from tradewind import clock
from tradewind.serving.calls import (
    Answer,
    DurationStatistic,
    ModelMetadata,
    ModelState,
    ModelStatistics,
    Refusal,
    RefusalKind,
)
from tradewind.serving.server.grpc.server import GrpcLimits, GrpcServer
from tradewind.serving.tensors import Signature, TensorSpec

SERVICE = "/inference.GRPCInferenceService/"

WEIGHTS = np.arange(8, dtype=np.float32).reshape(4, 2)

ROWS = np.array([[1, 2, 3, 4], [0, 0, 0, 1]], np.float32)


class SmallEngine:
    """A product with a matrix, an identity, and models that wait, fail or are busy."""

    def __init__(self):
        self.live = self.ready = True
        self.loaded = {"product", "identity", "slow", "broken", "busy"}
        self.settings = {}
        self.calls = []
        self.cancelled = threading.Event()

    async def infer(self, call):
        self.calls.append(call)
        outputs = dict(call.inputs)
        match call.model:
            case "product":
                if "x" not in call.inputs:
                    raise Refusal(RefusalKind.MALFORMED, "input 'x' is missing")
                outputs = {"y": call.inputs["x"] @ WEIGHTS, "z": np.array([b"a", b"\x00\xff"], object)}
            case "slow":
                try:
                    await asyncio.sleep(float(call.parameters.get("seconds", 30)))
                except asyncio.CancelledError:
                    self.cancelled.set()
                    raise
            case "broken":
                raise ZeroDivisionError("a secret of the model")
            case "busy":
                raise Refusal(RefusalKind.OVERLOADED, "the queue is full", 1.25)
            case "identity":
                pass
            case _:
                raise Refusal(RefusalKind.NOT_FOUND, f"there is no model {call.model!r}")
        if call.outputs:
            outputs = {name: outputs[name] for name in call.outputs}
        return Answer(call.model, call.version or "3", call.id, outputs)

    def _known(self, name):
        if name not in self.loaded:
            raise Refusal(RefusalKind.NOT_FOUND, f"there is no model {name!r}")

    def index(self):
        states = [ModelState(name, "3", "READY") for name in sorted(self.loaded)]
        return (*states, ModelState("old", "", "UNAVAILABLE", "unloaded"))

    def is_ready(self, name, version=""):
        self._known(name)
        return version in ("", "3")

    def metadata(self, name, version=""):
        self._known(name)
        inputs = (TensorSpec("x", "FP32", (-1, 4)),)
        outputs = (TensorSpec("y", "FP32", (-1, 2)), TensorSpec("z", "BYTES", (-1,)))
        return ModelMetadata(name, ("1", "3"), "onnxruntime_onnx", Signature(inputs, outputs), 16)

    async def described(self, name, version=""):
        return self.metadata(name, version)

    def statistics(self, name="", version=""):
        if name:
            self._known(name)
        spent = DurationStatistic(2, 0.25)
        return (
            ModelStatistics(
                name or "product", "3", 1.5, 7, 2, spent, queue=spent, batches={4: DurationStatistic(1, 0.5)}
            ),
        )

    async def load(self, name, settings=None):
        self.loaded.add(name)
        self.settings[name] = settings

    async def unload(self, name):
        self.loaded.discard(name)


class Running:
    """A server on a loop of its own, in a thread."""

    def __init__(self, engine=None, limits=None, host="127.0.0.1", port=0, share_port=False, **options):
        self.engine = engine or SmallEngine()
        self.errors = []
        self._end = None
        self._failure = None
        started = threading.Event()

        async def main():
            self._end = asyncio.Event()
            self.loop = asyncio.get_running_loop()
            try:
                self.server = GrpcServer(
                    self.engine, limits or GrpcLimits(), failed=self.errors.append, **options
                )
                await self.server.start(host, port, share_port=share_port)
                self.port = self.server.port
            except Exception as error:
                self._failure = error
                return
            finally:
                started.set()
            await self._end.wait()
            await self.server.close()

        self._thread = threading.Thread(target=clock.serve, args=(main(),))
        self._thread.start()
        assert started.wait(20)
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def drain(self, grace):
        return asyncio.run_coroutine_threadsafe(self.server.drain(grace), self.loop)

    def stop(self):
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)
        assert not self._thread.is_alive()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"


@contextlib.contextmanager
def running(**options):
    server = Running(**options)
    try:
        yield server
    finally:
        server.stop()


def tensor(name, array):
    found = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    found.set_data_from_numpy(array)
    return found


class Streamed:
    """The callback of a stream: results and errors in the order that they came."""

    def __init__(self):
        self._found = queue.Queue()

    def __call__(self, result, error):
        self._found.put(error if result is None else result)

    def next(self):
        return self._found.get(timeout=20)


def until(holds):
    """Wait until something holds, for twenty seconds at most."""
    for _ in range(4000):
        if holds():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never came to hold")
