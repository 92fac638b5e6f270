"""A zip's directory and its members' own headers, read twice and compared.

Readers of zips differ in which of the two they believe, in what they do with bytes between members, and in
how they find the directory. A file is taken for one zip only where none of that matters: every byte belongs
to one member, its header or the directory, and both descriptions agree.
"""

from __future__ import annotations

import stat
import struct
from weakref import WeakKeyDictionary

from msgspec import Struct

from tradewind.data.model_files.inspection import Source

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END64, _LOCATOR, _DESCRIPTOR = b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"
_TAIL = 22 + 65_535
_FULL = 0xFFFFFFFF


class Doubt(Exception):
    """Two readers could see different things; `rule` says which kind."""

    def __init__(self, rule: str, message: str, offset: int | None = None, name: str = "") -> None:
        super().__init__(message)
        self.rule, self.offset, self.name = rule, offset, name


class Member(Struct, frozen=True):
    """A file in the archive."""

    name: str
    method: int
    flags: int
    crc: int
    packed: int
    size: int
    header: int
    """Offset of its own header."""
    start: int
    """Offset of its packed bytes."""
    end: int
    """Offset of the byte after it and its descriptor."""
    link: bool


_KNOWN: WeakKeyDictionary[Source, list[Member] | Doubt] = WeakKeyDictionary()


def looks_like_zip(source: Source) -> bool:
    """Whether some reader takes the file for a zip: by its first bytes, or by a directory at its end."""
    head = source.read(0, 4)
    return head in (LOCAL, END) or _ends(source) != []


def _ends(source: Source) -> list[int]:
    """Offsets of all that may be the directory's end."""
    start = max(0, source.size - _TAIL)
    tail = source.read(start, source.size - start)
    found: list[int] = []
    at = tail.rfind(END)
    while at >= 0 and len(found) < 16:
        if at + 22 <= len(tail):
            found.append(start + at)
        at = tail.rfind(END, 0, at)
    return found


def members_of(source: Source, limit: int = 200_000) -> list[Member]:
    """The members, in the order of their bytes. Doubt where readers could disagree about any of it.

    What was found of a source is kept while it lives: several readings ask for it.
    """
    known = _KNOWN.get(source)
    if known is None:
        try:
            known = _members_of(source, limit)
        except Doubt as doubt:
            known = doubt
        _KNOWN[source] = known
    if isinstance(known, Doubt):
        raise Doubt(known.rule, str(known), known.offset, known.name)
    return list(known)


def _members_of(source: Source, limit: int) -> list[Member]:
    ends = _ends(source)
    if not ends:
        raise Doubt("zip-directory", "the archive has no directory, or its end is cut off")
    exact = [at for at in ends if at + 22 + _u16(source.read(at + 20, 2)) == source.size]
    if len(exact) != 1:
        raise Doubt("zip-directory", "where the archive's directory ends is not certain", ends[0])
    end = exact[0]
    if end != max(ends):
        raise Doubt("zip-directory", "the archive's comment holds another end of a directory", end)
    count, size, offset, begin = _directory(source, end)
    if any(offset <= at < end for at in ends):  # one before is a member's: an archive stored in this one
        raise Doubt("zip-directory", "the directory holds another end of a directory", end)
    if count > limit:
        raise Doubt("zip-directory", f"the archive lists {count:,} members", end)
    if offset + size != begin:
        raise Doubt("zip-prefix", "bytes stand before the archive, or between its directory and its end", end)
    content = source.read(offset, size)
    members, at = [], 0
    for _ in range(count):
        member, at = _central(source, content, at, offset)
        members.append(member)
    if at != size:
        raise Doubt("zip-directory", "the directory holds more than it lists", offset + at)
    members.sort(key=lambda member: member.header)
    _no_gaps(members, offset)
    _names(members)
    return members


def _directory(source: Source, end: int) -> tuple[int, int, int, int]:
    """Entries, bytes and offset of the directory, and where what ends it begins."""
    disk, start_disk, here, count, size, offset = struct.unpack("<4H2I", source.read(end + 4, 16))
    if disk or start_disk or here != count:
        raise Doubt("zip-directory", "the archive is one of several parts", end)
    locator = source.read(end - 20, 20) if end >= 20 else b""
    if locator[:4] != _LOCATOR:
        if count == 0xFFFF or _FULL in (size, offset):
            raise Doubt("zip-directory", "the directory's larger form is missing", end)
        return count, size, offset, end
    _, at, disks = struct.unpack("<IQI", locator[4:])
    record = source.read(at, 56) if at <= end - 76 else b""
    if len(record) < 56 or record[:4] != _END64 or disks != 1:
        raise Doubt("zip-directory", "the directory's larger form is damaged", end)
    length, _, _, disk, start_disk, here64, count64, size64, offset64 = struct.unpack(
        "<QHHIIQQQQ", record[4:]
    )
    if at + 12 + length != end - 20 or disk or start_disk or here64 != count64:
        raise Doubt("zip-directory", "the directory's larger form is damaged", at)
    for small, full, large in ((count, 0xFFFF, count64), (size, _FULL, size64), (offset, _FULL, offset64)):
        if small not in (full, large):
            raise Doubt("zip-directory", "the two forms of the directory's end differ", end)
    return count64, size64, offset64, at


def _central(source: Source, content: bytes, at: int, base: int) -> tuple[Member, int]:
    if content[at : at + 4] != CENTRAL or at + 46 > len(content):
        raise Doubt("zip-directory", "the directory is damaged", base + at)
    (made, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment_length, disk, _,
     attributes, header) = struct.unpack("<6H3I5H2I", content[at + 4 : at + 46])  # fmt: skip
    stop = at + 46 + name_length + extra_length + comment_length
    if stop > len(content) or disk not in (0, 0xFFFF):
        raise Doubt("zip-directory", "the directory is damaged", base + at)
    raw = content[at + 46 : at + 46 + name_length]
    extra = content[at + 46 + name_length : at + 46 + name_length + extra_length]
    wide = _wide(extra, [each for each in (size, packed, header) if each == _FULL], base + at)
    size = wide.pop(0) if size == _FULL and wide else size
    packed = wide.pop(0) if packed == _FULL and wide else packed
    header = wide.pop(0) if header == _FULL and wide else header
    name = _decoded(raw, flags, base + at)
    start, end = _local(source, header, raw, flags, method, crc, packed, size, name)
    link = made >> 8 == 3 and stat.S_ISLNK(attributes >> 16)
    return Member(name, method, flags, crc, packed, size, header, start, end, link), stop


def _local(
    source: Source,
    header: int,
    raw: bytes,
    flags: int,
    method: int,
    crc: int,
    packed: int,
    size: int,
    name: str,
) -> tuple[int, int]:
    """Where a member's bytes begin and where it ends, once its own header says the same as the directory."""
    own = source.read(header, 30)
    if len(own) < 30 or own[:4] != LOCAL:
        raise Doubt("zip-local", "a member's own header is missing", header, name)
    _, own_flags, own_method, _, _, own_crc, own_packed, own_size, name_length, extra_length = struct.unpack(
        "<5H3I2H", own[4:]
    )
    rest = source.read(header + 30, name_length + extra_length)
    if rest[:name_length] != raw:
        raise Doubt("zip-local", "a member's own header has another name", header, name)
    if own_flags != flags or own_method != method:
        raise Doubt("zip-local", "a member's own header has other flags or another method", header, name)
    wide = _wide(rest[name_length:], [each for each in (own_size, own_packed) if each == _FULL], header)
    own_size = wide.pop(0) if own_size == _FULL and wide else own_size
    own_packed = wide.pop(0) if own_packed == _FULL and wide else own_packed
    start = header + 30 + name_length + extra_length
    end = start + packed
    if end > source.size:
        raise Doubt("zip-local", "a member ends beyond the file", header, name)
    described = bool(flags & 8)
    if not described and (own_crc, own_packed, own_size) != (crc, packed, size):
        raise Doubt("zip-local", "a member's own header has another length or checksum", header, name)
    if described:
        if (own_crc, own_packed, own_size) not in ((0, 0, 0), (crc, packed, size)):
            raise Doubt("zip-local", "a member's own header has another length or checksum", header, name)
        end += _descriptor(source, end, crc, packed, size, header, name)
    return start, end


def _descriptor(
    source: Source, at: int, crc: int, packed: int, size: int, header: int, name: str
) -> int:  # fmt: skip
    """Bytes of the descriptor after a member, which repeats checksum and lengths."""
    content = source.read(at, 24)
    for layout in ("<4sIII", "<4sIQQ", "<III", "<IQQ"):
        length = struct.calcsize(layout)
        if len(content) < length:
            continue
        told = struct.unpack(layout, content[:length])
        signed = layout.startswith("<4s")
        if (not signed or told[0] == _DESCRIPTOR) and told[-3:] == (crc, packed, size):
            return length
    raise Doubt("zip-local", "a member's descriptor is missing or differs", header, name)


def _wide(extra: bytes, wanted: list[int], offset: int) -> list[int]:
    """The 64-bit numbers of an extra field that stand for those that did not fit."""
    at, found = 0, []
    while at + 4 <= len(extra):
        kind, length = struct.unpack("<HH", extra[at : at + 4])
        if kind == 1:
            body = extra[at + 4 : at + 4 + length]
            found = [_u64(body[index : index + 8]) for index in range(0, len(body) // 8 * 8, 8)]
        at += 4 + length
    if len(found) < len(wanted):
        raise Doubt("zip-local", "a length that did not fit is missing", offset)
    return found if wanted else []


def _decoded(raw: bytes, flags: int, offset: int) -> str:
    try:
        return raw.decode("utf-8" if flags & 0x800 or not raw.isascii() else "ascii")
    except UnicodeDecodeError:
        raise Doubt("zip-path", "a member's name is no text", offset) from None


def _no_gaps(members: list[Member], directory: int) -> None:
    at = 0
    for member in members:
        if member.header > at and not at:
            raise Doubt("zip-prefix", f"{member.header:,} bytes stand before the archive", 0)
        if member.header < at:
            raise Doubt("zip-overlap", "two members lie over one another", member.header, member.name)
        if member.header > at:
            raise Doubt("zip-gap", f"{member.header - at:,} bytes belong to no member", at)
        at = member.end
    if at != directory:
        raise Doubt(
            "zip-overlap" if at > directory else "zip-gap",
            "bytes before the directory belong to no member",
            at,
        )


def _names(members: list[Member]) -> None:
    seen: set[str] = set()
    for member in members:
        name = member.name
        plain = name.rstrip("/").lower()
        if plain in seen:
            raise Doubt("zip-duplicate", f"two members are called {name!r}", member.header, name)
        seen.add(plain)
        parts = name.split("/")
        if (
            not name
            or name.startswith("/")
            or ".." in parts
            or "\\" in name
            or "\0" in name
            or name[1:2] == ":"
        ):
            raise Doubt("zip-path", f"a member would be unpacked outside: {name!r}", member.header, name)


def _u16(content: bytes) -> int:
    return int.from_bytes(content, "little")


def _u64(content: bytes) -> int:
    return int.from_bytes(content, "little")
