"""Zip archives: taken as one only where every reader sees the same members, each handed on for inspection."""

from __future__ import annotations

import bz2
import zipfile
import zlib
from typing import Any, BinaryIO

from tradewind.data.model_files.containers.windows import Unpacked, pieces, window
from tradewind.data.model_files.containers.zip_directory import Doubt, Member, looks_like_zip, members_of
from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.inspection import Inspection, Reading, Source

_AGAIN = "Fetch the file again, or pack it again with a plain tool; if it stays so, do not load it."
_DIFFER = (
    "Two readers of the archive would see different things in it: one may inspect what another never loads."
)
RULES = {
    rule: Rule(rule, "blocked", meaning, _AGAIN)
    for rule, meaning in {
        "zip-directory": f"The archive's directory is missing, damaged or ambiguous. {_DIFFER}",
        "zip-prefix": f"Bytes stand before the archive. {_DIFFER}",
        "zip-gap": f"Bytes of the archive belong to no member that it lists. {_DIFFER}",
        "zip-overlap": f"Members lie over one another. {_DIFFER}",
        "zip-local": f"A member's own header and the directory disagree. {_DIFFER}",
        "zip-duplicate": f"Two members have one name. {_DIFFER}",
        "zip-checksum": f"A member's bytes do not have the checksum or length that is stated. {_DIFFER}",
        "zip-path": "A member's name leads outside of the folder it would be unpacked into.",
        "zip-link": "A member is a link: unpacking it would lead a later member, or a reader, elsewhere.",
        "zip-encrypted": "A member is encrypted: what loading it would do cannot be judged.",
    }.items()
}
UNREAD = Rule(
    "zip-method",
    "undecided",
    "A member is compressed in a way that is not read here.",
    "Pack it again with deflate.",
)
_STORED, _DEFLATED, _BZIP2, _LZMA = 0, 8, 12, 14


def structure(source: Source, inspection: Inspection) -> list[Member]:
    """Check the archive as such; its members, none where it cannot be taken as one archive."""
    try:
        members = members_of(source, inspection.budget.members)
    except Doubt as doubt:
        inspection.found(RULES[doubt.rule], str(doubt), source=source, offset=doubt.offset, name=doubt.name)
        return []
    inspection.spend(members=len(members))
    return members


def opened(source: Source, member: Member, inspection: Inspection) -> BinaryIO | None:
    """A member's bytes, whole and with the right checksum; None, with a finding, where they cannot be had."""
    where = {"source": source, "offset": member.header, "name": member.name}
    if member.flags & 0x2061:
        inspection.found(RULES["zip-encrypted"], f"{member.name} is encrypted or patched", **where)  # type: ignore[arg-type]
        return None
    if member.link:
        inspection.found(RULES["zip-link"], f"{member.name} is a link", **where)  # type: ignore[arg-type]
        return None
    crc = 0
    if member.method == _STORED:
        if member.size != member.packed:
            inspection.found(RULES["zip-checksum"], f"{member.name} has two lengths", **where)  # type: ignore[arg-type]
            return None
        for piece in pieces(source, member.start, member.packed):
            crc = zlib.crc32(piece, crc)
        content, size, whole = window(source, member.start, member.packed), member.packed, True
    else:
        decompressor = _decompressor(member.method)
        if decompressor is None:
            inspection.found(UNREAD, f"{member.name} is compressed by method {member.method}", **where)  # type: ignore[arg-type]
            return None
        unpacked = Unpacked(inspection, member.packed)
        crc, whole = _unpack(source, member, decompressor, unpacked)
        content, size = unpacked.file, unpacked.size
    if crc != member.crc or size != member.size or not whole:
        inspection.found(RULES["zip-checksum"], f"{member.name} is not what the archive states", **where)  # type: ignore[arg-type]
        # It is handed on all the same: who loads it may not look at the checksum.
    return content


def _decompressor(method: int) -> Any:
    if method == _DEFLATED:
        return zlib.decompressobj(-15)
    if method == _BZIP2:
        return bz2.BZ2Decompressor()
    return zipfile.LZMADecompressor() if method == _LZMA else None  # type: ignore[attr-defined]


def _unpack(source: Source, member: Member, decompressor: Any, unpacked: Unpacked) -> tuple[int, bool]:
    """The checksum of what came out, and whether the stream ended where the member does."""
    crc = 0
    try:
        for piece in pieces(source, member.start, member.packed):
            while piece:
                if member.method == _DEFLATED:
                    out = decompressor.decompress(piece, 1 << 20)
                    piece = decompressor.unconsumed_tail
                elif member.method == _BZIP2:
                    out, piece = decompressor.decompress(piece, 1 << 20), b""
                    while not decompressor.eof and not decompressor.needs_input:
                        crc = zlib.crc32(out, crc)
                        unpacked.add(out)
                        out = decompressor.decompress(b"", 1 << 20)
                else:
                    out, piece = decompressor.decompress(piece), b""
                crc = zlib.crc32(out, crc)
                unpacked.add(out)
                if decompressor.eof:
                    break
            if decompressor.eof:
                break
    except (zlib.error, OSError, ValueError, EOFError):
        return crc, False
    except Exception as error:  # lzma.LZMAError, whose module may be missing
        if type(error).__name__ != "LZMAError":
            raise
        return crc, False
    return crc, bool(decompressor.eof or not member.packed) and not getattr(decompressor, "unused_data", b"")


def inspect(source: Source, inspection: Inspection) -> None:
    """Check an archive and hand every member on."""
    for member in structure(source, inspection):
        if member.name.endswith("/") and not member.size:
            continue
        content = opened(source, member, inspection)
        if content is not None:
            inspection.inside(content, member.name, source)


READING = Reading("zip", looks_like_zip, inspect, {**RULES, UNREAD.id: UNREAD})
