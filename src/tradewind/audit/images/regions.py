"""Stretches of open files, read without moving anybody's position, so that threads may share them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import BinaryIO

CHUNK = 1 << 20


class Region:
    """`size` bytes from `start` on of an open file, or, for a sparse file, bytes with holes between them."""

    def __init__(
        self, file: BinaryIO, start: int, size: int, stretches: tuple[tuple[int, int], ...] | None = None
    ) -> None:
        self.file, self.start, self.size = file, start, size
        self.stretches = stretches
        """Where the stored bytes belong, as pairs of offset and length; None for a file without holes."""

    def within(self, start: int, size: int) -> Region:
        """A stretch of a stretch that has no holes."""
        return Region(self.file, self.start + start, size)

    def at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset` on; fewer at the end only."""
        count = min(count, self.size - offset)
        if count <= 0:
            return b""
        if self.stretches is not None:
            return self._with_holes(offset, count)
        return self._stored(offset, count)

    def _stored(self, offset: int, count: int) -> bytes:
        descriptor, found = self.file.fileno(), b""
        while len(found) < count:
            more = os.pread(descriptor, count - len(found), self.start + offset + len(found))
            if not more:
                break
            found = found + more if found else more
        return found

    def _with_holes(self, offset: int, count: int) -> bytes:
        content, kept = bytearray(count), 0
        for begin, length in self.stretches or ():
            low, high = max(begin, offset), min(begin + length, offset + count)
            if low < high:
                content[low - offset : high - offset] = self._stored(kept + low - begin, high - low)
            kept += length
        return bytes(content)

    def chunks(self) -> Iterator[bytes]:
        """The whole content, in pieces."""
        offset = 0
        while piece := self.at(offset, CHUNK):
            yield piece
            offset += len(piece)

    def open(self) -> BinaryIO:
        """The content as a file of its own."""
        return io.BufferedReader(_RegionFile(self))


class _RegionFile(io.RawIOBase):
    def __init__(self, region: Region) -> None:
        self._region, self._position = region, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self._region.at(self._position, len(buffer))
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._region.size}[whence]
        if base + offset < 0:
            raise ValueError(f"no position {base + offset}")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position
