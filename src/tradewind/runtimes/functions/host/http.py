"""HTTP/1.1 as API clients speak it: requests with a length, answered in turn, connections kept."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.parse
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from msgspec import Struct

_HEADERS = 64 << 10
_PATIENCE = 75.0
"""Seconds that a connection may be idle, or a request take to come in."""


class Request(Struct, frozen=True):
    """One request, whole."""

    method: str
    path: str
    """As it came, without the query: a name in it may hold an escaped slash or colon."""
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


class Response(Struct, frozen=True):
    """One response; its length is added."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = {}
    type: str = "application/json"


class _Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


Answer = Callable[[Request], Awaitable[Response]]


async def listen(host: str, port: int, answer: Answer, largest: int) -> asyncio.Server:
    """Serve `answer` on an address; a request's body is at most `largest` bytes long."""

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _served(reader, writer, answer, largest)
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await writer.wait_closed()

    return await asyncio.start_server(met, host, port, limit=_HEADERS)


async def _served(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer, largest: int
) -> None:
    while True:
        try:
            async with asyncio.timeout(_PATIENCE):
                request, keep = await _read(reader, writer, largest)
        except _Refused as refused:
            writer.write(_bytes(Response(refused.status), keep=False))
            await writer.drain()
            return
        response = await answer(request)
        writer.write(_bytes(response, keep))
        await writer.drain()
        if not keep:
            return


async def _read(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, largest: int
) -> tuple[Request, bool]:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.LimitOverrunError:
        raise _Refused(431) from None
    first, *lines = head[:-4].split("\r\n")
    headers: dict[str, str] = {}
    for each in lines:
        name, colon, value = each.partition(":")
        if not colon or not name or name != name.strip():
            raise _Refused(400)
        if name.lower() in headers and name.lower() == "content-length":
            raise _Refused(400)
        headers[name.lower()] = value.strip()
    try:
        method, target, version = first.split(" ")
    except ValueError:
        raise _Refused(400) from None
    if version not in ("HTTP/1.1", "HTTP/1.0") or "transfer-encoding" in headers:
        raise _Refused(411 if "transfer-encoding" in headers else 505)
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise _Refused(400)
    if int(length) > largest:
        raise _Refused(413)
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = await reader.readexactly(int(length))
    path, _, query = target.partition("?")
    told = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return Request(method, path, told, headers, body), keep


def _bytes(response: Response, keep: bool) -> bytes:
    reason = HTTPStatus(response.status).phrase
    headers = dict(response.headers)
    if response.status != 204:
        headers |= {"Content-Type": response.type, "Content-Length": str(len(response.body))}
    if not keep:
        headers["Connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {response.status} {reason}\r\n{lines}\r\n".encode("latin-1") + response.body
