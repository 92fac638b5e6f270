"""LZ4 frames, unfolded here: joblib writes them, and nothing of the standard library reads them.

The format is the frame of version 1.6 with blocks that may refer to the 64 KiB before them. Checksums are of
xxHash-32 and are not compared: they tell damage and not intent, and no reader is safer for them.
"""

from __future__ import annotations

from collections.abc import Iterator

from tradewind.data.model_files.inspection import Source

MAGIC = b"\x04\x22\x4d\x18"
_REACH = 1 << 16
_LARGEST = 4 << 20


def unfolded(source: Source) -> Iterator[bytes]:
    """The content of a file's one frame, block by block. ValueError where it is damaged, cut or followed."""
    head = source.read(4, 2)
    if source.read(0, 4) != MAGIC or len(head) < 2 or head[0] >> 6 != 1 or head[0] & 2:
        raise ValueError("no frame of this version")
    flags, largest = head[0], 1 << (8 + 2 * (head[1] >> 4 & 7))
    if flags & 1 or not 1 << 16 <= largest <= _LARGEST:
        raise ValueError("a dictionary, or blocks of no known size")
    at = 7 + (8 if flags & 8 else 0)
    told = int.from_bytes(source.read(6, 8), "little") if flags & 8 else None
    before, total = b"", 0
    while True:
        word = source.read(at, 4)
        if len(word) < 4:
            raise ValueError("the frame is cut off")
        size, at = int.from_bytes(word, "little"), at + 4
        if not size:
            break
        stored, size = size >> 31, size & 0x7FFFFFFF
        block = source.read(at, size) if size <= largest else b""
        if len(block) < size or not size:
            raise ValueError("a block is cut off, or larger than it may be")
        at += size + (4 if flags & 16 else 0)
        content = block if stored else _block(block, before if not flags & 32 else b"", largest)
        before = (before + content)[-_REACH:]
        total += len(content)
        yield content
    at += 4 if flags & 4 else 0
    if at != source.size or told not in (None, total):
        raise ValueError("the frame has another length than it says, or is followed by something")


def _block(block: bytes, before: bytes, largest: int) -> bytes:
    """One block: literals, and copies of what came up to 64 KiB before."""
    out, at, end = bytearray(before), 0, len(block)
    limit = len(before) + largest
    while True:
        if at >= end:
            raise ValueError("a block ends in the middle")
        token, at = block[at], at + 1
        count, at = _length(block, at, token >> 4)
        if at + count > end:
            raise ValueError("literals end beyond their block")
        out += block[at : at + count]
        at += count
        if at == end:
            break
        back = int.from_bytes(block[at : at + 2], "little")
        count, at = _length(block, at + 2, token & 15)
        count += 4
        if not 0 < back <= len(out) or len(out) + count > limit:
            raise ValueError("a copy reaches before the beginning, or beyond the end")
        piece = bytes(out[-back:]) if back >= count else bytes(out[-back:]) * (count // back + 1)
        out += piece[:count]
    if len(out) > limit:
        raise ValueError("a block is larger than it may be")
    return bytes(out[len(before) :])


def _length(block: bytes, at: int, count: int) -> tuple[int, int]:
    """A length whose beginning is in the token, and where it ends."""
    if count == 15:
        while True:
            if at >= len(block):
                raise ValueError("a length ends beyond its block")
            more, at = block[at], at + 1
            count += more
            if more != 255:
                break
    return count, at
