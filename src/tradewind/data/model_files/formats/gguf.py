"""GGUF: the header's counts and texts within bounds, tensors inside of the file, and the chat template.

Readers in C took counts on trust; a model with a template that climbs to Python's internals ran code in
llama-cpp-python (CVE-2024-34359) and SGLang (CVE-2026-5760).
"""

from __future__ import annotations

import struct
from math import prod
from typing import Any

from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.formats.templates import RULES as TEMPLATE_RULES
from tradewind.data.model_files.formats.templates import judge_template
from tradewind.data.model_files.inspection import Inspection, Reading, Source

_MAGIC = b"GGUF"
_FIXED = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<B",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_TEXT, _ARRAY = 8, 9
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip
"""Elements and bytes of one block, by the tensor's type (ggml.h)."""
_LONGEST_KEY = 1 << 16
_DEEPEST = 4

RULES = {
    rule.id: rule
    for rule in (
        Rule("gguf-malformed", "undecided", "The header cannot be walked to its end.",
        "Fetch the file again."),
        Rule(
            "gguf-claim", "blocked",
            "A count, a length or a place in the header is one that the file has no bytes for.",
            "Fetch the file again.",
        ),
        Rule(
            "gguf-repeated", "blocked", "A key or a tensor stands twice; readers take different ones.",
            "Convert the model again.",
        ),
        Rule(
            "gguf-unknown", "undecided", "The version or a tensor's type is none that is known here.",
            "Update Tradewind.",
        ),
        Rule(
            "gguf-trailing", "blocked", "There are bytes that belong to no tensor.", "Fetch the file again.",
        ),
    )
}  # fmt: skip


class _Broken(ValueError):
    pass


class _Claim(ValueError):
    pass


class _Header:
    """A reader that goes forward through the header, in blocks."""

    def __init__(self, source: Source) -> None:
        self.at = 0
        self.big_endian = False
        self._source = source
        self._block, self._first = b"", 0

    def take(self, count: int) -> bytes:
        if count > self._source.size - self.at:
            raise _Broken(f"cut off at {self.at}")
        place = self.at - self._first
        if place + count > len(self._block):
            self._block, self._first = self._source.read(self.at, max(count, 1 << 16)), self.at
            place = 0
        self.at += count
        return self._block[place : place + count]

    def number(self, form: str) -> Any:
        form = form.replace("<", ">") if self.big_endian else form
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self, limit: int) -> str:
        length = self.number("<Q")
        if length > limit:
            raise _Claim(f"a text of {length} bytes at {self.at}")
        return self.take(length).decode("utf-8", "backslashreplace")

    def skip(self, count: int) -> None:
        if count > self._source.size - self.at:
            raise _Claim(f"{count} bytes at {self.at}, which the file has not")
        self.at += count


def recognises(source: Source) -> bool:
    """Whether the bytes begin as GGUF."""
    return source.read(0, 4) == _MAGIC


def inspect(source: Source, inspection: Inspection) -> None:
    """Walk the header, judge the templates, place the tensors."""

    def tell(rule: str, text: str, at: int | None = None, name: str = "") -> None:
        inspection.found(RULES[rule], text, source=source, offset=at, name=name)

    header = _Header(source)
    try:
        header.take(4)
        version = header.number("<I")
        if version in (2 << 24, 3 << 24):  # written for a big-endian machine, as version 3 allows
            header.big_endian, version = True, version >> 24
        if version not in (2, 3):
            tell("gguf-unknown", f"version {version}", 4)
            return
        tensors, pairs = header.number("<Q"), header.number("<Q")
        if tensors * 24 + pairs * 13 > source.size:
            raise _Claim(f"{tensors} tensors and {pairs} keys")
        inspection.spend(opcodes=tensors + pairs)
        keys: dict[str, Any] = {}
        for _ in range(pairs):
            at = header.at
            key = header.text(_LONGEST_KEY)
            value = _value(header, header.number("<I"), inspection, 0)
            if key in keys:
                tell("gguf-repeated", f"the key {key!r} stands twice", at, key)
            keys[key] = value if isinstance(value, int) else None
            if isinstance(value, str) and ("template" in key or "{%" in value or "{{" in value):
                judge_template(value, source, inspection, name=key)
        _tensors(header, tensors, keys, source, tell)
    except _Claim as problem:
        tell("gguf-claim", str(problem), header.at)
    except (_Broken, struct.error) as problem:
        tell("gguf-malformed", str(problem), header.at)


def _value(header: _Header, kind: int, inspection: Inspection, depth: int) -> Any:
    if kind in _FIXED:
        return header.number(_FIXED[kind])
    if kind == _TEXT:
        return header.text(inspection.budget.text)
    if kind != _ARRAY or depth > _DEEPEST:
        raise _Broken(f"a value of type {kind} at {header.at}")
    inner, count = header.number("<I"), header.number("<Q")
    if inner in _FIXED:
        header.skip(count * struct.calcsize(_FIXED[inner]))
        return None
    if count * 8 > header._source.size:
        raise _Claim(f"{count} values at {header.at}")
    inspection.spend(opcodes=count)
    for _ in range(count):
        _value(header, inner, inspection, depth + 1)
    return None


def _tensors(header: _Header, count: int, keys: dict[str, Any], source: Source, tell: Any) -> None:
    places = []
    names = set()
    for _ in range(count):
        name = header.text(_LONGEST_KEY)
        dimensions = header.number("<I")
        if dimensions > 8:
            raise _Claim(f"a tensor of {dimensions} dimensions")
        shape = [header.number("<Q") for _ in range(dimensions)]
        kind, offset = header.number("<I"), header.number("<Q")
        if name in names:
            tell("gguf-repeated", f"the tensor {name!r} stands twice", header.at, name)
        names.add(name)
        if kind not in _BLOCKS:
            tell("gguf-unknown", f"the tensor {name!r} is of type {kind}", header.at, name)
            return
        elements, size = _BLOCKS[kind]
        if prod(shape) >= 1 << 62 or (shape and shape[0] % elements):
            raise _Claim(f"the tensor {name!r} of shape {shape}")
        places.append((offset, offset + prod(shape) // elements * size, name))
    alignment = keys.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20 or alignment & (alignment - 1):
        raise _Claim(f"an alignment of {alignment}")
    begin = -(-header.at // alignment) * alignment
    end = 0
    for first, last, name in sorted(places):
        if first % alignment or first < end or begin + last > source.size:
            tell("gguf-claim", f"the tensor {name!r} is said to be at {first} to {last}", header.at, name)
            return
        if first - end >= alignment:
            tell("gguf-trailing", f"{first - end} bytes before the tensor {name!r}", begin + end, name)
        end = last
    left = source.size - (begin + end if places else header.at)
    if left >= alignment:
        tell("gguf-trailing", f"{left} bytes behind the last tensor", begin + end)


READING = Reading("gguf", recognises, inspect, {**RULES, **TEMPLATE_RULES})
