"""Frames of HTTP/2 (RFC 9113, sections 4 and 6), and those that a gRPC server answers with, as bytes."""

from __future__ import annotations

import struct
from urllib.parse import quote

DATA, HEADERS, PRIORITY, RESET, SETTINGS, PROMISE, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
"""Types of frames."""
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, PRIORITIZED = 0x4, 0x8, 0x20
"""Flags."""
NO_ERROR, PROTOCOL, INTERNAL, FLOW, _, STREAM_CLOSED, FRAME_SIZE, REFUSED, CANCEL, COMPRESSION = range(10)
CALM = 0xB
"""Codes of errors; CALM for who asks too much."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client begins with."""
HEAD = 9
"""Bytes before a frame's content."""
WHOLE = (1 << 31) - 1
"""The last number that a stream can have, and the largest window."""
USUAL_WINDOW, USUAL_FRAME = 65_535, 16_384
"""Where nobody settled on others."""

_FRAME = struct.Struct(">HBBBL")
_SETTING = struct.Struct(">HL")
_MESSAGE = struct.Struct(">BL")
_BEGUN = b"\x88\x0f\x10\x10application/grpc"  # :status 200, content-type
_OK = b"\x00\x0bgrpc-status\x010"
CODES = {
    name: number
    for number, name in enumerate(
        (
            "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
            "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
            "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
        )
    )
}  # fmt: skip
"""Of gRPC's statuses."""
_TEXT_AT_MOST = 2048
"""Bytes of an error's text: clients take only so much of headers."""
_KEPT = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


class Broken(Exception):
    """The client broke the protocol; the connection cannot go on. `code` says what for."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    """A frame."""
    length = len(content)
    return _FRAME.pack(length >> 8, length & 255, kind, flags, stream) + content


def parsed(data: bytes, at: int) -> tuple[int, int, int, int]:
    """Of the frame whose head is at `at`: the bytes of its content, its type, flags and stream."""
    high, low, kind, flags, stream = _FRAME.unpack_from(data, at)
    return high << 8 | low, kind, flags, stream & WHOLE


def settings(**given: int) -> bytes:
    """A SETTINGS frame: `streams`, `window`, `frame` and `headers` at most."""
    numbers = {"streams": 3, "window": 4, "frame": 5, "headers": 6}
    content = b"".join(_SETTING.pack(numbers[name], value) for name, value in given.items())
    return frame(SETTINGS, 0, 0, content)


def settled(content: bytes) -> list[tuple[int, int]]:
    """What a SETTINGS frame says: pairs of number and value."""
    return list(_SETTING.iter_unpack(content))


def window(stream: int, more: int) -> bytes:
    """A WINDOW_UPDATE frame: so many bytes more may be sent."""
    return frame(WINDOW, 0, stream, more.to_bytes(4, "big"))


def reset(stream: int, code: int) -> bytes:
    """A RST_STREAM frame."""
    return frame(RESET, 0, stream, code.to_bytes(4, "big"))


def goaway(last: int, code: int, text: bytes = b"") -> bytes:
    """A GOAWAY frame: no stream above `last` is answered on this connection."""
    return frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big") + text)


def begun(stream: int) -> bytes:
    """The headers that a call's messages come after."""
    return frame(HEADERS, END_HEADERS, stream, _BEGUN)


def message(content: bytes) -> bytes:
    """A message with gRPC's own prefix."""
    return _MESSAGE.pack(0, len(content)) + content


def ended(stream: int) -> bytes:
    """The trailers of a call that went well."""
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, _OK)


def answered(stream: int, content: bytes) -> bytes:
    """A whole response of one message, in one piece; no larger than a frame and the windows allow."""
    length = len(content) + 5
    return b"".join(
        (
            _FRAME.pack(0, len(_BEGUN), HEADERS, END_HEADERS, stream),
            _BEGUN,
            _FRAME.pack(length >> 8, length & 255, DATA, 0, stream),
            _MESSAGE.pack(0, len(content)),
            content,
            _FRAME.pack(0, len(_OK), HEADERS, END_HEADERS | END_STREAM, stream),
            _OK,
        )
    )


def failed(
    stream: int, code: str, text: str, more: tuple[tuple[str, str], ...] = (), *, opened: bool = False
) -> bytes:
    """The trailers of a call that failed; with the headers before them unless those were sent (`opened`)."""
    block = b"" if opened else _BEGUN
    block += _literal("grpc-status", str(CODES[code]))
    # What is cut may end in half of an escape, which readers leave as it is.
    block += _literal("grpc-message", quote(text, safe=_KEPT, errors="replace")[:_TEXT_AT_MOST])
    for name, value in more:
        block += _literal(name, value)
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, block)


def unmet(stream: int, status: int) -> bytes:
    """The answer to what is no call of gRPC: a status of HTTP alone."""
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x08\x03%d" % status)


def _literal(name: str, value: str) -> bytes:
    return b"\x00" + _sized(name.encode("ascii")) + _sized(value.encode("ascii"))


def _sized(text: bytes) -> bytes:
    length = len(text)
    if length < 127:
        return bytes((length,)) + text
    length -= 127
    prefix = bytearray((127,))
    while length >= 128:
        prefix.append(length & 127 | 128)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + text
