"""Arrays in numpy's own files: a header that is a literal, then the elements, or a pickle of objects."""

from __future__ import annotations

import ast
from typing import Any

from msgspec import Struct

from tradewind.data.model_files.inspection import Inspection, Reading, Source
from tradewind.data.model_files.pickles import rules
from tradewind.data.model_files.pickles.arrays import UnknownArray, text_of
from tradewind.data.model_files.pickles.plain import read_pickle, runs_as_pickle
from tradewind.data.model_files.pickles.stream import Broken

MAGIC = b"\x93NUMPY"
_HEADER = 64 << 10  # numpy refuses above 10,000 unless told otherwise
_FIELDS = 10_000


class Header(Struct, frozen=True):
    """What an array's file says of it."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: str
    """As numpy writes it; empty for records."""
    itemsize: int
    objects: bool
    start: int
    """Offset of the first element."""


def header_of(source: Source) -> Header:
    """The header of an array's file. ValueError, with the reason, if numpy would not have written it."""
    head = source.read(0, 12)
    if len(head) < 10 or head[6] not in (1, 2, 3) or head[7] != 0:
        raise ValueError("the version is none")
    width = 2 if head[6] == 1 else 4
    length = int.from_bytes(head[8 : 8 + width], "little")
    if length > _HEADER or 8 + width + length > source.size:
        raise ValueError("the header is longer than numpy reads, or than the file")
    text = source.read(8 + width, length).decode("utf-8" if head[6] == 3 else "latin-1")
    if text.count("(") + text.count("[") + text.count("{") > _FIELDS:
        raise ValueError("the header is too nested")
    try:
        told = ast.literal_eval(text.strip())
    except (SyntaxError, RecursionError, MemoryError, TypeError) as error:
        raise ValueError(f"the header is no literal ({type(error).__name__})") from None
    if type(told) is not dict or set(told) != {"descr", "fortran_order", "shape"}:
        raise ValueError("the header does not hold what it has to")
    shape = told["shape"]
    if type(shape) is not tuple or not all(type(each) is int and each >= 0 for each in shape):
        raise ValueError("the shape is none")
    if type(told["fortran_order"]) is not bool:
        raise ValueError("the order is none")
    size, objects, dtype = _described(told["descr"], 0)
    return Header(shape, told["fortran_order"], dtype, size, objects, 8 + width + length)


def _described(descr: Any, depth: int) -> tuple[int, bool, str]:
    """Bytes of an element, whether it holds references, and its text."""
    if depth > 16:
        raise ValueError("the type is too nested")
    if type(descr) is str:
        plain, unit, rest = descr.partition("[")
        if unit and (plain[1:2] not in ("m", "M") or not rest.endswith("]")):
            raise ValueError("the type is none")
        try:
            kind, size, order = text_of(plain)
        except UnknownArray as error:
            raise ValueError(str(error)) from None
        return size, kind == "O", f"{order or '<'}{kind}{size}"
    if type(descr) is tuple and len(descr) == 2:
        size, objects, _ = _described(descr[0], depth + 1)
        return size * _count(descr[1]), objects, ""
    if type(descr) is not list or len(descr) > _FIELDS:
        raise ValueError("the type is none")
    total, some = 0, False
    for field in descr:
        if type(field) is not tuple or len(field) not in (2, 3):
            raise ValueError("a field is none")
        size, objects, _ = _described(field[1], depth + 1)
        total += size * (_count(field[2]) if len(field) == 3 else 1)
        some |= objects
    return total, some, ""


def _count(shape: Any) -> int:
    shape = (shape,) if type(shape) is int else shape
    if type(shape) is not tuple or not all(type(each) is int and 0 <= each < 1 << 31 for each in shape):
        raise ValueError("a shape is none")
    count = 1
    for each in shape:
        count *= each
    return count


def inspect(source: Source, inspection: Inspection) -> None:
    """Inspect one array's file."""
    try:
        header = header_of(source)
    except (ValueError, RecursionError) as error:
        inspection.found(rules.HEADER, f"the array's header: {error}", source=source, offset=0)
        if runs_as_pickle(source):
            _read(source, inspection, 0)
        return
    if header.objects:
        end = _read(source, inspection, header.start)
        if end is None:
            return
    else:
        end = header.start + header.itemsize
        for each in header.shape:
            end = header.start + (end - header.start) * each
    if end != source.size:
        inspection.found(
            rules.LENGTH, f"the array ends at {end:,} and the file at {source.size:,}",
            source=source, offset=min(end, source.size),
        )  # fmt: skip


def _read(source: Source, inspection: Inspection, offset: int) -> int | None:
    try:
        return read_pickle(source, inspection, offset)[1]
    except Broken:
        return None


READING = Reading(
    "npy",
    lambda source: source.read(0, len(MAGIC)) == MAGIC,
    inspect,
    {rule.id: rule for rule in (*rules.NPY, *rules.PICKLES)},
)
