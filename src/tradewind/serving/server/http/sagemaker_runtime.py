"""SageMaker's runtime API, as `boto3.client("sagemaker-runtime", endpoint_url=...)` speaks it.

Amazon SageMaker Runtime API, 2017-05-13: InvokeEndpoint, and InvokeEndpointWithResponseStream, whose answer
comes here in one part. An endpoint is a model of the engine; `X-Amzn-SageMaker-Target-Model` names another
one on the same server, as multi-model endpoints have it. The inference id decides which weighted variant
answers, unless one is asked for. Errors are those of the API, so that botocore raises its own classes:
ValidationError for an endpoint, a variant or a header that is wrong, ModelError for whatever the container
itself would have refused, with the container's status in it, ServiceUnavailable, ThrottlingException and
ModelNotReadyException where it may be tried again. The signature of a request is not verified: there is no
secret key to verify it with.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from msgspec import json

from tradewind.serving.calls import Answer, Engine, Refusal, RefusalKind
from tradewind.serving.server.http import aws_event_stream
from tradewind.serving.server.http.invocations import invoke
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.routes import Routes, Unanswerable
from tradewind.serving.variants.demands import attributes_of

PREFIX = "x-amzn-sagemaker-"
"""Of the headers of the API."""
_REFUSED = {
    "target-container-hostname": "an endpoint here has one container",
    "enable-explanations": "the model has no explainer",
    "inference-component": "an endpoint here has no inference components",
    "session-id": "models here keep nothing between requests",
}
"""Headers that ask for what there is not; the others are read, or cannot change the answer."""
_ATTRIBUTES_AT_MOST = 1024
ASYNC = "/endpoints/{endpoint}/async-invocations"
"""Where calls come that are answered later."""
_ERRORS = {
    429: ("ThrottlingException", 429),
    503: ("ServiceUnavailable", 503),
    401: ("AccessDeniedException", 403),
}


def _same(endpoint: str) -> str:
    return endpoint


def add_routes(routes: Routes, engine: Engine, model_of: Callable[[str], str] = _same) -> None:
    """Add the paths below /endpoints, answered by `engine`.

    `model_of` gives the engine's model behind an endpoint's name, or raises Refusal.
    """
    wire = _Wire(engine, model_of)
    routes.errors("/endpoints", error)
    invocations, stream = (
        "/endpoints/{endpoint}/invocations",
        "/endpoints/{endpoint}/invocations-response-stream",
    )
    routes.add("POST", invocations, wire.invoke, over=lambda other: _Wire(other, model_of).invoke)
    routes.add("POST", stream, wire.stream, over=lambda other: _Wire(other, model_of).stream)


def add_refusal(routes: Routes) -> None:
    """Refuse InvokeEndpointAsync clearly, unless somebody answers it."""

    async def never(request: Request) -> Response:
        return refused_as(
            "ValidationError", 400, "this server has no asynchronous endpoints; use InvokeEndpoint"
        )

    if all(route.template != ASYNC for route in routes.all):
        routes.add("POST", ASYNC, never)


def error(status: int, message: str, request: Request | None = None) -> Response:
    """An error in the API's shape, of the class that botocore knows for the status."""
    code, told = _ERRORS.get(status, ("ValidationError", 400) if status < 500 else ("InternalFailure", 500))
    if status in (404, 405, 413):
        told = status
    return refused_as(code, told, message)


class _Wire:
    def __init__(self, engine: Engine, model_of: Callable[[str], str]) -> None:
        self._engine = engine
        self._model_of = model_of

    async def invoke(self, request: Request) -> Response:
        answered = await self._answer(request)
        if isinstance(answered, Response):
            return answered
        answer, response = answered
        response.headers = (*response.headers, *_told(answer, request))
        return response

    async def stream(self, request: Request) -> Response:
        accept = request.headers.get(f"{PREFIX}accept")
        if accept is not None:
            request.headers["accept"] = accept
        answered = await self._answer(request)
        if isinstance(answered, Response):
            return answered
        answer, response = answered
        pieces = response.body if isinstance(response.body, list) else [response.body]
        part = aws_event_stream.event("PayloadPart", b"".join(pieces))
        type_ = ("X-Amzn-SageMaker-Content-Type", response.type)
        headers = (type_, *response.headers, *_told(answer, request))
        return Response(200, part, "application/vnd.amazon.eventstream", headers)

    async def _answer(self, request: Request) -> tuple[Answer, Response] | Response:
        headers = request.headers
        for name, reason in _REFUSED.items():
            if f"{PREFIX}{name}" in headers:
                return refused_as("ValidationError", 400, f"header X-Amzn-SageMaker-{name.title()}: {reason}")
        target = headers.get(f"{PREFIX}target-model", "")
        try:
            model = self._model_of(request.variables["endpoint"])
            if target:
                model = target.strip("/").removesuffix(".tar.gz")
            return await invoke(
                self._engine,
                request,
                model,
                variant=headers.get(f"{PREFIX}target-variant", ""),
                id=headers.get(f"{PREFIX}inference-id", ""),
                demands=attributes_of(headers.get(f"{PREFIX}custom-attributes", "")),
            )
        except Refusal as refusal:
            return _refused(refusal)


def _told(answer: Answer, request: Request) -> tuple[tuple[str, str], ...]:
    told = [("x-Amzn-Invoked-Production-Variant", answer.variant or "AllTraffic")]
    attributes = request.headers.get(f"{PREFIX}custom-attributes")
    if attributes is not None and len(attributes) <= _ATTRIBUTES_AT_MOST:
        told.append(("X-Amzn-SageMaker-Custom-Attributes", attributes))
    return tuple(told)


def _refused(refusal: Refusal) -> Response:
    """The API's error for a refusal of the engine, or of the container's part of this server."""
    message, kind = str(refusal), refusal.kind
    retry = () if refusal.retry_after is None else (("Retry-After", str(math.ceil(refusal.retry_after))),)
    if isinstance(refusal, Unanswerable):
        return _model_error(refusal.status, message)
    if kind is RefusalKind.NOT_FOUND:
        return refused_as("ValidationError", 400, message)
    if kind is RefusalKind.NOT_READY:
        return refused_as("ServiceUnavailable", 503, message, retry)
    if kind is RefusalKind.OVERLOADED:
        return refused_as("ThrottlingException", 429, message, retry)
    if kind is RefusalKind.NO_ROOM:
        return refused_as("ModelNotReadyException", 429, message, retry)
    return _model_error(kind.http, message)


def _model_error(status: int, message: str) -> Response:
    """What the container refused, with the status and the text of its own."""
    whose = "client" if status < 500 else "server"
    said = {
        "Message": f'Received {whose} error ({status}) from primary with message "{message}"',
        "OriginalStatusCode": status,
        "OriginalMessage": message,
        "LogStreamArn": "",
    }
    return _answer("ModelError", 424, said, ())


def refused_as(code: str, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """An error of the API by its code."""
    return _answer(code, status, {"Message": message, "message": message}, headers)


def _answer(
    code: str, status: int, said: dict[str, object], headers: tuple[tuple[str, str], ...]
) -> Response:
    return Response(
        status, json.encode({"__type": code, **said}), headers=(("x-amzn-ErrorType", code), *headers)
    )
