"""Messages of AWS's event stream encoding, in which streamed responses travel.

AWS, "Event Stream Encoding": a prelude of total length, length of headers and their CRC-32; headers; payload;
the CRC-32 of all of it. Integers are big-endian; every header here is a text (type 7).
"""

from __future__ import annotations

import struct
import zlib

_TEXT = 7


def message(payload: bytes, headers: dict[str, str]) -> bytes:
    """One message. Names take up to 255 bytes, values up to 65535."""
    head = b"".join(
        struct.pack(">B", len(name.encode()))
        + name.encode()
        + struct.pack(">BH", _TEXT, len(value.encode()))
        + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 12 + len(head) + len(payload) + 4, len(head))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return body + struct.pack(">I", zlib.crc32(body))


def event(kind: str, payload: bytes, type: str = "application/octet-stream") -> bytes:
    """A message that is an event of `kind`."""
    return message(payload, {":message-type": "event", ":event-type": kind, ":content-type": type})
