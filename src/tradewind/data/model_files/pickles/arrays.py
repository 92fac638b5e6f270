"""Types of numpy's elements as pickles describe them: how many bytes, and whether they are references.

numpy takes a type's flags from the pickle; a type that says of plain bytes that they are references makes
numpy follow them. So the flags have to be those that numpy itself writes for the type.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from tradewind.data.model_files.pickles.stubs import Made

_TEXT = re.compile(r"([<>|=]?)([biufcmMSUVO?])(\d*)")
_SIZES = {
    "b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8, 12, 16), "c": (8, 16, 24, 32),
    "m": (8,), "M": (8,), "O": (4, 8), "?": (1,),
}  # fmt: skip
_DTYPES = {"numpy.dtype", "numpy.dtypes"}
_REFERENCES = 1
_DEPTH = 16


class UnknownArray(ValueError):
    """A description that numpy does not write."""


class Element(Struct, frozen=True):
    """One element of an array."""

    size: int
    """Bytes."""
    objects: bool
    """Whether it is, or holds, a reference to a Python object."""
    text: str
    """Byte order, kind and size as numpy writes them; empty for records."""


def element_of(stub: Any, depth: int = 0) -> Element:
    """What a stub of a dtype describes. UnknownArray if it is none, or contradicts itself."""
    if depth > _DEPTH:
        raise UnknownArray("too nested")
    if type(stub) is not Made or not (stub.name == "numpy.dtype" or stub.name.startswith("numpy.dtypes.")):
        raise UnknownArray("no dtype")
    if len(stub.states) > 1:
        raise UnknownArray("a dtype with two states")
    known = stub.element
    if known is not None and known[0] == len(stub.states):
        return known[1]  # type: ignore[no-any-return]
    if not stub.args or type(stub.args[0]) is not str:
        raise UnknownArray("a dtype of no text")
    kind, size, order = text_of(stub.args[0])
    if stub.states:
        found = _with_state(kind, size, stub.states[0], depth)
    else:
        found = Element(size, kind == "O", f"{order or '<'}{kind}{size}")
    stub.element = (len(stub.states), found)
    return found


def text_of(text: str) -> tuple[str, int, str]:
    """Kind, bytes and byte order of a type that is written as text. UnknownArray for any other."""
    match = _TEXT.fullmatch(text)
    if match is None or len(match[3]) > 9:
        raise UnknownArray(f"a dtype {text[:20]!r}")
    order, kind, digits = match[1], match[2], match[3]
    if kind == "?":
        return "b", 1, order
    if kind in "SUV":
        return kind, int(digits or 0) * (4 if kind == "U" else 1), order
    size = int(digits) if digits else 8
    if size not in _SIZES[kind]:
        raise UnknownArray(f"a dtype {text[:20]!r}")
    return kind, 8 if kind == "O" else size, order


def _with_state(kind: str, size: int, state: Any, depth: int) -> Element:
    if type(state) is not tuple or len(state) not in (8, 9) or type(state[0]) is not int:
        raise UnknownArray("a state that numpy does not write")
    _, order, subarray, names, fields, told, _alignment, flags = state[:8]
    if order not in ("<", ">", "|", "=") or type(told) is not int or type(flags) is not int:
        raise UnknownArray("a state that numpy does not write")
    objects = kind == "O"
    text = f"{order}{kind}{size}"
    if kind in "SUV":
        if not 0 <= told < 1 << 31:
            raise UnknownArray("a size that numpy does not write")
        size = told
        text = f"{order}{kind}{told // 4 if kind == 'U' else told}"
    elif told != -1:
        raise UnknownArray("a size for a type that has its own")
    if fields is not None or names is not None or subarray is not None:
        if kind != "V":
            raise UnknownArray("fields in a type that has none")
        objects, text = _held(names, fields, subarray, size, depth), ""
    if bool(flags & _REFERENCES) != objects:
        raise UnknownArray("flags that say otherwise of references")
    return Element(size, objects, text)


def _held(names: Any, fields: Any, subarray: Any, size: int, depth: int) -> bool:
    """Whether a record or a subarray holds references; UnknownArray where a part lies outside of it."""
    if subarray is not None:
        if type(subarray) is not tuple or len(subarray) != 2 or fields is not None:
            raise UnknownArray("a subarray that is none")
        inner, shape = element_of(subarray[0], depth + 1), subarray[1]
        shape = (shape,) if type(shape) is int else shape
        if type(shape) is not tuple or not all(type(each) is int and 0 <= each < 1 << 31 for each in shape):
            raise UnknownArray("a subarray's shape is none")
        count = 1
        for each in shape:
            count *= each
        if count * inner.size != size:
            raise UnknownArray("a subarray of another size")
        return inner.objects
    if type(fields) is not dict or type(names) is not tuple or len(fields) > 10_000:
        raise UnknownArray("fields that are none")
    objects = False
    for name in names:
        place = fields.get(name) if type(name) is str else None
        if type(place) is not tuple or len(place) not in (2, 3) or type(place[1]) is not int:
            raise UnknownArray("a field that is none")
        inner = element_of(place[0], depth + 1)
        if place[1] < 0 or place[1] + inner.size > size:
            raise UnknownArray("a field outside of its record")
        objects |= inner.objects
    return objects
