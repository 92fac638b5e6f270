"""What `inference.GRPCInferenceService` answers: the Open Inference Protocol and Triton's extensions of it.

Open Inference Protocol v2, "GRPC"; Triton's extensions for model configuration, statistics, model repository,
shared memory, trace and log settings. There are no shared memory, traces and log settings here: a question
after them gets an empty answer, a change is refused as unimplemented, and to take away what was never there
succeeds, as it does with Triton.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import DecodeError, json

from tradewind import clock
from tradewind.errors import TradewindError
from tradewind.serving.calls import DurationStatistic, Engine, ModelStatistics, Refusal, RefusalKind
from tradewind.serving.server.grpc.messages import Messages
from tradewind.serving.server.grpc.tensor_messages import TensorMessages
from tradewind.serving.tensors import TensorSpec

NAME = "inference.GRPCInferenceService"
"""Of the service, in full."""
EXTENSIONS = ("classification", "model_configuration", "model_repository", "parameters", "statistics")
"""Triton's extensions that are there."""

Method = Callable[[Any, float | None], Awaitable[Any]]
"""The response to a request; with it, the seconds that the caller will wait, None if for ever."""


class Unimplemented(TradewindError):
    """What the caller asks for is no part of this server."""


class InferenceService:
    """Answers the service's messages through `engine`. Every method may raise Refusal and Unimplemented."""

    def __init__(self, engine: Engine, messages: Messages) -> None:
        self._engine = engine
        self._messages = messages
        self._tensors = TensorMessages(messages)

    def methods(self) -> dict[str, tuple[Any, Method]]:
        """By the name of each method that answers one request: the request's class, and the method."""
        answered: dict[str, Method] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self.infer,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
            "TraceSetting": self._no_settings("TraceSetting", "trace settings"),
            "LogSettings": self._no_settings("LogSettings", "log settings"),
        }
        for kind, name in (("System", "system"), ("Cuda", "CUDA")):
            answered[f"{kind}SharedMemoryStatus"] = self._no_regions(kind, name)
            answered[f"{kind}SharedMemoryRegister"] = self._no_memory(name)
            answered[f"{kind}SharedMemoryUnregister"] = self._nothing(f"{kind}SharedMemoryUnregister")
        return {
            name: (self._messages[f"inference.{name}Request"], method) for name, method in answered.items()
        }

    async def infer(self, request: Any, left: float | None) -> Any:
        """The ModelInferResponse to a ModelInferRequest whose caller waits `left` seconds."""
        call, wanted = self._tensors.call_of(request, clock.now(), left)
        return self._tensors.response_of(await self._engine.infer(call), wanted)

    def _said(self, name: str, /, **fields: Any) -> Any:
        return self._messages[f"inference.{name}Response"](**fields)

    async def _server_live(self, request: Any, left: float | None) -> Any:
        return self._said("ServerLive", live=self._engine.live)

    async def _server_ready(self, request: Any, left: float | None) -> Any:
        return self._said("ServerReady", ready=self._engine.ready)

    async def _model_ready(self, request: Any, left: float | None) -> Any:
        return self._said("ModelReady", ready=self._engine.is_ready(request.name, request.version))

    async def _server_metadata(self, request: Any, left: float | None) -> Any:
        version = importlib.metadata.version("tradewind")
        return self._said("ServerMetadata", name="tradewind", version=version, extensions=EXTENSIONS)

    async def _model_metadata(self, request: Any, left: float | None) -> Any:
        model = self._engine.metadata(request.name, request.version)
        tensor = self._messages["inference.ModelMetadataResponse.TensorMetadata"]

        def told(specs: tuple[TensorSpec, ...]) -> list[Any]:
            return [tensor(name=spec.name, datatype=spec.datatype, shape=spec.shape) for spec in specs]

        return self._said(
            "ModelMetadata",
            name=model.name,
            versions=model.versions,
            platform=model.platform,
            inputs=told(model.signature.inputs),
            outputs=told(model.signature.outputs),
        )

    async def _model_config(self, request: Any, left: float | None) -> Any:
        """Triton's ModelConfig, as far as it says something here. Its dimensions leave the batch axis out."""
        model = self._engine.metadata(request.name, request.version)
        first = 1 if model.max_batch > 0 else 0

        def told(kind: str, specs: tuple[TensorSpec, ...]) -> list[Any]:
            tensor = self._messages[f"inference.{kind}"]
            return [
                tensor(
                    name=spec.name,
                    data_type="TYPE_STRING" if spec.datatype == "BYTES" else f"TYPE_{spec.datatype}",
                    dims=spec.shape[first:],
                )
                for spec in specs
            ]

        config = self._messages["inference.ModelConfig"](
            name=model.name,
            platform=model.platform,
            backend=model.platform.partition("_")[0],
            max_batch_size=model.max_batch,
            input=told("ModelInput", model.signature.inputs),
            output=told("ModelOutput", model.signature.outputs),
        )
        config.version_policy.specific.versions.extend([int(v) for v in model.versions if v.isdigit()])
        if model.max_batch > 0:
            config.dynamic_batching.SetInParent()
        return self._said("ModelConfig", config=config)

    async def _model_statistics(self, request: Any, left: float | None) -> Any:
        found = self._engine.statistics(request.name, request.version)
        return self._said("ModelStatistics", model_stats=[self._statistics(model) for model in found])

    def _statistics(self, model: ModelStatistics) -> Any:
        spent = self._messages["inference.StatisticDuration"]
        batch = self._messages["inference.InferBatchStatistics"]

        def told(statistic: DurationStatistic) -> Any:
            return spent(count=statistic.count, ns=round(statistic.seconds * 1e9))

        return self._messages["inference.ModelStatistics"](
            name=model.name,
            version=model.version,
            last_inference=round(model.last_inference * 1e3),
            inference_count=model.inferences,
            execution_count=model.executions,
            inference_stats=self._messages["inference.InferStatistics"](
                success=told(model.success),
                fail=told(model.fail),
                queue=told(model.queue),
                compute_input=told(model.compute_input),
                compute_infer=told(model.compute_infer),
                compute_output=told(model.compute_output),
            ),
            batch_stats=[
                batch(batch_size=rows, compute_infer=told(each))
                for rows, each in sorted(model.batches.items())
            ],
        )

    async def _index(self, request: Any, left: float | None) -> Any:
        index = self._messages["inference.RepositoryIndexResponse.ModelIndex"]
        models = [
            index(name=model.name, version=model.version, state=model.state, reason=model.reason)
            for model in self._engine.index()
            if model.state == "READY" or not request.ready
        ]
        return self._said("RepositoryIndex", models=models)

    async def _load(self, request: Any, left: float | None) -> Any:
        settings: dict[str, Any] | None = None
        for name, parameter in request.parameters.items():
            if name.startswith("file:"):
                raise Refusal(
                    RefusalKind.MALFORMED,
                    f"parameters: {name}: no file is taken from the wire; put the model into the repository",
                )
            if name != "config":
                raise Refusal(RefusalKind.MALFORMED, f"parameters: {name!r} is not known; only config is")
            try:
                settings = json.decode(parameter.string_param, type=dict[str, Any])
            except DecodeError as error:  # of what is no JSON, and of JSON that is no object
                raise Refusal(RefusalKind.MALFORMED, f"parameters: config: {error}") from None
        await self._engine.load(request.model_name, settings)
        return self._said("RepositoryModelLoad")

    async def _unload(self, request: Any, left: float | None) -> Any:
        # `unload_dependents` says nothing here, where no model depends on another.
        await self._engine.unload(request.model_name)
        return self._said("RepositoryModelUnload")

    def _no_settings(self, name: str, what: str) -> Method:
        async def answer(request: Any, left: float | None) -> Any:
            if request.settings:
                raise Unimplemented(f"this server has no {what} that could be changed")
            return self._said(name)

        return answer

    def _no_regions(self, kind: str, name: str) -> Method:
        async def answer(request: Any, left: float | None) -> Any:
            if request.name:
                text = f"there is no region {request.name!r} of {name} shared memory"
                raise Refusal(RefusalKind.NOT_FOUND, text)
            return self._said(f"{kind}SharedMemoryStatus")

        return answer

    def _no_memory(self, name: str) -> Method:
        async def answer(request: Any, left: float | None) -> Any:
            raise Unimplemented(f"this server reads no {name} shared memory; send tensors with the request")

        return answer

    def _nothing(self, name: str) -> Method:
        async def answer(request: Any, left: float | None) -> Any:
            return self._said(name)

        return answer
