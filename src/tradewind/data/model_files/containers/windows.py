"""Parts of a file, and unpacked streams, as files of their own."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

from tradewind.data.model_files.inspection import Exhausted, Inspection, Source

_MEMORY = 32 << 20  # what unfolds to more goes to a temporary file
_PIECE = 1 << 20


class Window(io.RawIOBase):
    """Bytes of a source from `start` on, `size` of them, read where they lie."""

    def __init__(self, source: Source, start: int, size: int) -> None:
        super().__init__()
        self._source, self._start = source, start
        self._size = max(0, min(size, source.size - start))
        self._position = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to an offset of the window; ValueError before its beginning."""
        position = offset + (0, self._position, self._size)[whence]
        if position < 0:
            raise ValueError(f"no position {position}")
        self._position = position
        return position

    def tell(self) -> int:
        """The position in the window."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, all that are left by default."""
        left = max(0, self._size - self._position)
        count = left if size is None or size < 0 else min(size, left)
        content = self._source.read(self._start + self._position, count) if count else b""
        self._position += len(content)
        return content

    def readall(self) -> bytes:
        """All that is left."""
        return self.read()

    def readinto(self, buffer: object) -> int:
        """Fill a buffer; how many bytes."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        content = self.read(len(view))
        view[: len(content)] = content
        return len(content)


def window(source: Source, start: int, size: int) -> BinaryIO:
    """A part of a source as a file."""
    return cast(BinaryIO, Window(source, start, size))


def pieces(source: Source, start: int, size: int) -> Iterator[bytes]:
    """The bytes of a part, in order, a mebibyte at most at a time."""
    end = min(start + size, source.size)
    while start < end:
        content = source.read(start, min(_PIECE, end - start))
        if not content:
            return
        yield content
        start += len(content)


class Spool(io.RawIOBase):
    """Bytes that are written once and then read: in memory while few, then in a file that has no name.

    It closes itself with its last reference, in silence: nobody else holds what it holds.
    """

    def __init__(self) -> None:
        super().__init__()
        self._file: BinaryIO = io.BytesIO()
        self._kept = False

    def add(self, content: bytes) -> None:
        """Write more at the end."""
        if not self._kept and self._file.tell() + len(content) > _MEMORY:
            held = cast(io.BytesIO, self._file).getbuffer()
            self._file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115
            self._file.write(held)
            self._kept = True
        self._file.write(content)

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to an offset."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The position."""
        return self._file.tell()

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes, all that are left by default."""
        return self._file.read(-1 if size is None else size)

    def readall(self) -> bytes:
        """All that is left."""
        return self._file.read()

    def readinto(self, buffer: object) -> int:
        """Fill a buffer; how many bytes."""
        return self._file.readinto(buffer)  # type: ignore[attr-defined, no-any-return]

    def close(self) -> None:
        """Let go of what is held."""
        if not self.closed:
            self._file.close()
        super().close()


class Unpacked:
    """A stream that is being unfolded, counted against the budget."""

    def __init__(self, inspection: Inspection, packed: int) -> None:
        self._inspection, self._packed = inspection, packed
        self._spool = Spool()
        self.size = 0

    @property
    def file(self) -> BinaryIO:
        """What came out, as a file."""
        return cast(BinaryIO, self._spool)

    def add(self, content: bytes) -> None:
        """Take what came out. Exhausted where it is too much, or too much for what went in."""
        self.size += len(content)
        self._inspection.spend(unpacked=len(content))
        if self.size > max(self._packed, 1024) * self._inspection.budget.ratio:
            raise Exhausted("a compressed part unfolds to more than its budget")
        self._spool.add(content)
