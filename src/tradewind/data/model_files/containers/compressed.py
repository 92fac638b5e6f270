"""Compressed streams: unfolded within the budget, whole, and with nothing after them."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any

import zstandard

from tradewind.data.model_files.containers import lz4
from tradewind.data.model_files.containers.windows import Unpacked, pieces
from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.inspection import Inspection, Reading, Source

_AGAIN = "Fetch the file again; if it stays so, do not load it."
BROKEN = Rule(
    "compressed-broken", "blocked",
    "The compressed stream is damaged or cut off; a reader that unfolds as it goes has used what stood "
    "before.",
    _AGAIN,
)  # fmt: skip
TRAILING = Rule(
    "compressed-trailing", "blocked",
    "Bytes follow the compressed stream that belong to none: another reader may see something else in "
    "the file.",
    _AGAIN,
)  # fmt: skip
SEVEN_ZIP = Rule(
    "sevenzip-unread", "blocked",
    "A 7z archive, in which models have been hidden from scanners; no library loads one by itself.",
    "Unpack it with a tool that you trust, and scan what comes out.",
)  # fmt: skip
_RULES = {rule.id: rule for rule in (BROKEN, TRAILING)}
_STEP = 1 << 20
_FAULTS = (zlib.error, OSError, ValueError, EOFError, lzma.LZMAError, zstandard.ZstdError)


class _Zlib:
    """zlib's streams, in steps of a bounded size."""

    def __init__(self, window: int) -> None:
        self._of = zlib.decompressobj(window)
        self.eof, self.needs_input, self.unused_data = False, True, b""

    def decompress(self, data: bytes, size: int) -> bytes:
        out = self._of.decompress(self._of.unconsumed_tail + data, size)
        self.eof, self.unused_data = self._of.eof, self._of.unused_data
        self.needs_input = not self._of.unconsumed_tail and len(out) < size
        return out


class _Zstandard:
    """zstandard's frames; what it unfolds from one piece is bounded by the piece."""

    def __init__(self) -> None:
        self._of = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        self.eof, self.needs_input, self.unused_data = False, True, b""

    def decompress(self, data: bytes, size: int) -> bytes:
        out = self._of.decompress(data) if data else b""
        self.eof, self.unused_data = self._of.eof, self._of.unused_data
        return out


def _inspector(
    make: Callable[[], Any], skipped: int = 0, piece: int = _STEP
) -> Callable[[Source, Inspection], None]:
    def inspect(source: Source, inspection: Inspection) -> None:
        unpacked = Unpacked(inspection, source.size)
        offset = skipped
        try:
            while offset < source.size:
                inspection.spend(members=1)
                offset += _stream(source, offset, make(), unpacked, piece)
                if offset < source.size and not _again(source, offset, skipped):
                    inspection.found(
                        TRAILING, f"{source.size - offset:,} bytes follow", source=source, offset=offset
                    )
                    break
        except _FAULTS as error:
            inspection.found(BROKEN, f"the stream cannot be unfolded: {error}", source=source, offset=offset)
        inspection.inside(unpacked.file, "", source)

    return inspect


def _stream(source: Source, start: int, decompressor: Any, unpacked: Unpacked, piece: int) -> int:
    """Unfold one stream; how many bytes it had. EOFError where it does not end."""
    taken = 0
    for content in pieces(source, start, source.size - start):
        for at in range(0, len(content), piece):
            part = content[at : at + piece]
            taken += len(part)
            unpacked.add(decompressor.decompress(part, _STEP))
            while not decompressor.eof and not decompressor.needs_input:
                unpacked.add(decompressor.decompress(b"", _STEP))
            if decompressor.eof:
                return taken - len(decompressor.unused_data)
    raise EOFError("it ends before its time")


def _again(source: Source, offset: int, skipped: int) -> bool:
    """Whether another stream of the same kind begins here, as writers in parallel leave them."""
    return not skipped and source.read(offset, 2) == source.read(0, 2)


def _zlib(source: Source) -> bool:
    head = source.read(0, 2)
    if len(head) < 2 or head[0] & 0x0F != 8 or head[0] >> 4 > 7 or int.from_bytes(head, "big") % 31:
        return False
    try:
        return bool(zlib.decompressobj().decompress(source.read(0, 4096), 64))
    except zlib.error:
        return head in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


def _lzma_alone(source: Source) -> bool:
    """Whether the file begins as old LZMA does, which has no mark: by what its tools themselves ask for."""
    head = source.read(0, 13)
    window, size = int.from_bytes(head[1:5], "little"), int.from_bytes(head[5:13], "little")
    if len(head) < 13 or head[0] >= 225 or not (size == (1 << 64) - 1 or size < 1 << 38):
        return False
    lowest = window & -window
    return window >= 4096 and window in (lowest, lowest * 3)


def _lzma(kind: int) -> Callable[[], Any]:
    return lambda: lzma.LZMADecompressor(kind, memlimit=1 << 28)


def _lz4(source: Source, inspection: Inspection) -> None:
    unpacked = Unpacked(inspection, source.size)
    try:
        for content in lz4.unfolded(source):
            unpacked.add(content)
    except ValueError as error:
        inspection.found(BROKEN, f"the stream cannot be unfolded: {error}", source=source, offset=0)
    inspection.inside(unpacked.file, "", source)


def _unread(rule: Rule, what: str) -> Callable[[Source, Inspection], None]:
    return lambda source, inspection: inspection.found(rule, what, source=source, offset=0)


def _starts(*magics: bytes) -> Callable[[Source], bool]:
    return lambda source: source.read(0, 16).startswith(magics)


def _zfile(source: Source, inspection: Inspection) -> None:
    """joblib's own form of before 2014: a length in hexadecimal, perhaps a space, and a zlib stream."""
    _inspector(lambda: _Zlib(15), 22 if source.read(21, 1) == b" " else 21)(source, inspection)


READINGS = (
    Reading("gzip", _starts(b"\x1f\x8b"), _inspector(lambda: _Zlib(31)), _RULES),
    Reading("bz2", _starts(*(b"BZh%d" % each for each in range(1, 10))), _inspector(bz2.BZ2Decompressor),
    _RULES),
    Reading("xz", _starts(b"\xfd7zXZ\0"), _inspector(_lzma(lzma.FORMAT_XZ)), _RULES),
    Reading("lzma", _lzma_alone, _inspector(_lzma(lzma.FORMAT_ALONE)), _RULES),
    Reading("zlib", _zlib, _inspector(lambda: _Zlib(15)), _RULES),
    Reading("zstd", _starts(b"\x28\xb5\x2f\xfd"), _inspector(_Zstandard, piece=1 << 14), _RULES),
    Reading("zfile", _starts(b"ZF0x"), _zfile, _RULES),
    Reading("lz4", _starts(lz4.MAGIC), _lz4, _RULES),
    Reading(
        "7z", _starts(b"7z\xbc\xaf\x27\x1c"), _unread(SEVEN_ZIP, "a 7z archive"), {SEVEN_ZIP.id: SEVEN_ZIP}
    ),
)  # fmt: skip
