"""The layout of an ONNX file, read as far as telling what it is and which other files it names.

Protocol buffers' wire format and the numbers of onnx.proto's fields; no package is needed, no tensor is read.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from tradewind.errors import Misuse

_FIELDS: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 15: "Sparse"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Entry"},
}
"""For each message the fields that can lead to a tensor, and the message that each holds."""
_MODEL = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
"""The fields of a whole model."""
_DEEPEST = 100

Bytes = memoryview | mmap.mmap | bytes


class _Malformed(ValueError):
    pass


def is_onnx(path: Path) -> bool:
    """Whether a file reads as an ONNX model: a graph, among nothing but a model's fields."""
    if path.stat().st_size < 4:
        return False
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            seen = {number for number, _, _, _ in _fields(mapped, 0, len(mapped))}
    except _Malformed:
        return False
    return 7 in seen and seen <= _MODEL


def external_files(path: Path) -> list[Path]:
    """The files that hold the tensors of an ONNX model beside it.

    Misuse for one that is outside of the model's own folder, by its name or through a link, or is not there.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            names = sorted(set(_locations(mapped, 0, len(mapped), "Model", 0)))
    except (_Malformed, UnicodeDecodeError):
        raise Misuse("the file is damaged", source=str(path), fix="Export the model again.") from None
    folder = path.resolve().parent
    found = []
    for name in names:
        place = Path(name)
        target = (path.parent / place).resolve() if "\0" not in name else folder
        if (
            place.is_absolute()
            or ".." in place.parts
            or not target.is_relative_to(folder)
            or target == folder
        ):
            raise Misuse(
                f"its tensors are said to be in {name!r}, outside of its folder", source=str(path),
                field="external_data", fix="Put the file beside the model, and save it with that name.",
            )  # fmt: skip
        if not target.is_file():
            raise Misuse(
                f"{name!r}, which holds some of its tensors, is missing", source=str(path),
                field="external_data", fix="Copy it into the model's folder.",
            )  # fmt: skip
        found.append(target)
    return found


def _locations(data: Bytes, start: int, stop: int, message: str, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise _Malformed
    inner = _FIELDS[message]
    for number, wire, begin, end in _fields(data, start, stop):
        if wire != 2 or number not in inner:
            continue
        if inner[number] != "Entry":
            yield from _locations(data, begin, end, inner[number], depth + 1)
            continue
        entry = {
            field: bytes(data[at:until]).decode()
            for field, kind, at, until in _fields(data, begin, end)
            if kind == 2
        }
        if entry.get(1) == "location":
            yield entry.get(2, "")


def _fields(data: Bytes, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, begin and end of each field of a message."""
    at = start
    while at < stop:
        key, at = _varint(data, at, stop)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise _Malformed
        begin = at
        if wire == 0:
            _, at = _varint(data, at, stop)
        elif wire == 1:
            at += 8
        elif wire == 5:
            at += 4
        elif wire == 2:
            length, begin = _varint(data, at, stop)
            at = begin + length
        else:
            raise _Malformed
        if at > stop:
            raise _Malformed
        yield number, wire, begin, at


def _varint(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    value = shift = 0
    while at < stop and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _Malformed
