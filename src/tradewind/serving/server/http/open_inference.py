"""The Open Inference Protocol v2 over HTTP: health, metadata, inference, configuration, statistics.

Open Inference Protocol v2, "HTTP/REST"; Triton's extensions for model configuration and statistics. A state
is told by the status: 200 where it is so, 503 where it is not, with the state in the body as well.
"""

from __future__ import annotations

from typing import Any

from msgspec import json

from tradewind import __version__
from tradewind.serving.calls import (
    DurationStatistic,
    Engine,
    ModelMetadata,
    ModelStatistics,
)
from tradewind.serving.server.http import open_inference_bodies as bodies
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.routes import Routes
from tradewind.serving.tensors import TensorSpec

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
)
"""Triton's extensions that are there; `/v2` names them."""


def add_routes(routes: Routes, engine: Engine) -> None:
    """Add the protocol's paths, all below /v2, answered by `engine`."""
    wire = _Wire(engine)
    routes.errors("/v2", error)
    routes.add("GET", "/v2", wire.server)
    routes.add("GET", "/v2/health/live", wire.live)
    routes.add("GET", "/v2/health/ready", wire.ready)
    routes.add("GET", "/v2/models/stats", wire.statistics)
    for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes.add("GET", model, wire.metadata)
        routes.add("GET", f"{model}/ready", wire.model_ready)
        routes.add("POST", f"{model}/infer", wire.infer, over=lambda other: _Wire(other).infer)
        routes.add("GET", f"{model}/config", wire.config)
        routes.add("GET", f"{model}/stats", wire.statistics)


def error(status: int, message: str, request: Request | None = None) -> Response:
    """An error in the protocol's shape."""
    return Response(status, json.encode({"error": message}))


class _Wire:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._server = json.encode(
            {
                "name": "tradewind",
                "version": __version__,
                "extensions": EXTENSIONS,
            }
        )

    async def server(self, request: Request) -> Response:
        return Response(200, self._server)

    async def live(self, request: Request) -> Response:
        return _state({"live": self._engine.live}, self._engine.live)

    async def ready(self, request: Request) -> Response:
        return _state({"ready": self._engine.ready}, self._engine.ready)

    async def model_ready(self, request: Request) -> Response:
        name, version = _asked(request)
        ready = self._engine.is_ready(name, version)
        return _state({"name": name, "ready": ready}, ready)

    async def metadata(self, request: Request) -> Response:
        return Response(200, json.encode(_metadata(self._engine.metadata(*_asked(request)))))

    async def config(self, request: Request) -> Response:
        return Response(200, json.encode(_config(self._engine.metadata(*_asked(request)))))

    async def statistics(self, request: Request) -> Response:
        name, version = _asked(request)
        found = self._engine.statistics(name, version)
        return Response(200, json.encode({"model_stats": [_statistics(model) for model in found]}))

    async def infer(self, request: Request) -> Response:
        name, version = _asked(request)
        raw = await self._only_input(name, version) if request.headers.get(_LENGTH) == "0" else None
        call, wanted = bodies.call_of(request, name, version, raw)
        return bodies.response_of(await self._engine.infer(call), wanted)

    async def _only_input(self, name: str, version: str) -> TensorSpec | None:
        inputs = (await self._engine.described(name, version)).signature.inputs
        return inputs[0] if len(inputs) == 1 else None


_LENGTH = bodies.LENGTH_HEADER.lower()


def _asked(request: Request) -> tuple[str, str]:
    variables = request.variables
    return variables.get("model", ""), variables.get("version", "")


def _state(said: dict[str, Any], holds: bool) -> Response:
    return Response(200 if holds else 503, json.encode(said))


def _metadata(model: ModelMetadata) -> dict[str, Any]:
    return {
        "name": model.name,
        "versions": model.versions,
        "platform": model.platform,
        "inputs": model.signature.inputs,
        "outputs": model.signature.outputs,
    }


def _config(model: ModelMetadata) -> dict[str, Any]:
    """Triton's ModelConfig, as far as it says something here. Its dimensions leave the batch axis out."""
    batched = model.max_batch > 0

    def tensors(specs: tuple[TensorSpec, ...]) -> list[dict[str, Any]]:
        return [
            {
                "name": spec.name,
                "data_type": "TYPE_STRING" if spec.datatype == "BYTES" else f"TYPE_{spec.datatype}",
                "dims": spec.shape[1:] if batched else spec.shape,
            }
            for spec in specs
        ]

    return {
        "name": model.name,
        "platform": model.platform,
        "backend": model.platform.partition("_")[0],
        "version_policy": {"specific": {"versions": [int(v) for v in model.versions if v.isdigit()]}},
        "max_batch_size": model.max_batch,
        "input": tensors(model.signature.inputs),
        "output": tensors(model.signature.outputs),
    }


def _statistics(model: ModelStatistics) -> dict[str, Any]:
    """Triton's statistics of a model: milliseconds for the moment, nanoseconds for durations."""
    return {
        "name": model.name,
        "version": model.version,
        "last_inference": round(model.last_inference * 1e3),
        "inference_count": model.inferences,
        "execution_count": model.executions,
        "inference_stats": {
            "success": _duration(model.success),
            "fail": _duration(model.fail),
            "queue": _duration(model.queue),
            "compute_input": _duration(model.compute_input),
            "compute_infer": _duration(model.compute_infer),
            "compute_output": _duration(model.compute_output),
        },
        "batch_stats": [
            {"batch_size": rows, "compute_infer": _duration(spent)}
            for rows, spent in sorted(model.batches.items())
        ],
    }


def _duration(statistic: DurationStatistic) -> dict[str, int]:
    return {"count": statistic.count, "ns": round(statistic.seconds * 1e9)}
