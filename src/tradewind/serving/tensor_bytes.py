"""Tensors as bytes: the layout that binary HTTP bodies and gRPC's raw contents have in common.

Open Inference Protocol v2, "Raw Tensor Contents" and Triton's binary tensor data extension: row-major,
little-endian; a BOOL is a byte, 0 or 1; an element of BYTES is a length, 4 bytes, and then that many bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import Misuse
from tradewind.serving.tensors import DTYPES

Buffer = bytes | bytearray | memoryview

_LITTLE = {name: dtype.newbyteorder("<") for name, dtype in DTYPES.items()}
_LENGTH = struct.Struct("<I")
_LONGEST = 2**32 - 1


def encode(array: NDArray[Any]) -> bytes:
    """The bytes of `array`, of any shape. A text among BYTES is written as UTF-8.

    Raises Misuse for an element of BYTES that is neither bytes nor text, or is 4 GiB long and more.
    """
    if array.dtype.kind in "SUO":
        return _encode_texts(array)
    dtype = array.dtype
    if dtype.byteorder == ">":
        array = array.astype(dtype.newbyteorder("<"))
    return array.tobytes()


def decode(buffer: Buffer, datatype: str, shape: Sequence[int]) -> NDArray[Any]:
    """The array of `datatype`, one of `DTYPES`, and `shape` that `buffer` holds.

    Numbers are not copied where the buffer is aligned for them, and then are as writable as the buffer is.
    Raises Misuse if the datatype is unknown, a dimension is negative, or the buffer is too short or too long.
    """
    dtype = _LITTLE.get(datatype)
    if dtype is None:
        raise Misuse(f"{datatype!r} is no datatype", field="datatype", fix=f"Use one of {', '.join(DTYPES)}.")
    if min(shape, default=0) < 0:
        raise Misuse(f"{list(shape)} has a negative dimension", field="shape")
    count = math.prod(shape)
    if datatype == "BYTES":
        return shaped(_decode_texts(buffer, count), shape)
    size = len(buffer) if type(buffer) is bytes else memoryview(buffer).nbytes
    if size != count * dtype.itemsize:
        raise Misuse(f"{datatype} of shape {list(shape)} takes {count * dtype.itemsize} bytes, not {size}")
    array = shaped(np.frombuffer(buffer, np.uint8 if datatype == "BOOL" else dtype), shape)
    if datatype == "BOOL":
        if count and array.max() > 1:
            raise Misuse("a BOOL is the byte 0 or 1")
        return array.view(np.bool_)
    return array if array.flags.aligned else array.copy()


def shaped(array: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """`array` with a shape that a caller gave, of as many elements. Raises Misuse for one that cannot be."""
    try:
        return array.reshape(tuple(shape))
    except (ValueError, OverflowError):  # too many dimensions, or beyond what memory could ever hold
        raise Misuse(f"no array has the shape {list(shape)}", field="shape") from None


def _encode_texts(array: NDArray[Any]) -> bytes:
    pieces: list[bytes] = []
    for element in array.ravel().tolist():
        if isinstance(element, str):
            try:
                element = element.encode()
            except UnicodeEncodeError:
                raise Misuse("a text among BYTES has no UTF-8, for it holds half a surrogate pair") from None
        elif not isinstance(element, bytes):
            raise Misuse(f"an element of BYTES is {type(element).__name__}, neither bytes nor text")
        if len(element) > _LONGEST:
            raise Misuse(f"an element of BYTES is {len(element)} bytes long; its length takes 4 bytes")
        pieces.append(_LENGTH.pack(len(element)))
        pieces.append(element)
    return b"".join(pieces)


def _decode_texts(buffer: Buffer, count: int) -> NDArray[Any]:
    whole = bytes(buffer)
    if 4 * count > len(whole):  # before room is made for what a small message claims to hold
        raise Misuse(f"{count} elements of BYTES take {4 * count} bytes at least, not {len(whole)}")
    found: NDArray[Any] = np.empty(count, object)
    at = 0
    for index in range(count):
        if at + 4 > len(whole):
            raise Misuse(f"{count} elements of BYTES were promised, {index} are there")
        (length,) = _LENGTH.unpack_from(whole, at)
        at += 4
        if length > len(whole) - at:
            raise Misuse(f"element {index} of BYTES has {len(whole) - at} bytes of the {length} promised")
        found[index] = whole[at : at + length]
        at += length
    if at != len(whole):
        raise Misuse(f"{len(whole) - at} bytes follow the {count} elements of BYTES promised")
    return found
