"""What the connections of one gRPC server have in common, and what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Protocol

from msgspec import Struct

from tradewind.errors import Misuse

Until = Callable[[], float | None]
"""Seconds that the caller still waits; None if for ever."""
Told = tuple[str, str, tuple[tuple[str, str], ...]]
"""Of an error: gRPC's status, a text, and metadata."""


class GrpcLimits(Struct, frozen=True):
    """The bounds that a server keeps. Misuse, at construction: a bound that is not positive."""

    message_bytes: int = 64 * 1024 * 1024
    """Of one message, unpacked, in either direction; RESOURCE_EXHAUSTED beyond."""
    messages_bytes: int = 512 * 1024 * 1024
    """Of all requests together that are being sent or in hand; RESOURCE_EXHAUSTED beyond."""
    header_bytes: int = 32 * 1024
    """Of one call's metadata; the connection is closed beyond."""
    calls: int = 4096
    """In progress on the whole server, streams among them; RESOURCE_EXHAUSTED beyond."""
    connection_calls: int = 1024
    """In progress on one connection; its client sends no further one before one is over."""
    stream_calls: int = 64
    """Requests of one stream in progress; then it is not read any further."""
    connections: int = 4096
    """Open at a time; one more is closed at once."""
    abandoned: int = 2000
    """Calls of one connection that are given up within a second; it is closed beyond."""
    begin_seconds: float = 10.0
    """For a new connection to say that it speaks HTTP/2; it is cut."""
    request_seconds: float = 60.0
    """For a call's one request to come whole; DEADLINE_EXCEEDED."""
    idle_seconds: float = 1800.0
    """Without a call, after which a client is asked to make its connection anew when it needs one."""
    keepalive_seconds: float = 60.0
    """Without a sign from a client with calls in progress, after which it is asked for one, and then cut."""
    send_seconds: float = 60.0
    """For a client to take what it was sent; the connection is cut."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not getattr(self, name) > 0:
                raise Misuse(f"{getattr(self, name)!r} is not positive", field=name, fix="Give more than 0.")


class Method(Struct, frozen=True):
    """What answers the calls at one path: one request with one response, or a stream of both."""

    one: Callable[[bytes, float | None], Coroutine[Any, Any, bytes]] | None = None
    """The response to a request whose caller waits for so many seconds."""
    several: Callable[[AsyncIterator[bytes], Until], AsyncIterator[bytes]] | None = None
    """The responses to a stream of requests."""
    open_to_all: bool = False
    """Whether no token is wanted."""


class Client(Protocol):
    """A connection, as its server governs it."""

    def retire(self) -> None:
        """Ask the client to begin no further call on it; what is in progress is answered."""
        ...

    def look(self, now: float) -> None:
        """Act on what is late."""
        ...

    def abort(self) -> None:
        """Cut it."""
        ...


class Household:
    """Methods, limits and counts of one server, on the running loop."""

    def __init__(
        self,
        methods: dict[str, Method],
        limits: GrpcLimits,
        token: str | None,
        told: Callable[[Exception], Told],
    ) -> None:
        self.methods, self.limits, self.token, self.told = methods, limits, token, told
        self.loop = asyncio.get_running_loop()
        self.clients: set[Client] = set()
        self.ending: set[asyncio.Task[None]] = set()
        """Calls whose client is gone, on their way out."""
        self.calls = 0
        """In progress."""
        self.held = 0
        """Bytes of requests that are being sent or in hand."""
        self.draining = False
