"""SageMaker's control API over HTTP, as `boto3.client("sagemaker", endpoint_url=...)` speaks it: JSON 1.1.

AWS, "AWS JSON 1.1 protocol": every operation is a POST to `/` whose header `X-Amz-Target` names it, such as
`SageMaker.CreateModel`; an error is told by `__type` and `message`. The region is the one that the caller
signed for. `GET /endpoints` and `GET /endpoints/{name}` tell what SageMaker does not: how far an update is,
the alarms that ring, what a shadow said differently, how many requests were captured.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tradewind.errors import Misuse, Temporary, TradewindError
from tradewind.serving.server.endpoints.control_plane import ControlPlane, Operation
from tradewind.serving.server.endpoints.description import watched
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.routes import Routes, Unanswerable

_PREFIX = "SageMaker."
_TYPE = "application/x-amz-json-1.1"
_REGION = "us-east-1"


def add_routes(routes: Routes, plane: ControlPlane, more: dict[str, Operation] | None = None) -> None:
    """Add the API's one path, with the operations of `more` besides, and the pages of endpoints."""
    operations = {**plane.operations, **(more or {})}

    async def answer(request: Request) -> Response:
        target = request.headers.get("x-amz-target", "")
        if not target.startswith(_PREFIX):
            raise Unanswerable(
                404, "there is nothing at / but SageMaker's API, whose calls name X-Amz-Target"
            )
        operation = operations.get(target.removeprefix(_PREFIX))
        if operation is None:
            return error(400, "UnknownOperationException", f"{target[:100]} is not served here")
        try:
            told = msgspec.json.decode(request.body or b"{}")
        except msgspec.DecodeError as problem:
            return error(400, "SerializationException", f"the body is no JSON: {problem}")
        if not isinstance(told, dict):
            return error(400, "SerializationException", "the body is no object")
        try:
            said = await operation(told, region_of(request))
        except Misuse as problem:
            return error(400, "ValidationException", str(problem))
        except Temporary as problem:
            return error(503, "ServiceUnavailable", str(problem))
        except TradewindError as problem:
            return error(500, "InternalFailure", str(problem))
        return Response(200, msgspec.json.encode(said), _TYPE)

    async def one(request: Request) -> Response:
        live = plane.endpoints.find(request.variables["endpoint"])
        if live is None:
            raise Unanswerable(404, f"there is no endpoint {request.variables['endpoint'][:80]}")
        return Response(200, msgspec.json.encode(watched(live)))

    async def all_(request: Request) -> Response:
        told = {"endpoints": [watched(each) for each in plane.endpoints.all()]}
        return Response(200, msgspec.json.encode(told))

    routes.add("POST", "/", answer, task=True)
    routes.add("GET", "/endpoints", all_)
    routes.add("GET", "/endpoints/{endpoint}", one)


def error(status: int, code: str, message: str) -> Response:
    """An error in the shape of the protocol."""
    said: dict[str, Any] = {"__type": code, "message": message}
    return Response(status, msgspec.json.encode(said), _TYPE, (("x-amzn-ErrorType", code),))


def region_of(request: Request) -> str:
    """The region in the scope of the caller's signature; us-east-1 where nothing was signed."""
    _, found, scope = request.headers.get("authorization", "").partition("Credential=")
    parts = scope.partition(",")[0].split("/") if found else []
    region = parts[-3] if len(parts) >= 5 else _REGION
    return region if region.replace("-", "").isalnum() else _REGION
