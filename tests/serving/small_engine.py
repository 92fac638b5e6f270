"""An engine of small NumPy models, for tests of wires: it answers, and refuses, as the protocol says."""

from __future__ import annotations

from typing import Any

import numpy as np

from tradewind.serving.calls import (
    Answer,
    Call,
    DurationStatistic,
    ModelMetadata,
    ModelState,
    ModelStatistics,
    Refusal,
    RefusalKind,
)
from tradewind.serving.tensors import DTYPES, Signature, TensorSpec, datatype_of

WEIGHTS = np.random.default_rng(7).integers(-3, 4, size=(64, 10)).astype(np.float32)


def made_rows(count: int) -> Any:
    """Rows for the linear model, in eighths: their products are exact in float32, in whatever order."""
    return (np.random.default_rng(3).integers(-40, 40, size=(count, 64)) / 8).astype(np.float32)


def _scores(inputs):
    return {"scores": inputs["rows"] @ WEIGHTS}


def _labelled(inputs):
    scores = inputs["rows"] @ WEIGHTS
    labels = np.empty(len(scores), object)
    labels[:] = [f"class {index}".encode() for index in scores.argmax(axis=1)]
    return {"label": labels, "scores": scores}


def _columns(inputs):
    return {"sum": inputs["height"] + inputs["count"].astype(np.float64)}


def _same(inputs):
    return {name.replace("in_", "out_"): array for name, array in inputs.items()}


def _strange(inputs):
    given = inputs["rows"]
    return {"out": np.array([[np.nan, np.inf, -np.inf, 1.5]], np.float32).repeat(len(given), axis=0)}


def _failing(inputs):
    raise Refusal(RefusalKind.FAILED, "the model raised ValueError: odd rows")


def _busy(inputs):
    raise Refusal(RefusalKind.OVERLOADED, "the queue is full", retry_after=1.2)


def _down(inputs):
    raise Refusal(RefusalKind.NOT_READY, "no replica is up", retry_after=0.2)


def _full(inputs):
    raise Refusal(RefusalKind.NO_ROOM, "the model does not fit")


_ROWS = TensorSpec("rows", "FP32", (-1, 64))
_SCORES = TensorSpec("scores", "FP32", (-1, 10))
_LINEAR = Signature((_ROWS,), (_SCORES,))
MODELS: dict[str, tuple[Signature, Any]] = {
    "linear": (_LINEAR, _scores),
    "labelled": (Signature((_ROWS,), (TensorSpec("label", "BYTES", (-1,)), _SCORES)), _labelled),
    "columns": (
        Signature(
            (TensorSpec("height", "FP64", (-1,)), TensorSpec("count", "INT64", (-1,))),
            (TensorSpec("sum", "FP64", (-1,)),),
        ),
        _columns,
    ),
    "strange": (
        Signature((TensorSpec("rows", "FP32", (-1, 1)),), (TensorSpec("out", "FP32", (-1, 4)),)),
        _strange,
    ),
    "failing": (_LINEAR, _failing),
    "busy": (_LINEAR, _busy),
    "down": (_LINEAR, _down),
    "full": (_LINEAR, _full),
    "texts": (
        Signature((TensorSpec("in_text", "BYTES", (-1,)),), (TensorSpec("out_text", "BYTES", (-1,)),)),
        _same,
    ),
    **{
        f"same_{datatype}": (
            Signature(
                (TensorSpec("in_it", datatype, (-1, -1)),), (TensorSpec("out_it", datatype, (-1, -1)),), False
            ),
            _same,
        )
        for datatype in DTYPES
    },
}


class SmallEngine:
    """The engine; `calls` holds those that came, `loads` what was asked to be loaded."""

    def __init__(self, only: tuple[str, ...] = ()) -> None:
        self.models = {name: model for name, model in MODELS.items() if not only or name in only}
        self.state = dict.fromkeys(self.models, "READY")
        self.calls: list[Call] = []
        self.loads: list[tuple[str, Any]] = []
        self.live = self.ready = True

    async def infer(self, call: Call) -> Answer:
        self.calls.append(call)
        signature, run = self._model(call.model, call.version)
        if call.variant not in ("", "blue", "green"):
            raise Refusal(RefusalKind.NOT_FOUND, f"variant {call.variant!r} not found")
        given = {name: (datatype_of(array), array.shape) for name, array in call.inputs.items()}
        for spec in signature.inputs:
            datatype, shape = given.pop(spec.name, ("nothing", ()))
            fits = len(shape) == len(spec.shape) and all(
                wanted in (-1, length) for wanted, length in zip(spec.shape, shape, strict=True)
            )
            if datatype != spec.datatype or not fits:
                takes, got = f"{spec.datatype} {list(spec.shape)}", f"{datatype} {list(shape)}"
                raise Refusal(RefusalKind.MALFORMED, f"input {spec.name!r} takes {takes}, got {got}")
        if given:
            raise Refusal(RefusalKind.MALFORMED, f"the model takes no input {next(iter(given))!r}")
        with np.errstate(all="ignore"):
            outputs = run(call.inputs)
        for name in call.outputs:
            if name not in outputs:
                raise Refusal(RefusalKind.MALFORMED, f"the model gives no output {name!r}")
        outputs = {name: outputs[name] for name in call.outputs or outputs}
        return Answer(call.model, call.version or "2", call.id, outputs, call.variant or "blue")

    def _model(self, name: str, version: str = "") -> tuple[Signature, Any]:
        if name not in self.models or version not in ("", "1", "2"):
            raise Refusal(RefusalKind.NOT_FOUND, f"there is no model {name!r} of version {version!r}")
        if self.state[name] != "READY":
            raise Refusal(RefusalKind.NOT_READY, f"model {name!r} is not loaded")
        return self.models[name]

    def default_model(self) -> str:
        if len(self.models) != 1:
            raise Refusal(RefusalKind.NOT_FOUND, "there are several models")
        return next(iter(self.models))

    def index(self) -> tuple[ModelState, ...]:
        return tuple(ModelState(name, "2", state) for name, state in self.state.items())

    def is_ready(self, name: str, version: str = "") -> bool:
        if name not in self.models or version not in ("", "1", "2"):
            raise Refusal(RefusalKind.NOT_FOUND, f"there is no model {name!r}")
        return self.state[name] == "READY"

    def metadata(self, name: str, version: str = "") -> ModelMetadata:
        signature, _ = self._model(name, version)
        return ModelMetadata(name, ("1", "2"), "onnxruntime_onnx", signature, 64 if signature.batched else 0)

    async def described(self, name: str, version: str = "") -> ModelMetadata:
        return self.metadata(name, version)

    def statistics(self, name: str = "", version: str = "") -> tuple[ModelStatistics, ...]:
        names = [name] if name else list(self.models)
        for each in names:
            self._model(each, version)
        return tuple(
            ModelStatistics(
                each,
                "2",
                last_inference=1.5,
                inferences=3,
                executions=2,
                success=DurationStatistic(2, 0.25),
                batches={2: DurationStatistic(1, 0.5), 1: DurationStatistic(1, 0.125)},
            )
            for each in names
        )

    async def load(self, name: str, settings: dict[str, Any] | None = None) -> None:
        self.loads.append((name, settings))
        if name == "too_large":
            raise Refusal(RefusalKind.NO_ROOM, "the model does not fit")
        if name not in self.models:
            raise Refusal(RefusalKind.NOT_FOUND, f"there is no model {name!r}")
        self.state[name] = "READY"

    async def unload(self, name: str) -> None:
        if name not in self.models:
            raise Refusal(RefusalKind.NOT_FOUND, f"there is no model {name!r}")
        self.state[name] = "UNAVAILABLE"
