"""Responses as bytes."""

from __future__ import annotations

from http import HTTPStatus

from tradewind.serving.server.http.compression import chosen, packed
from tradewind.serving.server.http.messages import Buffer, Response

CLOSE = b"Connection: close\r\n"
KEEP_ALIVE = b"Connection: keep-alive\r\n"
"""Said to HTTP/1.0 only, where it is not the rule."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_BODILESS = (204, 304)
_JOINED = 64 * 1024
"""Bytes up to which a response is put together, which is cheaper than to send it in pieces."""
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_openings: dict[tuple[int, str], bytes] = {}
"""Status line and Content-Type of the responses of late."""


def length_of(response: Response) -> int:
    """The bytes of a response's body."""
    if isinstance(response.body, bytes):
        return len(response.body)
    return sum(memoryview(piece).nbytes for piece in response.body)


def is_small(response: Response) -> bool:
    """Whether a response is cheap enough to compress on the event loop."""
    return length_of(response) <= _JOINED


def coding_for(response: Response, accept: str, least: int) -> str:
    """The coding in which to compress a response: empty for none, as where its handler did it already."""
    if not accept or length_of(response) < least or response.status in _BODILESS:
        return ""
    if any(name.lower() == "content-encoding" for name, _ in response.headers):
        return ""
    return chosen(accept)


def compressed(response: Response, coding: str) -> Response:
    """The response with its body compressed; the one given stays as it is, for its handler may keep it."""
    headers = (*response.headers, ("Content-Encoding", coding), ("Vary", "Accept-Encoding"))
    return Response(response.status, packed(response.body, coding), response.type, headers)


def rendered(response: Response, connection: bytes, date: bytes, bodiless: bool) -> list[Buffer]:
    """The bytes to send, in one piece where it is small.

    `connection` and `date` are whole header lines; `bodiless` is for HEAD. Raises ValueError or TypeError
    for a response that cannot be sent, such as one with a line break in a header.
    """
    body, length = response.body, length_of(response)
    opening = _openings.get((response.status, response.type))
    if opening is None:
        opening = _opening(response.status, response.type)
    extra = _lines(response.headers) if response.headers else b""
    if response.status in _BODILESS:
        return [b"%b%b%b%b\r\n" % (opening, date, connection, extra)]
    head = b"%b%b%b%bContent-Length: %d\r\n\r\n" % (opening, date, connection, extra, length)
    if bodiless:
        return [head]
    if length > _JOINED:
        return [head, body] if isinstance(body, bytes) else [head, *_flat(body)]
    return [head + body] if isinstance(body, bytes) else [b"".join([head, *body])]


def _flat(pieces: list[Buffer]) -> list[Buffer]:
    """The pieces as bytes, for a transport may count the elements of a memoryview; TypeError for strides."""
    return [piece if isinstance(piece, bytes) else memoryview(piece).cast("B") for piece in pieces]


def _opening(status: int, content_type: str) -> bytes:
    if not 200 <= status <= 999:
        raise ValueError(f"{status} is no final status")
    opening = f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n".encode()
    if content_type and status not in _BODILESS:
        opening += _lines((("Content-Type", content_type),))
    if len(_openings) >= 256:
        _openings.clear()
    _openings[status, content_type] = opening
    return opening


def _lines(headers: tuple[tuple[str, str], ...]) -> bytes:
    lines = []
    for name, value in headers:
        if not name or any(sign in name for sign in "\r\n:\0 ") or any(sign in value for sign in "\r\n\0"):
            raise ValueError(f"{name!r}: {value!r} is no header")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1", "replace")
