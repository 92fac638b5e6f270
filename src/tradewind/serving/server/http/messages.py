"""A request and a response in HTTP, as the handlers see them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

Buffer = bytes | bytearray | memoryview


class Request(Struct):
    """One request, whole: its body was read, within the limits, and unpacked where it came compressed."""

    method: str
    path: str
    """Without the query, its percent signs decoded."""
    query: str
    """As it came, without the question mark."""
    headers: dict[str, str]
    """Names in lower case; of a header given twice, both values with a comma between."""
    body: bytes
    arrived: float
    """The moment at which its last byte came (`clock.now()`)."""
    variables: dict[str, str] = {}
    """What stood in the path for the route's {names}."""
    held: int = 0
    """Bytes of body as they came, which the server counts until it has answered."""


class Response(Struct):
    """One response. Its length, the connection's headers and compression are added when it is sent."""

    status: int
    body: bytes | list[Buffer] = b""
    """In pieces where that saves copying tensors."""
    type: str = "application/json"
    """Content-Type; empty for none."""
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Request], Awaitable[Response]]
"""Answers one request. A Refusal that it raises is answered in the shape of the protocol of its path."""
