"""A server of a test on a loopback port, and a client that sends bytes as they are."""

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from typing import NamedTuple

from tradewind.serving.server.http.limits import Limits
from tradewind.serving.server.http.listener import HttpServer
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.routes import Routes


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """A connection of the test's own."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def send(self, *parts: bytes) -> None:
        if not self.writer.transport.is_closing():
            self.writer.writelines(parts)

    async def reply(self, bodiless: bool = False) -> Reply:
        """The next response; IncompleteReadError where the server closed instead."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version == "HTTP/1.1"
        pairs = [line.split(": ", 1) for line in lines]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs), head
        length = 0 if bodiless else int(headers.get("content-length", 0))
        return Reply(int(status), headers, await asyncio.wait_for(self.reader.readexactly(length), 10))

    async def ask(self, *parts: bytes) -> Reply:
        self.send(*parts)
        return await self.reply()

    async def is_closed(self) -> bool:
        """Whether the server ends the connection, with nothing further said."""
        try:
            return await asyncio.wait_for(self.reader.read(1), 10) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Leave with a reset, as a process does that is killed with answers unread."""
        opened = self.writer.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


_opened: list[Client] = []


async def client_of(server: HttpServer) -> Client:
    """A new client of a server; `served` closes it."""
    client = Client(*await asyncio.open_connection("127.0.0.1", server.port))
    _opened.append(client)
    return client


async def leave() -> None:
    """Close every client, and see it closed."""
    for client in _opened:
        client.close()
    await asyncio.gather(*(client.writer.wait_closed() for client in _opened), return_exceptions=True)
    _opened.clear()


def post(path: str, body: bytes = b"", *headers: str, version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: test", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def get(path: str, *headers: str, version: str = "1.1", method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: test", *headers, "", ""]).encode()


async def echo(request: Request) -> Response:
    """What came, with its path and variables in headers."""
    told = (("X-Path", request.path), ("X-Query", request.query))
    return Response(200, request.body, "application/octet-stream", told)


def echoing(*others: tuple) -> Routes:
    """Routes with an echo at /echo and /v2/{name}, and the others given."""
    routes = Routes()
    for method in ("GET", "POST"):
        routes.add(method, "/echo", echo)
    routes.add("POST", "/v2/{name}", echo)
    for method, template, handler in others:
        routes.add(method, template, handler)
    return routes


@asynccontextmanager
async def served(routes: Routes | None = None, limits: Limits | None = None, **settings):
    """A started server and a client of it; afterwards, nothing may be left in flight."""
    server = HttpServer(routes or echoing(), limits, **settings)
    await server.start()
    client = await client_of(server)
    try:
        yield server, client
    finally:
        await leave()
        await server.close()
    assert server.in_flight == 0
    assert server._house is None or server._house.held == 0
    assert server.connections == 0


async def until(condition, seconds: float = 5.0) -> None:
    """Wait until something is so; fails after a while."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
