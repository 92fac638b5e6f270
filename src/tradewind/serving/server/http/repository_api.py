"""Triton's model repository extension over HTTP: which models there are, loading and unloading them.

Bodies may be empty. A model's files are never taken from the wire: it is loaded from the repository only.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, json

from tradewind.errors import Misuse
from tradewind.serving import tensor_json
from tradewind.serving.calls import Engine, Refusal, RefusalKind
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.routes import Routes


class _Index(Struct):
    ready: bool = False


class _Change(Struct):
    parameters: dict[str, Any] = {}


_INDEX = json.Decoder(_Index)
_CHANGE = json.Decoder(_Change)
_CONFIG = json.Decoder(dict[str, Any])


def add_routes(routes: Routes, engine: Engine) -> None:
    """Add the paths below /v2/repository, answered by `engine`; errors are in the shape of /v2."""
    wire = _Wire(engine)
    routes.add("POST", "/v2/repository/index", wire.index)
    routes.add("POST", "/v2/repository/models/{model}/load", wire.load)
    routes.add("POST", "/v2/repository/models/{model}/unload", wire.unload)


class _Wire:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def index(self, request: Request) -> Response:
        only_ready = _read(request, _INDEX, _Index()).ready
        found = [model for model in self._engine.index() if model.state == "READY" or not only_ready]
        return Response(200, json.encode(found))

    async def load(self, request: Request) -> Response:
        parameters = _read(request, _CHANGE, _Change()).parameters
        for name in parameters:
            if name.startswith("file:"):
                raise Refusal(
                    RefusalKind.MALFORMED,
                    f"parameters: {name}: no files are taken from the wire; put them into the repository",
                )
            if name != "config":
                raise Refusal(RefusalKind.MALFORMED, f"parameters: {name!r} is not known; only config is")
        settings: dict[str, Any] | None = None
        if "config" in parameters:
            settings = _config(parameters["config"])
        await self._engine.load(request.variables["model"], settings)
        return Response(200, b"{}")

    async def unload(self, request: Request) -> Response:
        # `unload_dependents` says nothing here, where no model depends on another.
        _read(request, _CHANGE, _Change())
        await self._engine.unload(request.variables["model"])
        return Response(200, b"{}")


def _config(config: Any) -> dict[str, Any]:
    """The settings in a configuration, which Triton's clients send as a text of JSON."""
    if isinstance(config, dict):
        return config
    if not isinstance(config, str):
        raise Refusal(RefusalKind.MALFORMED, "parameters: config: give a text of JSON")
    try:
        return tensor_json.decode(config.encode(), _CONFIG)  # type: ignore[no-any-return]
    except Misuse as error:
        raise Refusal(RefusalKind.MALFORMED, f"parameters: config: {error}") from None


def _read(request: Request, decoder: json.Decoder[Any], empty: Any) -> Any:
    if not request.body.strip():
        return empty
    try:
        return tensor_json.decode(request.body, decoder)
    except Misuse as error:
        raise Refusal(RefusalKind.MALFORMED, str(error)) from None
