"""JSON lines: how an agent, its nursery and a runtime talk.

A message is one JSON object on one line of UTF-8. Nothing else is ever sent, and nothing is unpickled.
"""

from __future__ import annotations

import json
from typing import Any

Message = dict[str, Any]

LONGEST = 64 * 1024 * 1024
"""Bytes. A longer line is no message of ours: its sender is cut off rather than believed."""


class Garbled(ValueError):
    """What came is no JSON object on a line."""


def line(message: Message) -> bytes:
    """`message` as it is sent. Raises TypeError or ValueError if it does not consist of JSON values."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"


class Inbox:
    """Cuts what arrives, however it was chopped up on the way, into messages."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, received: bytes) -> list[Message]:
        """The messages that `received` completes. Raises Garbled."""
        self._rest += received
        if len(self._rest) > LONGEST:
            raise Garbled(f"a line of more than {LONGEST} bytes")
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest
        return [_message(bytes(text)) for text in lines]


def _message(text: bytes) -> Message:
    try:
        message = json.loads(text)
    except ValueError as problem:
        raise Garbled(str(problem)) from None
    if not isinstance(message, dict):
        raise Garbled(f"{type(message).__name__} instead of an object")
    return message
