"""The server: a listening socket, its connections, and how it stops without failing anybody.

How one process takes a port over from another: it is given the listening socket itself (`start_on`), or
a copy of it. Both accept from one queue then, and what the old process leaves in it when it drains the new
one takes. Two sockets on one port (SO_REUSEPORT) have a queue each, and what the kernel puts into the old
one's between its last look and its closing is reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import resource
import socket
import stat
from collections.abc import Callable
from email.utils import formatdate
from ssl import SSLContext
from typing import Any

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.serving.server.http.authentication import check_exposure
from tradewind.serving.server.http.backlog import Backlog
from tradewind.serving.server.http.connection import Connection, parser_module
from tradewind.serving.server.http.household import Household, OnError, log_error
from tradewind.serving.server.http.large_bodies import LargeBodies
from tradewind.serving.server.http.limits import Limits
from tradewind.serving.server.http.routes import Routes

_BACKLOG = 2048
_FILES_ELSE = 128
"""Files that the process opens for other things than connections."""
_BEGUN_BY = 0.75
"""The share of the time promised by which a request must be begun: what it takes itself, and what it lies in
the socket and its answer on the way, has the rest."""
_STEP = 0.01
"""Seconds between two looks while draining."""


class HttpServer:
    """Serves routes over HTTP/1.1, on one event loop that `tradewind.clock` runs.

    `token`, if given, is asked for on every path but `open_paths` (decoded, exact: the health checks).
    `guarded` says that others keep strangers away, as a container's platform does: no token is wanted then.
    `on_error` is told of every exception that a handler ought not to have raised; by default it is logged.
    `on_turned_away` is told of every request that was refused as stale (`Limits.stale_seconds`).
    `large` makes, when the server starts, what answers requests with large bodies beside the event loop.
    Misuse: a server that other machines can reach without a token, at `start`.
    """

    def __init__(
        self,
        routes: Routes,
        limits: Limits | None = None,
        *,
        token: str | None = None,
        open_paths: frozenset[str] = frozenset(),
        guarded: bool = False,
        tls: SSLContext | None = None,
        on_error: OnError = log_error,
        large: Callable[[], LargeBodies] | None = None,
        on_turned_away: Callable[[], None] | None = None,
    ) -> None:
        self._guarded = guarded
        self._routes, self._limits = routes, limits or Limits()
        self._token, self._open_paths, self._on_error = token, open_paths, on_error
        self._tls, self._large, self._on_turned_away = tls, large, on_turned_away
        self._house: Household | None = None
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._path, self._port = "", 0

    @property
    def port(self) -> int:
        """The port that it listens on; 0 for a path or before it is started."""
        return self._port

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self._house.clients) if self._house else 0

    @property
    def in_flight(self) -> int:
        """Requests whose handlers have begun and whose answers are not yet written."""
        return self._house.in_flight if self._house else 0

    @property
    def answered(self) -> dict[int, int]:
        """How many answers were given since the start, by status."""
        return dict(self._house.answered) if self._house else {}

    @property
    def draining(self) -> bool:
        """Whether it was told to stop."""
        return self._house is not None and self._house.draining

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen on an address; port 0 takes a free one. Misuse where it is taken, or open with no token."""
        if not self._guarded:
            check_exposure(host, self._token)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            listening = _bound(found[0][0], found[0][4])
        except OSError as error:
            fix = "Give another host or port."
            raise Misuse(f"cannot listen there: {error}", source=f"{host}:{port}", fix=fix) from error
        try:
            await self.start_on(listening)
        except BaseException:
            listening.close()
            raise

    async def start_unix(self, path: str) -> None:
        """Listen on a Unix socket, in place of one that a dead server left there."""
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.stat(path).st_mode):
                raise Misuse("is there, and no socket", source=path, fix="Give another path.")
            os.unlink(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(path)
        self._path = path
        await self.start_on(listening)

    async def start_on(self, listening: socket.socket) -> None:
        """Listen on a bound stream socket, which is the server's from now on."""
        if self._socket is not None:
            raise Misuse("is started already", field="HttpServer", fix="Make another one.")
        if listening.family != socket.AF_UNIX:
            host, self._port = listening.getsockname()[:2]
            if not self._guarded:
                check_exposure(host, self._token)
        listening.setblocking(False)
        house = self._house = Household(
            self._routes,
            self._limits,
            parser_module(),
            token=self._token,
            open_paths=self._open_paths,
            on_error=self._on_error,
        )
        house.large = self._large() if self._large else None
        if self._limits.stale_seconds < math.inf:
            house.on_turned_away = self._on_turned_away or house.on_turned_away
            house.backlog = Backlog(house.loop, _BEGUN_BY * self._limits.stale_seconds)
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files != resource.RLIM_INFINITY:
            house.most_clients = min(self._limits.connections, max(files - _FILES_ELSE, files // 2))
        # The loop closes the socket that it is given as soon as it shall accept no more, and the kernel then
        # resets whoever waits in the queue. It gets a copy; the queue lives until ours is closed.
        seconds = self._limits.header_seconds if self._tls else None
        self._server = await house.loop.create_server(
            lambda: Connection(house),
            sock=listening.dup(),
            backlog=_BACKLOG,
            ssl=self._tls,
            ssl_handshake_timeout=seconds,
        )
        self._socket = listening
        self._look()

    async def drain(self, grace: float, idle_grace: float = 1.0) -> bool:
        """Stop without failing a request; whether that came to its end within `grace` seconds.

        Whoever waits to be accepted is accepted, and then nobody. Every answer tells its client to close.
        Connections between two requests stay open for `idle_grace` seconds, so that what is on its way is
        still answered. What is not done when `grace` is over is cut.
        """
        house = self._house
        if house is None:
            return True
        began = clock.now()
        house.draining = True
        house.idle_seconds = min(idle_grace, grace)
        for client in house.clients:
            if client.idle:
                client.read_by = min(client.read_by, began + house.idle_seconds)
        await self._accept_last()
        while (house.clients or house.ending) and clock.now() < began + grace:
            await asyncio.sleep(_STEP)
            self._expire()
        done = not house.clients and not house.in_flight
        await self.close()
        return done

    async def close(self) -> None:
        """Stop at once: every connection is cut, every handler cancelled."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._stop_listening()
        house = self._house
        if house is None:
            return
        for client in list(house.clients):
            client.abort()
        while house.clients:
            await asyncio.sleep(0)
        if house.ending:
            await asyncio.wait(list(house.ending))

    async def _accept_last(self) -> None:
        """Accept whoever is in the queue, and close it."""
        house, listening = self._house, self._socket
        if house is None or listening is None:
            return
        if self._server is not None:
            self._server.close()
            self._server = None
        while True:
            try:
                accepted, _ = listening.accept()
            except OSError:
                break
            accepted.setblocking(False)
            with contextlib.suppress(OSError):
                await house.loop.connect_accepted_socket(
                    lambda: Connection(house),
                    accepted,
                    ssl=self._tls,
                    ssl_handshake_timeout=self._limits.header_seconds if self._tls else None,
                )
        self._stop_listening()

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            if self._path:
                with contextlib.suppress(OSError):
                    os.unlink(self._path)

    def _look(self) -> None:
        """Look after the clients, now and again."""
        house, limits = self._house, self._limits
        assert house is not None
        self._expire()
        shortest = min(
            limits.header_seconds,
            limits.body_seconds,
            limits.idle_seconds,
            limits.send_seconds,
            limits.linger_seconds,
            limits.half_closed_seconds,
        )
        self._watch = house.loop.call_later(min(1.0, max(0.01, shortest / 8)), self._look)

    def _expire(self) -> None:
        house = self._house
        assert house is not None
        house.now = now = clock.now()
        house.date = f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
        late = [client for client in house.clients if client.read_by <= now or client.sent_by <= now]
        for client in late:
            client.expire(now)


def _bound(family: int, address: Any) -> socket.socket:
    """A socket bound to an address; OSError where that cannot be."""
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except BaseException:
        listening.close()
        raise
    return listening
