"""KServe's protocol v1, which is TensorFlow Serving's REST API: instances in, predictions out.

KServe, "V1 Inference Protocol"; TensorFlow Serving, "RESTful API", "Predict API". `instances` are rows, and
`predictions` are rows again; `inputs` are whole arrays, answered by `outputs`.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct, json

from tradewind.errors import Misuse
from tradewind.serving import records, tensor_json
from tradewind.serving.calls import Call, Engine, Refusal, RefusalKind
from tradewind.serving.server.http.deadlines import deadline_of
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.routes import Routes, Unanswerable

_NOTHING = Raw(b"")


class _Body(Struct):
    instances: Raw = _NOTHING
    inputs: Raw = _NOTHING
    parameters: dict[str, Any] = {}
    signature_name: str = ""


_DECODER = json.Decoder(_Body)


def add_routes(routes: Routes, engine: Engine) -> None:
    """Add the protocol's paths, all below /v1/models, answered by `engine`."""
    wire = _Wire(engine)
    routes.errors("/v1/models", error)
    routes.add("GET", "/v1/models", wire.models)
    routes.add("GET", "/v1/models/{model}", wire.model)
    routes.add("POST", "/v1/models/{model}", wire.ask, over=lambda other: _Wire(other).ask)


def error(status: int, message: str, request: Request | None = None) -> Response:
    """An error in the protocol's shape."""
    return Response(status, json.encode({"error": message}))


class _Wire:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def models(self, request: Request) -> Response:
        names = sorted({model.name for model in self._engine.index() if model.state == "READY"})
        return Response(200, json.encode({"models": names}))

    async def model(self, request: Request) -> Response:
        name = request.variables["model"]
        ready = self._engine.is_ready(name)
        return Response(200 if ready else 503, json.encode({"name": name, "ready": ready}))

    async def ask(self, request: Request) -> Response:
        """`/v1/models/{model}:predict`: the verb is the tail of the last segment."""
        name, colon, verb = request.variables["model"].rpartition(":")
        if not colon:
            raise Unanswerable(
                405, f"{request.path} takes GET; ask {request.path}:predict", (("Allow", "GET, HEAD"),)
            )
        if verb == "predict":
            return await self._predict(request, name)
        metadata = await self._engine.described(name)
        if verb == "explain":
            raise Unanswerable(501, f"model {metadata.name!r} has no explainer; ask for predict")
        raise Unanswerable(404, f"there is no {verb!r} of a model; there is predict")

    async def _predict(self, request: Request, name: str) -> Response:
        signature = (await self._engine.described(name)).signature
        try:
            body: _Body = tensor_json.decode(request.body, _DECODER)
            by_row = bool(body.instances)
            if by_row == bool(body.inputs):
                raise Misuse("give either instances or inputs")
            if by_row:
                inputs = records.inputs_of_instances(body.instances, signature)
            else:
                inputs = records.inputs_of_columns(body.inputs, signature)
        except Misuse as error_found:
            raise Refusal(RefusalKind.MALFORMED, str(error_found)) from None
        call = Call(name, inputs, deadline=deadline_of(request), parameters=body.parameters)
        answer = await self._engine.infer(call)
        try:
            if by_row:
                return Response(
                    200, tensor_json.encode({"predictions": records.predictions_of(answer.outputs)})
                )
            return Response(200, tensor_json.encode({"outputs": records.columns_of(answer.outputs)}))
        except Misuse as error_found:
            raise Refusal(RefusalKind.MALFORMED, str(error_found)) from None
