"""What a host and the process of an environment say to each other: a JSON header and bytes, on a socket."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

_LENGTHS = struct.Struct("<II")
LONGEST = 64 << 20
"""Bytes of a header or a body; whoever sends more is no environment of ours."""

Message = dict[str, Any]


class Garbled(ValueError):
    """What came is no message of ours."""


def packed(header: Message, body: bytes = b"") -> bytes:
    """A message as it is sent."""
    head = json.dumps(header, separators=(",", ":")).encode()
    return _LENGTHS.pack(len(head), len(body)) + head + body


def receive_here(connection: socket.socket) -> tuple[Message, bytes] | None:
    """The next message of a blocking socket; None at its end."""
    lengths = _exactly(connection, _LENGTHS.size)
    if lengths is None:
        return None
    head, body = _LENGTHS.unpack(lengths)
    header = _exactly(connection, head)
    rest = _exactly(connection, body)
    return None if header is None or rest is None else (json.loads(header), rest)


async def receive(reader: asyncio.StreamReader) -> tuple[Message, bytes]:
    """The next message; IncompleteReadError at the end, Garbled for what is none of ours."""
    head, body = _LENGTHS.unpack(await reader.readexactly(_LENGTHS.size))
    if head > LONGEST or body > LONGEST:
        raise Garbled(f"a message of {head} and {body} bytes")
    text, rest = await reader.readexactly(head), await reader.readexactly(body)
    try:
        header = json.loads(text)
    except ValueError as problem:
        raise Garbled(str(problem)) from None
    if not isinstance(header, dict):
        raise Garbled("a header that is no object")
    return header, rest


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    received = bytearray()
    while len(received) < size:
        more = connection.recv(min(size - len(received), 1 << 20))
        if not more:
            return None
        received += more
    return bytes(received)
