"""Tar archives that are the same bytes for the same tree: names in order, whole seconds."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import BinaryIO

from tradewind.audit.images.archives import BLOCK, XATTR
from tradewind.audit.images.regions import CHUNK
from tradewind.audit.trees import Entry
from tradewind.errors import Misuse

_LETTERS = {"file": b"0", "directory": b"5", "link": b"2", "pipe": b"6"}
_RECORD = 20 * BLOCK


class TarWriter:
    """Writes members to `write`, in the ustar format with PAX records where that is too narrow."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write, self._count = write, 0

    def add(self, entry: Entry, content: BinaryIO | None = None, *, hard: str = "") -> None:
        """Add an entry, with its content if it is a file, or as another name of `hard`, which came before.

        Sockets cannot be in an archive and are left out. Misuse if the content is not as long as the entry
        says.
        """
        if entry.kind == "socket":
            return
        stored = entry.size if entry.kind == "file" and not hard else 0
        self._put(_header(entry, stored, hard))
        if not stored:
            return
        left = stored
        while left and content is not None and (piece := content.read(min(CHUNK, left))):
            self._put(piece)
            left -= len(piece)
        if left or content is None or content.read(1):
            raise Misuse(
                f"had {entry.size:,} bytes and has not any more", field=entry.path,
                fix="Let nobody write to the tree meanwhile.",
            )  # fmt: skip
        self._put(bytes(-stored % BLOCK))

    def close(self) -> None:
        """Write the end mark."""
        self._put(bytes(2 * BLOCK))
        self._put(bytes(-self._count % _RECORD))

    def _put(self, content: bytes) -> None:
        self._write(content)
        self._count += len(content)


def _header(entry: Entry, stored: int, hard: str) -> bytes:
    name = os.fsencode(entry.path + ("/" if entry.kind == "directory" else ""))
    target = os.fsencode(hard or (entry.target if entry.kind == "link" else ""))
    records: list[tuple[bytes, bytes]] = []
    prefix, short = _split(name)
    if short is None:
        records.append((b"path", name))
        short = name[:100]
    if len(target) > 100:
        records.append((b"linkpath", target))
    modified = math.floor(entry.modified)
    numbers = {
        b"uid": (entry.user, 8),
        b"gid": (entry.group, 8),
        b"size": (stored, 12),
        b"mtime": (modified, 12),
    }
    fields = {}
    for key, (number, width) in numbers.items():
        fits = 0 <= number < 8 ** (width - 1)
        if not fits:
            records.append((key, b"%d" % number))
        fields[key] = b"%0*o\0" % (width - 1, number if fits else 0)
    if not hard:
        records += [(XATTR + os.fsencode(key), value) for key, value in entry.attributes]
    letter, major, minor = b"1" if hard else _LETTERS.get(entry.kind, b""), 0, 0
    if entry.kind == "device" and not hard:
        kind, _, pair = entry.target.partition(" ")
        letter = b"3" if kind == "c" else b"4"
        major, minor = (int(each) for each in pair.split(":"))
    header = b"".join(
        (
            short.ljust(100, b"\0"), b"%07o\0" % entry.mode, fields[b"uid"], fields[b"gid"], fields[b"size"],
            fields[b"mtime"], b" " * 8, letter, target[:100].ljust(100, b"\0"), b"ustar\x0000", bytes(64),
            b"%07o\0" % major, b"%07o\0" % minor, prefix.ljust(155, b"\0"), bytes(12),
        )
    )  # fmt: skip
    header = _summed(header)
    return _extended(name, records) + header if records else header


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    """A name as ustar's prefix and name; None where it does not fit, or may be read in several ways."""
    if not name.isascii():
        return b"", None
    if len(name) <= 100:
        return b"", name
    at = name.rfind(b"/", 0, 156)
    while at > 0:
        if 0 < len(name) - at - 1 <= 100:
            return name[:at], name[at + 1 :]
        at = name.rfind(b"/", 0, at) if len(name) - at - 1 < 1 else -1
    return b"", None


def _extended(name: bytes, records: list[tuple[bytes, bytes]]) -> bytes:
    """A PAX header that holds `records` for the member after it."""
    content = b""
    for key, value in sorted(records):
        body = b" " + key + b"=" + value + b"\n"
        length = len(body) + 1
        # The length counts its own digits.
        while len(body) + len(b"%d" % length) != length:
            length = len(body) + len(b"%d" % length)
        content += b"%d" % length + body
    shown = b"PaxHeaders/" + name.rstrip(b"/").rpartition(b"/")[2][:80]
    header = b"".join(
        (
            shown.ljust(100, b"\0"), b"0000644\0", b"0000000\0", b"0000000\0", b"%011o\0" % len(content),
            b"00000000000\0", b" " * 8, b"x", bytes(100), b"ustar\x0000", bytes(247),
        )
    )  # fmt: skip
    return _summed(header) + content + bytes(-len(content) % BLOCK)


def _summed(header: bytes) -> bytes:
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]
