"""Many numbers with one opcode, as long lists have them, decoded at once."""

from __future__ import annotations

import re
import struct
from typing import Any

_FORMATS = {ord("K"): "B", ord("M"): "<H", ord("J"): "<i", ord("G"): ">d"}


class Decoded:
    """How a run of one opcode is found and read."""

    def __init__(self, opcode: int, width: int) -> None:
        self.width = width
        self.run = re.compile(b"(?:" + re.escape(bytes((opcode,))) + b".{%d})+" % width, re.DOTALL)
        self.item = struct.Struct(_FORMATS[opcode][:-1] + "x" + _FORMATS[opcode][-1])


def run_of(decoded: Decoded, data: bytes, start: int, end: int) -> tuple[list[Any], int]:
    """The numbers from the opcode at `start` on, none beyond `end`, and where the run ends."""
    found = decoded.run.match(data, start, end)
    stop = start if found is None else found.end()
    return [each[0] for each in decoded.item.iter_unpack(data[start:stop])], stop


_APPENDED = {
    ord("I"): (re.compile(rb"(?:I(?:0|-?[1-9][0-9]{0,17})\na){1,200}"), int),
    ord("F"): (re.compile(rb"(?:F-?[0-9]{1,18}(?:\.[0-9]{1,18})?(?:e[+-]?[0-9]{1,2})?\na){1,200}"), float),
}


def appended_run(data: bytes, start: int, end: int) -> tuple[list[Any], int]:
    """The numbers in text from `start` on that are each appended at once, and where they end.

    Only such as Python writes, which everybody reads alike: no other base, no truth value, nothing long.
    """
    pattern, read = _APPENDED[data[start]]
    found = pattern.match(data, start, end)
    if found is None:
        return [], start
    texts = data[start + 1 : found.end() - 2].split(b"\na" + data[start : start + 1])
    return [read(each) for each in texts], found.end()
