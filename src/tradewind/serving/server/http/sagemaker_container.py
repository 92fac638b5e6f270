"""SageMaker's contract with a container, and MLflow's scoring server on the same paths.

SageMaker, "Use Your Own Inference Code with Hosting Services" (`/ping`, `/invocations`) and "Custom
Containers Contract for Multi-Model Endpoints" (`/models` and below); MLflow adds `/version` and `/health`.
Errors are in MLflow's shape, which SageMaker hands on to the caller as it is.
"""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import parse_qs

from msgspec import Struct, json

from tradewind import __version__
from tradewind.errors import Misuse, TradewindError
from tradewind.serving import tensor_json
from tradewind.serving.calls import Engine, Refusal, RefusalKind
from tradewind.serving.server.http.invocations import invoke
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.routes import Routes, Unanswerable

_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "METHOD_NOT_ALLOWED",
    406: "NOT_ACCEPTABLE",
    408: "REQUEST_TIMEOUT",
    409: "RESOURCE_ALREADY_EXISTS",
    413: "REQUEST_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "REQUEST_LIMIT_EXCEEDED",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    507: "INSUFFICIENT_STORAGE",
}
_PATHS = ("/ping", "/health", "/version", "/invocations", "/models")


class _Load(Struct):
    model_name: str
    url: str


_LOAD = json.Decoder(_Load)


_PAGE, _LARGEST_PAGE = 100, 1000
"""Models that are listed at once, where nobody said, and at most."""


class Folders(Protocol):
    """Makes models of folders known to the engine, such as `admission.Admission`."""

    def add(self, name: str, url: str) -> None:
        """Make the model in the folder at `url` known; Refusal where it may not be, or is none."""
        ...

    def remove(self, name: str) -> None:
        """Forget it; silent for one that did not come this way."""
        ...


def add_routes(routes: Routes, engine: Engine, folders: Folders | None = None) -> None:
    """Add `/ping`, `/health`, `/version`, `/invocations` and multi-model `/models`, answered by `engine`.

    `folders` makes each model that is to be loaded known by its `url`, the folder that its archive was
    unpacked to. Without it a model is looked for in the repository under its name, and `url` is only told
    back.
    """
    wire = _Wire(engine, folders)
    for prefix in _PATHS:
        routes.errors(prefix, error)
    routes.add("GET", "/ping", wire.ping)
    routes.add("GET", "/health", wire.ping)
    routes.add("GET", "/version", wire.version)
    routes.add("POST", "/invocations", wire.invocations, over=lambda other: _Wire(other, None).invocations)
    routes.add("GET", "/models", wire.models)
    routes.add("POST", "/models", wire.load)
    routes.add("GET", "/models/{model}", wire.model)
    routes.add("DELETE", "/models/{model}", wire.unload)
    routes.add("POST", "/models/{model}/invoke", wire.invoke, over=lambda other: _Wire(other, None).invoke)


def error(status: int, message: str, request: Request | None = None) -> Response:
    """An error in MLflow's shape."""
    return Response(
        status, json.encode({"error_code": _CODES.get(status, "INTERNAL_ERROR"), "message": message})
    )


class _Wire:
    def __init__(self, engine: Engine, folders: Folders | None) -> None:
        self._engine, self._folders = engine, folders
        self._urls: dict[str, str] = {}
        self._loading: set[str] = set()

    async def ping(self, request: Request) -> Response:
        ready = self._engine.live and self._engine.ready
        return Response(200 if ready else 503, b"", "")

    async def version(self, request: Request) -> Response:
        return Response(200, __version__.encode(), "text/plain")

    async def invocations(self, request: Request) -> Response:
        _, response = await invoke(self._engine, request, self._engine.default_model())
        return response

    async def invoke(self, request: Request) -> Response:
        _, response = await invoke(self._engine, request, request.variables["model"])
        return response

    async def load(self, request: Request) -> Response:
        try:
            asked: _Load = tensor_json.decode(request.body, _LOAD)
        except Misuse as error_found:
            raise Refusal(RefusalKind.MALFORMED, str(error_found)) from None
        name = asked.model_name
        if name in self._loading or self._is_loaded(name):
            raise Unanswerable(409, f"model {name!r} is already loaded")
        self._loading.add(name)
        try:
            if self._folders is None:
                await self._engine.load(name)
            else:
                await self._load_from(self._folders, name, asked.url)
        finally:
            self._loading.discard(name)
        self._urls[name] = asked.url
        return Response(200, b"{}")

    async def _load_from(self, folders: Folders, name: str, url: str) -> None:
        folders.add(name, url)
        try:
            await self._engine.load(name)
        except TradewindError:
            folders.remove(name)
            raise

    async def unload(self, request: Request) -> Response:
        name = request.variables["model"]
        if not self._is_loaded(name):
            raise Refusal(RefusalKind.NOT_FOUND, f"model {name!r} is not loaded")
        await self._engine.unload(name)
        self._urls.pop(name, None)
        if self._folders is not None:
            self._folders.remove(name)
        return Response(200, b"{}")

    async def models(self, request: Request) -> Response:
        """The models that are loaded, in pages of `limit`; `next_page_token` is the last name seen."""
        asked = parse_qs(request.query)
        count = asked.get("limit", [str(_PAGE)])[0]
        if not (count.isascii() and count.isdigit() and 1 <= int(count[:9]) <= _LARGEST_PAGE):
            raise Refusal(RefusalKind.MALFORMED, f"limit: give a number from 1 to {_LARGEST_PAGE}")
        after = asked.get("next_page_token", [""])[0]
        loaded = sorted({model.name for model in self._engine.index() if model.state == "READY"})
        left = [name for name in loaded if name > after]
        page = left[: int(count)]
        said: dict[str, Any] = {"models": [self._told(name) for name in page]}
        if len(left) > len(page):
            said["nextPageToken"] = page[-1]
        return Response(200, json.encode(said))

    async def model(self, request: Request) -> Response:
        name = request.variables["model"]
        if not self._is_loaded(name):
            raise Refusal(RefusalKind.NOT_FOUND, f"model {name!r} is not loaded")
        return Response(200, json.encode(self._told(name)))

    def _is_loaded(self, name: str) -> bool:
        return any(model.name == name and model.state == "READY" for model in self._engine.index())

    def _told(self, name: str) -> dict[str, Any]:
        return {"modelName": name, "modelUrl": self._urls.get(name, "")}
