"""What a server and its replicas say to each other: frames of a header and tensors, on a stream socket.

A frame is a length (4 bytes, little-endian), a header of that length in MessagePack, and the bytes of the
tensors that the header lists, one after another, as in `serving.tensor_bytes`. Nothing is unpickled.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import msgspec
from msgspec import Struct

from tradewind.serving.tensor_bytes import decode, encode
from tradewind.serving.tensors import Tensors, datatype_of

_LENGTH = struct.Struct("<I")
_LONGEST_HEADER = 16 * 1024 * 1024


class Tensor(Struct, frozen=True, array_like=True):
    """A tensor as a header lists it."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    size: int
    """Bytes."""


class Header(Struct, frozen=True, omit_defaults=True):
    """What a frame says, beside its tensors."""

    do: str = ""
    """To a replica: open, run. From it: opened, ran, failed."""
    told: dict[str, Any] = {}
    """What to open, or what was opened."""
    reason: str = ""
    """Why it failed."""
    memory: int = 0
    """Bytes that the replica's process takes."""
    leaving: bool = False
    """Whether the replica ends after this."""
    tensors: tuple[Tensor, ...] = ()


class Garbled(Exception):
    """What came is no frame of ours."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Header)


def frame(header: Header, tensors: Tensors | None = None) -> list[bytes]:
    """A frame in pieces, to be sent one after another."""
    payloads = {name: encode(array) for name, array in (tensors or {}).items()}
    listed = tuple(
        Tensor(name, datatype_of(array), array.shape, len(payloads[name]))
        for name, array in (tensors or {}).items()
    )
    head = _encoder.encode(msgspec.structs.replace(header, tensors=listed))
    return [_LENGTH.pack(len(head)) + head, *payloads.values()]


async def receive(reader: asyncio.StreamReader) -> tuple[Header, Tensors]:
    """The next frame; raises asyncio.IncompleteReadError at the end, Garbled for what is none."""
    header = _header(await reader.readexactly(_header_length(await reader.readexactly(_LENGTH.size))))
    tensors = {each.name: _tensor(each, await reader.readexactly(each.size)) for each in header.tensors}
    return header, tensors


def receive_here(connection: socket.socket) -> tuple[Header, Tensors] | None:
    """The next frame of a blocking socket; None at its end."""
    length = _exactly(connection, _LENGTH.size)
    if length is None:
        return None
    head = _exactly(connection, _header_length(length))
    if head is None:
        return None
    header = _header(head)
    tensors: Tensors = {}
    for each in header.tensors:
        payload = _exactly(connection, each.size)
        if payload is None:
            return None
        tensors[each.name] = _tensor(each, payload)
    return header, tensors


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    received = bytearray(size)
    view = memoryview(received)
    at = 0
    while at < size:
        got = connection.recv_into(view[at:])
        if not got:
            return None
        at += got
    return bytes(received)


def _header_length(four: bytes) -> int:
    length: int = _LENGTH.unpack(four)[0]
    if length > _LONGEST_HEADER:
        raise Garbled(f"a header of {length} bytes")
    return length


def _header(text: bytes) -> Header:
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError as problem:
        raise Garbled(str(problem)) from None


def _tensor(listed: Tensor, payload: bytes) -> Any:
    return decode(payload, listed.datatype, listed.shape)
