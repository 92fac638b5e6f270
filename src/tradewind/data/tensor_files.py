"""Named arrays in one safetensors file, written durably, read or mapped without copying.

The layout is the public safetensors one (8 bytes of header length, a JSON header, the arrays), so the file
opens with the safetensors package, or with plain numpy in ten lines. Reading never executes anything.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from tradewind.data.durable_files import replacing
from tradewind.errors import Corrupt

_KINDS = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16,
    "U32": np.uint32, "I32": np.int32, "U64": np.uint64, "I64": np.int64,
    "F16": np.float16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip
_LONGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors format itself."""


def write_tensors(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write `arrays` and `metadata` as one safetensors file, atomically."""
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    with replacing(path) as partial:
        save_file(whole, str(partial), metadata=dict(metadata))


def read_tensors(path: Path, *, mapped: bool = False) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The arrays and the metadata of a safetensors file; Corrupt if it is not whole.

    Mapped arrays are read-only views of the file, shared with every other process that maps it.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size >= 8 else None
    except FileNotFoundError:
        raise Corrupt(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise Corrupt(f"{path}: this is a folder, not a file") from None
    if buffer is None:
        raise Corrupt(f"{path}: {size} bytes are no safetensors file")
    length = int.from_bytes(buffer[:8], "little")
    if length > min(_LONGEST_HEADER, size - 8):
        raise Corrupt(f"{path}: not a safetensors file, or cut off in its header")
    try:
        header = json.loads(buffer[8 : 8 + length])
        metadata = {str(key): str(value) for key, value in header.pop("__metadata__", {}).items()}
        arrays = {name: _array(buffer, 8 + length, entry) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise Corrupt(f"{path}: not a whole safetensors file ({error})") from None
    if not mapped:
        arrays = {name: array.copy() for name, array in arrays.items()}
    return arrays, metadata


def _array(buffer: mmap.mmap, base: int, entry: Mapping[str, Any]) -> NDArray[Any]:
    kind = np.dtype(_KINDS[entry["dtype"]])
    shape = tuple(int(size) for size in entry["shape"])
    first, last = (int(offset) for offset in entry["data_offsets"])
    count = math.prod(shape)
    if first < 0 or last - first != count * kind.itemsize or base + last > len(buffer):
        raise ValueError("an array lies outside of the file")
    if count == 0:
        return np.empty(shape, kind)
    return np.frombuffer(buffer, kind, count, base + first).reshape(shape)
