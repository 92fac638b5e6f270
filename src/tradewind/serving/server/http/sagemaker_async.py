"""InvokeEndpointAsync of SageMaker's runtime API: a call is taken, and where its answer will be is told.

Amazon SageMaker Runtime API, 2017-05-13. Content type, Accept, custom attributes and the inference id are
those of the call that is made later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote

from msgspec import json

from tradewind.errors import Misuse, Temporary, TradewindError
from tradewind.serving.calls import Refusal
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.routes import Routes
from tradewind.serving.server.http.sagemaker_runtime import ASYNC, PREFIX, refused_as

_BODY_AT_MOST = 128_000
"""Bytes of an input that comes with the call itself."""


class Kept(Protocol):
    """A call that was taken."""

    @property
    def id(self) -> str:
        """By which callers tell it from others."""
        ...

    @property
    def output(self) -> str:
        """The address of its answer."""
        ...

    @property
    def failure(self) -> str:
        """The address of what is said where there is none."""
        ...


class Taking(Protocol):
    """Whoever keeps calls until they are answered."""

    async def take(
        self, endpoint: str, address: str, body: bytes, headers: Mapping[str, str], *, id: str = "",
        extension: str = "", file: str = "", lifetime: float = 21_600.0, seconds: float = 900.0,
    ) -> Kept:  # fmt: skip
        """Keep a call. Refusal and Misuse where that cannot be."""
        ...


def add_routes(routes: Routes, answers: Taking) -> None:
    """Add the path; calls are taken by `answers`."""

    async def take(request: Request) -> Response:
        said = request.headers
        try:
            lifetime = _seconds(said, "requestttlseconds", 60, 21_600, 21_600)
            seconds = _seconds(said, "invocationtimeoutseconds", 1, 3_600, 900)
            if len(request.body) > _BODY_AT_MOST:
                raise Misuse(f"Body is over {_BODY_AT_MOST} bytes; put it into an object (InputLocation)")
            call = await answers.take(
                request.variables["endpoint"],
                said.get(f"{PREFIX}inputlocation", ""),
                request.body,
                _forwarded(said),
                id=said.get(f"{PREFIX}inference-id", ""),
                extension=said.get(f"{PREFIX}s3outputpathextension", ""),
                file=said.get(f"{PREFIX}filename", ""),
                lifetime=lifetime,
                seconds=seconds,
            )
        except Misuse as problem:
            return refused_as("ValidationError", 400, str(problem))
        except (Refusal, Temporary) as problem:
            return refused_as("ServiceUnavailable", 503, str(problem), (("Retry-After", "5"),))
        except TradewindError as problem:
            return refused_as("InternalFailure", 500, str(problem))
        places = (
            ("X-Amzn-SageMaker-OutputLocation", _line(call.output)),
            ("X-Amzn-SageMaker-FailureLocation", _line(call.failure)),
        )
        return Response(202, json.encode({"InferenceId": call.id}), headers=places)

    routes.add("POST", ASYNC, take, task=True)


def _forwarded(said: dict[str, str]) -> dict[str, str]:
    """The headers of the call that is made later."""
    found = {}
    for name, later in (("content-type", "content-type"), ("accept", "accept")):
        value = said.get(f"{PREFIX}{name}")
        if value is not None:
            found[later] = value
    for name in ("custom-attributes", "inference-id"):
        if f"{PREFIX}{name}" in said:
            found[f"{PREFIX}{name}"] = said[f"{PREFIX}{name}"]
    return found


def _seconds(said: dict[str, str], name: str, least: int, most: int, usual: int) -> int:
    text = said.get(f"{PREFIX}{name}")
    if text is None:
        return usual
    if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= most:
        raise Misuse(f"{text[:20]!r} is not from {least} to {most}", field=name, fix="Give seconds.")
    return int(text)


def _line(text: str) -> str:
    """An address as a header carries it."""
    return quote(text, safe="".join(map(chr, range(0x20, 0x7F))))
