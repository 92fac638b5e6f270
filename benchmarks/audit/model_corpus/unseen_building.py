"""Writes pickles opcode by opcode and archives field by field, for the attacks of the unseen half."""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import tarfile
import zlib
from typing import Any, NamedTuple


class Raw(NamedTuple):
    """Opcodes as they are."""

    code: bytes


class Name(NamedTuple):
    """A global by module and name; the name may have dots from protocol 4 on."""

    module: str
    name: str


class Apply(NamedTuple):
    """Two operands and the opcode that takes them: a call, a new object, a state, an element."""

    parts: tuple[Any, ...]
    code: bytes


def call(function: Any, *given: Any) -> Apply:
    """REDUCE."""
    return Apply((function, given), b"R")


def new(kind: Any, *given: Any) -> Apply:
    """NEWOBJ."""
    return Apply((kind, given), b"\x81")


def new_ex(kind: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Apply:
    """NEWOBJ_EX."""
    return Apply((kind, given, named), b"\x92")


def build(made: Any, state: Any) -> Apply:
    """BUILD."""
    return Apply((made, state), b"b")


def item(holder: Any, key: Any, value: Any) -> Apply:
    """SETITEM."""
    return Apply((holder, key, value), b"s")


def append(holder: Any, value: Any) -> Apply:
    """APPEND."""
    return Apply((holder, value), b"a")


def add(holder: Any, value: Any) -> Apply:
    """ADDITEMS, of one."""
    return Apply((holder, Raw(b"("), value), b"\x90")


def keep(place: int, value: Any) -> Apply:
    """BINPUT."""
    return Apply((value,), b"q" + bytes([place]))


def again(place: int) -> Raw:
    """BINGET."""
    return Raw(b"h" + bytes([place]))


def text(value: str) -> bytes:
    """BINUNICODE."""
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _number(value: int) -> bytes:
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def emit(value: Any, protocol: int = 4) -> bytes:
    """The opcodes that leave this value on the stack."""
    if isinstance(value, Raw):
        return value.code
    if isinstance(value, Name):
        if protocol >= 4:
            return text(value.module) + text(value.name) + b"\x93"
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, Apply):
        return b"".join(emit(part, protocol) for part in value.parts) + value.code
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        return _number(value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bytes):
        return b"B" + struct.pack("<I", len(value)) + value
    if isinstance(value, bytearray):
        return b"\x96" + struct.pack("<Q", len(value)) + bytes(value)
    if isinstance(value, tuple):
        inner = b"".join(emit(each, protocol) for each in value)
        return b"(" + inner + b"t" if value else b")"
    if isinstance(value, list):
        return b"](" + b"".join(emit(each, protocol) for each in value) + b"e"
    if isinstance(value, dict):
        pairs = (emit(key, protocol) + emit(held, protocol) for key, held in value.items())
        return b"}(" + b"".join(pairs) + b"u"
    if isinstance(value, set):
        return b"\x8f(" + b"".join(emit(each, protocol) for each in sorted(value)) + b"\x90"
    raise TypeError(type(value))


def program(*steps: Any, protocol: int = 4) -> bytes:
    """A pickle that takes the steps one after another and returns the last one's value."""
    head = b"\x80" + bytes([protocol]) if protocol >= 2 else b""
    return head + b"0".join(emit(step, protocol) for step in steps) + b"."


class Member(NamedTuple):
    """One member of a zip archive, with what its two headers say."""

    name: str
    content: bytes
    method: int = 0
    local_name: str = ""
    local_flags: int = 0
    central_flags: int = 0
    crc: int | None = None
    central_method: int | None = None
    local_size: int | None = None
    listed: bool = True


def _packed(content: bytes, method: int) -> bytes:
    if method == 8:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(content) + packer.flush()
    if method == 12:
        return bz2.compress(content)
    if method == 14:
        filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16, "lc": 3, "lp": 0, "pb": 2}]
        raw = lzma.compress(content, format=lzma.FORMAT_RAW, filters=filters)
        return b"\x09\x04\x05\x00" + bytes([(2 * 5 + 0) * 9 + 3]) + struct.pack("<I", 1 << 16) + raw
    return content


def zipped(members: list[Member], *, before: bytes = b"", after: bytes = b"", comment: bytes = b"") -> bytes:
    """A zip archive; what stands before it is counted in its offsets."""
    body, directory, listed = bytearray(before), bytearray(), 0
    for member in members:
        packed, offset = _packed(member.content, member.method), len(body)
        crc = zlib.crc32(member.content) if member.crc is None else member.crc
        local, central = (member.local_name or member.name).encode(), member.name.encode()
        extraction = {12: 46, 14: 63}.get(member.method, 20)
        lzma_flag = 2 if member.method == 14 else 0
        size = len(packed) if member.local_size is None else member.local_size
        body += struct.pack(
            "<IHHHHHIIIHH", 0x04034B50, extraction, member.local_flags | lzma_flag, member.method, 0, 0x21,
            crc, size, len(member.content), len(local), 0,
        ) + local + packed  # fmt: skip
        if not member.listed:
            continue
        listed += 1
        method = member.method if member.central_method is None else member.central_method
        directory += struct.pack(
            "<IHHHHHHIIIHHHHHII", 0x02014B50, 20, extraction, member.central_flags | lzma_flag, method,
            0, 0x21, crc, len(packed), len(member.content), len(central), 0, 0, 0, 0, 0, offset,
        ) + central  # fmt: skip
    start = len(body)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, listed, listed, len(directory), start, len(comment))
    return bytes(body) + bytes(directory) + end + comment + after


def tarred(members: list[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar archive, every date zero."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def statement(marker: str) -> str:
    """Python that makes the marker."""
    return f"import os; os.mkdir({marker!r})"


def expression(marker: str) -> str:
    """An expression that makes the marker."""
    return f"__import__('os').mkdir({marker!r})"


def shell(marker: str) -> str:
    """A shell command that makes the marker."""
    return f"touch '{marker}'"


MKDIR = Name("posix", "mkdir")
PARTIAL = Name("functools", "partial")
NAMESPACE = Name("types", "SimpleNamespace")


def held(function: Any, *given: Any) -> Apply:
    """A partial, made without a call."""
    return new(PARTIAL, function, *given)


def namespace(**fields: Any) -> Apply:
    """A plain object with these attributes, made without a call."""
    return build(new(NAMESPACE), fields)


def plain(marker: str, protocol: int = 4) -> bytes:
    """The simplest attack, for attacks that lie in the container."""
    return program(call(Name("os", "mkdir"), marker), protocol=protocol)


HARMLESS = program({"weights": [0.25, -1.5, 3.0], "epoch": 7})
"""A pickle of numbers."""
