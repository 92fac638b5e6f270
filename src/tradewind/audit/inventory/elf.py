"""ELF files as far as an audit needs them: what loads them, which libraries they ask for, and their sections.

Only headers, the dynamic section and its strings are read, wherever they lie in the file. Every number of the
file is distrusted: what points outside, or asks for more than a sane file would, is left out, never
allocated.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from msgspec import Struct

MAGIC = b"\x7fELF"
MACHINES = {
    2: "sparc", 3: "i386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 43: "sparc64",
    62: "x86_64", 183: "aarch64", 190: "cuda", 224: "amdgpu", 243: "riscv", 258: "loongarch",
}  # fmt: skip
"""The names of `e_machine`; another number is named by itself."""
INTERPRETER, DYNAMIC, LOAD = 3, 2, 1
NEEDED, STRINGS, STRINGS_SIZE, SONAME, RPATH, RUNPATH = 1, 5, 10, 14, 15, 29
MOST_HEADERS = 4096
"""Program or section headers that are read of one file at most."""
MOST_BYTES = 16 << 20
"""Bytes of one table that are read at most."""


class Elf(Struct, frozen=True):
    """What one ELF file asks for."""

    interpreter: str = ""
    """The loader that the kernel starts for it, as it is written (absolute); empty for a library."""
    needed: tuple[str, ...] = ()
    """The libraries that it is linked with (DT_NEEDED), in order; names, or paths where one holds a slash."""
    runpath: tuple[str, ...] = ()
    """Where they are looked for first, `$ORIGIN` left in: DT_RUNPATH, or DT_RPATH without one."""
    soname: str = ""
    machine: str = ""
    """The processor: `x86_64`, `aarch64`, ..."""
    bits: int = 64
    inherited: bool = False
    """Whether `runpath` holds for the libraries of its libraries too: it is a DT_RPATH."""


class Section(Struct, frozen=True):
    """One section of an ELF file."""

    name: str
    kind: int
    offset: int
    """Where it begins in the file."""
    size: int
    """Bytes in the file; 0 for one that takes room in memory only."""
    address: int = 0
    """Where it is loaded."""


class _Header(Struct, frozen=True):
    """The file's header: where the tables are and how numbers are written."""

    order: str
    bits: int
    machine: int
    programs: tuple[int, int, int]
    """Offset, bytes of one, and count of the program headers."""
    sections: tuple[int, int, int]
    names: int
    """The number of the section that holds the sections' names."""


def read_elf(file: BinaryIO) -> Elf | None:
    """What the ELF file asks for; None for a file of another kind, or one whose headers are cut off."""
    header = _header(file)
    if header is None:
        return None
    programs = list(_programs(file, header))
    interpreter = next(
        (_string(_at(file, o, min(n, 4096)), 0) for k, o, _, n in programs if k == INTERPRETER), ""
    )
    loads = [(address, offset, size) for kind, offset, address, size in programs if kind == LOAD]
    entries: list[tuple[int, int]] = []
    for kind, offset, _, size in programs:
        if kind == DYNAMIC:
            entries = _dynamic(_at(file, offset, min(size, MOST_BYTES)), header)
            break
    values = dict(reversed(entries))
    strings = b""
    where = _in_file(values.get(STRINGS, -1), loads)
    if where is not None:
        strings = _at(file, where, min(values.get(STRINGS_SIZE, 0), MOST_BYTES))
    named = RUNPATH if RUNPATH in values else RPATH
    runpath = _string(strings, values[named]) if named in values else ""
    return Elf(
        interpreter=interpreter,
        needed=tuple(name for tag, value in entries if tag == NEEDED and (name := _string(strings, value))),
        runpath=tuple(part for part in runpath.split(":") if part),
        soname=_string(strings, values[SONAME]) if SONAME in values else "",
        machine=MACHINES.get(header.machine, str(header.machine)),
        bits=header.bits,
        inherited=named == RPATH and bool(runpath),
    )


def read_sections(file: BinaryIO) -> tuple[Section, ...]:
    """The sections of an ELF file, in order; none where there are none, or where it is no ELF file."""
    header = _header(file)
    if header is None:
        return ()
    offset, each, count = header.sections
    layout = header.order + ("IIQQQQII" if header.bits == 64 else "IIIIIIII")
    width = struct.calcsize(layout)
    if not offset or each < width:
        return ()
    if count == 0:
        # More sections than the header can count: the first section's size is their number.
        first = _at(file, offset, width)
        count = struct.unpack(layout, first)[5] if len(first) == width else 0
    table = _at(file, offset, min(count, MOST_HEADERS * 16) * each)
    rows = [struct.unpack_from(layout, table, start) for start in range(0, len(table) - width + 1, each)]
    names = b""
    at = header.names
    if at == 0xFFFF and rows:
        at = rows[0][6]
    if at < len(rows):
        names = _at(file, rows[at][4], min(rows[at][5], MOST_BYTES))
    return tuple(
        Section(
            name=_string(names, name),
            kind=kind,
            offset=start,
            size=0 if kind in (0, 8) else size,
            address=address,
        )
        for name, kind, _, address, start, size, _, _ in rows
    )


def _header(file: BinaryIO) -> _Header | None:
    start = _at(file, 0, 64)
    if len(start) < 52 or not start.startswith(MAGIC) or start[4] not in (1, 2) or start[5] not in (1, 2):
        return None
    bits, order = (32 if start[4] == 1 else 64), ("<" if start[5] == 1 else ">")
    layout = order + ("HHIQQQIHHHHHH" if bits == 64 else "HHIIIIIHHHHHH")
    if len(start) < 16 + struct.calcsize(layout):
        return None
    _, machine, _, _, programs, sections, _, _, program, count, section, number, names = struct.unpack_from(
        layout, start, 16
    )
    return _Header(order, bits, machine, (programs, program, count), (sections, section, number), names)


def _programs(file: BinaryIO, header: _Header) -> Iterator[tuple[int, int, int, int]]:
    """Of each program header: its kind, offset, the address it is loaded at, and its bytes in the file."""
    offset, each, count = header.programs
    wide = header.bits == 64
    layout = header.order + ("IIQQQQQQ" if wide else "IIIIIIII")
    width = struct.calcsize(layout)
    if not offset or each < width:
        return
    table = _at(file, offset, min(count, MOST_HEADERS) * each)
    for start in range(0, len(table) - width + 1, each):
        row = struct.unpack_from(layout, table, start)
        yield (row[0], row[2], row[3], row[5]) if wide else (row[0], row[1], row[2], row[4])


def _dynamic(table: bytes, header: _Header) -> list[tuple[int, int]]:
    layout = struct.Struct(header.order + ("qQ" if header.bits == 64 else "iI"))
    found = []
    for tag, value in layout.iter_unpack(table[: len(table) // layout.size * layout.size]):
        if tag == 0:
            break
        found.append((tag, value))
    return found


def _in_file(address: int, loads: list[tuple[int, int, int]]) -> int | None:
    """Where in the file the byte lies that is loaded at `address`."""
    for start, offset, size in loads:
        if start <= address < start + size:
            return offset + address - start
    return None


def _at(file: BinaryIO, offset: int, size: int) -> bytes:
    """Up to `size` bytes from `offset`; fewer at the end of the file."""
    if size <= 0 or not 0 <= offset < 1 << 62:
        return b""
    file.seek(offset)
    return file.read(size)


def _string(strings: bytes, at: int) -> str:
    if not 0 <= at < len(strings):
        return ""
    end = strings.find(b"\0", at)
    return strings[at : end if end >= 0 else len(strings)].decode("utf-8", "surrogateescape")
