"""Arrays as bytes on the wire.

Row numbers that ascend can go as differences in as few bytes as the largest needs, values as float16, and
either through zstd. All is lossless but float16, which is used only where a client asks for it; the server
says in its greeting which it will speak. Every array carries its own description, so that a receiver needs
to know nothing beforehand.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import zstandard
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.errors import Corrupt

_DTYPES: dict[str, np.dtype[Any]] = {name: np.dtype(name) for name in ("int64", "float32", "float64")}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_DIFFERENCES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<u1"),
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
    8: np.dtype("<u8"),
}
_HALF_LARGEST = 65504.0
_LEVEL = 1

Buffer = bytes | bytearray | memoryview


class Codec(Struct, frozen=True):
    """How a sender writes arrays."""

    indices: Literal["raw", "delta"] = "raw"
    values: Literal["raw", "float16"] = "raw"
    """float16 keeps three digits: lossy."""
    compress: bool = False
    """Whether zstd goes over it; what does not shrink stays as it is."""


RAW = Codec()
COMPACT = Codec(indices="delta", compress=True)
"""The smallest that loses nothing."""


def agreed(asked: Codec, allowed: Codec) -> Codec:
    """What both sides speak: each part as asked where it is allowed, plain otherwise."""
    return Codec(
        asked.indices if asked.indices == allowed.indices else "raw",
        asked.values if asked.values == allowed.values else "raw",
        asked.compress and allowed.compress,
    )


class Packed(Struct, frozen=True, array_like=True):
    """How an array lies in a frame."""

    dtype: str
    shape: tuple[int, ...]
    coding: str = "raw"
    """`raw`, `half`, or `delta1`, `delta2`, `delta4`, `delta8` by the bytes of a difference."""
    compressed: bool = False


def pack(array: NDArray[Any], codec: Codec = RAW) -> tuple[Packed, Buffer]:
    """The array's description and bytes; a raw one's share memory with it, where it is contiguous."""
    array = np.ascontiguousarray(array)
    coding = "raw"
    body: Buffer = _bytes(array)
    if array.dtype == np.int64 and array.ndim == 1 and codec.indices == "delta" and len(array) > 1:
        steps = np.diff(array)
        if int(array[0]) >= 0 and int(steps.min()) >= 0:
            largest = int(steps.max())
            size = next(size for size in _DIFFERENCES if largest < 256**size)
            coding = f"delta{size}"
            body = array[:1].astype("<i8").tobytes() + steps.astype(_DIFFERENCES[size]).tobytes()
    elif array.dtype.kind == "f" and codec.values == "float16" and array.size:
        with np.errstate(invalid="ignore"):
            fits = bool(np.abs(array).max() <= _HALF_LARGEST)
        if fits:
            coding, body = "half", array.astype("<f2").tobytes()
    compressed = False
    if codec.compress and len(body) > 64:
        smaller = zstandard.ZstdCompressor(level=_LEVEL).compress(body)
        if len(smaller) < len(body):
            body, compressed = smaller, True
    return Packed(_NAMES.get(array.dtype) or str(array.dtype), array.shape, coding, compressed), body


def unpack(packed: Packed, body: Buffer) -> NDArray[Any]:
    """The array again; a raw one shares memory with `body` and may be read-only. Corrupt if they disagree."""
    dtype = _DTYPES.get(packed.dtype)
    count = math.prod(packed.shape)
    if dtype is None or any(n < 0 for n in packed.shape):
        raise Corrupt(f"a frame of {packed.dtype} {packed.shape}")
    try:
        if packed.compressed:
            # never believe the stated size of a frame: an array of `count` values needs no more than this
            body = zstandard.ZstdDecompressor().decompress(body, max_output_size=count * 8 + 8)
            if len(body) > count * 8 + 8:
                raise Corrupt(f"a frame that grows beyond {packed.shape}")
        if packed.coding == "raw":
            return (
                np.frombuffer(body, dtype, count).reshape(packed.shape)
                if _fits(body, count, dtype)
                else _no()
            )
        if packed.coding == "half" and dtype.kind == "f":
            half = np.dtype("<f2")
            return (
                np.frombuffer(body, half).astype(dtype).reshape(packed.shape)
                if _fits(body, count, half)
                else _no()
            )
        size = int(packed.coding.removeprefix("delta"))
        steps = _DIFFERENCES[size]
        if dtype != np.int64 or len(packed.shape) != 1 or len(body) != 8 + (count - 1) * size:
            return _no()
        out = np.empty(count, np.int64)
        out[0] = np.frombuffer(body, "<i8", 1)[0]
        out[1:] = np.frombuffer(body, steps, offset=8)
        return np.cumsum(out)
    except (ValueError, KeyError, zstandard.ZstdError) as problem:
        raise Corrupt(f"a frame that is no {packed}") from problem


def _bytes(array: NDArray[Any]) -> memoryview:
    return array.data.cast("B") if array.size else memoryview(b"")


def _fits(body: Buffer, count: int, dtype: np.dtype[Any]) -> bool:
    return len(body) == count * dtype.itemsize


def _no() -> NDArray[Any]:
    raise Corrupt("a frame whose size is not what its description says")
