"""safetensors: no code can be in it; whether its header and its bytes are as every reader will take them.

Checked are the header's length, keys that stand twice, dtypes, shapes against bytes, gaps and overlaps, bytes
behind the last tensor, and that `__metadata__` maps texts to texts.
"""

from __future__ import annotations

from math import prod
from typing import Any

from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.formats.json_text import Repeated, parsed
from tradewind.data.model_files.inspection import Inspection, Reading, Source

RULES = {
    rule.id: rule
    for rule in (
        Rule(
            "safetensors-header", "blocked", "The header is none that the format allows.",
            "Fetch the file again.",
        ),
        Rule(
            "safetensors-bytes", "blocked",
            "Tensors overlap, leave gaps, or claim other bytes than they have: readers may see "
            "different ones.",
            "Fetch the file again.",
        ),
        Rule(
            "safetensors-dtype", "undecided", "A tensor has a dtype that the published format has not.",
            "Update Tradewind, or save with a published dtype.",
        ),
    )
}  # fmt: skip
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64,
    "F64": 64, "I64": 64, "U64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
_LONGEST = 100_000_000
"""Bytes of a header; the limit of the format itself."""


def recognises(source: Source) -> bool:
    """Whether a length stands before an object of JSON that fits into the file."""
    start = source.read(0, 9)
    length = int.from_bytes(start[:8], "little")
    return start[8:9] == b"{" and 2 <= length <= source.size - 8


def inspect(source: Source, inspection: Inspection) -> None:
    """Tell where a file is not what the format says."""
    length = int.from_bytes(source.read(0, 8), "little")

    def tell(rule: str, text: str, name: str = "") -> None:
        inspection.found(RULES[rule], text, source=source, offset=8, name=name)

    if length > _LONGEST:
        tell("safetensors-header", f"a header of {length} bytes")
        return
    try:
        header = parsed(source.read(8, length), _LONGEST)
    except Repeated as key:
        tell("safetensors-header", f"the key {str(key)!r} stands twice", str(key))
        return
    except ValueError as problem:
        tell("safetensors-header", f"the header is no JSON: {problem}")
        return
    if not isinstance(header, dict):
        tell("safetensors-header", "the header is no object")
        return
    inspection.spend(opcodes=len(header))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(each, str) for each in metadata.values()):
        tell("safetensors-header", "__metadata__ does not map texts to texts", "__metadata__")
    places = []
    for name, told in header.items():
        place = _place(told)
        if place is None:
            tell("safetensors-header", f"the tensor {name!r} is not described as the format asks", name)
            return
        dtype, shape, first, last = place
        if dtype not in _BITS:
            tell("safetensors-dtype", f"the tensor {name!r} is a {dtype}", name)
        elif -(-prod(shape) * _BITS[dtype] // 8) != last - first:
            tell("safetensors-bytes", f"the tensor {name!r} claims {last - first} bytes", name)
        places.append((first, last, name))
    at = 0
    for first, last, name in sorted(places):
        if first != at:
            tell("safetensors-bytes", f"the tensor {name!r} begins at {first}, not at {at}", name)
            return
        at = last
    if at != source.size - 8 - length:
        tell("safetensors-bytes", f"tensors end at {at}, the file at {source.size - 8 - length}")


def _place(told: Any) -> tuple[str, list[int], int, int] | None:
    if not isinstance(told, dict) or set(told) != {"dtype", "shape", "data_offsets"}:
        return None
    dtype, shape, offsets = told["dtype"], told["shape"], told["data_offsets"]
    if not isinstance(dtype, str) or not _counts(shape) or not _counts(offsets) or len(offsets) != 2:
        return None
    return dtype, shape, offsets[0], offsets[1]


def _counts(values: Any) -> bool:
    return isinstance(values, list) and len(values) <= 64 and all(
        type(each) is int and 0 <= each < 1 << 63 for each in values
    )  # fmt: skip


READING = Reading("safetensors", recognises, inspect, RULES)
