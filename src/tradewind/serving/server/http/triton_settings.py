"""What Triton's clients may also ask of a server, answered honestly: log and trace settings, shared memory.

There is nothing of the kind here. A question gets an empty answer, a change gets a refusal that says so, and
to take away what was never there succeeds, as it does with Triton.
"""

from __future__ import annotations

from typing import Any

from msgspec import json

from tradewind.errors import Misuse
from tradewind.serving import tensor_json
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.server.http.messages import Handler, Request, Response
from tradewind.serving.server.http.routes import Routes

_SETTINGS = json.Decoder(dict[str, Any])


def add_routes(routes: Routes) -> None:
    """Add the paths below /v2; errors are in the shape of /v2."""
    for path, what in (
        ("/v2/logging", "log settings"),
        ("/v2/trace/setting", "trace settings"),
        ("/v2/models/{model}/trace/setting", "trace settings"),
    ):
        routes.add("GET", path, _nothing(b"{}"))
        routes.add("POST", path, _no_settings(what))
    for kind, name in (("systemsharedmemory", "system"), ("cudasharedmemory", "CUDA")):
        routes.add("GET", f"/v2/{kind}/status", _nothing(b"[]"))
        routes.add("POST", f"/v2/{kind}/unregister", _nothing(b"{}"))
        routes.add("GET", f"/v2/{kind}/region/{{region}}/status", _no_region(name))
        routes.add("POST", f"/v2/{kind}/region/{{region}}/unregister", _nothing(b"{}"))
        routes.add("POST", f"/v2/{kind}/region/{{region}}/register", _no_memory(name))


def _nothing(body: bytes) -> Handler:
    async def answer(request: Request) -> Response:
        return Response(200, body)

    return answer


def _no_settings(what: str) -> Handler:
    async def answer(request: Request) -> Response:
        try:
            asked = tensor_json.decode(request.body, _SETTINGS) if request.body.strip() else {}
        except Misuse as error:
            raise Refusal(RefusalKind.MALFORMED, str(error)) from None
        if asked:
            raise Refusal(RefusalKind.MALFORMED, f"this server has no {what} that could be changed")
        return Response(200, b"{}")

    return answer


def _no_region(name: str) -> Handler:
    async def answer(request: Request) -> Response:
        region = request.variables["region"]
        raise Refusal(RefusalKind.NOT_FOUND, f"there is no region {region!r} of {name} shared memory")

    return answer


def _no_memory(name: str) -> Handler:
    async def answer(request: Request) -> Response:
        raise Refusal(
            RefusalKind.MALFORMED,
            f"this server reads no {name} shared memory; send tensors with the request, as binary data",
        )

    return answer
