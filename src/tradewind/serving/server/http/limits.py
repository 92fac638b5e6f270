"""What one client may take of a server: bytes, seconds, connections."""

from __future__ import annotations

import math

from msgspec import Struct

from tradewind.errors import Misuse


class Limits(Struct, frozen=True):
    """The bounds that a server keeps; each is answered as it says.

    Misuse, at construction: a bound that is not positive.
    """

    header_bytes: int = 32 * 1024
    """Request line and headers together, beyond which the answer is 431."""
    header_count: int = 100
    """Headers, and again trailers, beyond which the answer is 431."""
    body_bytes: int = 64 * 1024 * 1024
    """Body as it comes: 413 at its Content-Length, or as soon as its chunks exceed it."""
    bodies_bytes: int = 512 * 1024 * 1024
    """Bodies of all requests together that are being sent, wait or are in hand. 503 for what exceeds it and
    is not small: whoever holds the room with bodies that do not end keeps out their like only."""
    unpacked_bytes: int = 256 * 1024 * 1024
    """Body after decompression; 413."""
    header_seconds: float = 10.0
    """From a request's first byte to the end of its headers; 408."""
    body_seconds: float = 60.0
    """From there to the end of its body; 408."""
    idle_seconds: float = 75.0
    """Between two requests of a connection, and before the first; it is closed. Above the 60 s of the load
    balancers in use, for whoever closes first must not be the server."""
    send_seconds: float = 60.0
    """For a client to take what it was sent; the connection is cut."""
    half_closed_seconds: float = 10.0
    """For answers to a client that has said it will send no more. It may wait for them, or be gone: the two
    look alike. Then what is done for it is cancelled, as it is at once where a connection is reset."""
    linger_seconds: float = 2.0
    """How long a connection is still read, to no end, after an answer that refuses the rest of a request:
    else the kernel would reset it, and the client never see the answer."""
    connections: int = 4096
    """Open at a time, beyond which a new one is answered 503 and closed; fewer where the process may not open
    as many files."""
    pipelined: int = 32
    """Whole requests of one connection that wait for the one before; then it is not read any further."""
    compress_bytes: int = 2048
    """Answers below this size are never compressed, and none that was not asked for."""
    stale_seconds: float = math.inf
    """What is promised: answers within this. While more comes than the processor can answer, what cannot be
    in time is refused with 429, so that others are; never, where nothing is promised."""
    retry_after: float = 1.0
    """Seconds that a client turned away at `connections`, or as stale, is told to wait."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not value > 0:
                raise Misuse(f"{value!r} is not positive", field=name, fix="Give a positive number.")
