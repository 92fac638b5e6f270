"""The bytes of one pickle, in order through a small window, with its frames, and nothing taken on trust.

A length that a file declares is compared with what is left before anything is allocated, and long strings are
passed over, so that a checkpoint of gigabytes costs no more memory than a small one.
"""

from __future__ import annotations

from tradewind.data.model_files.inspection import Source

_WINDOW = 1 << 16
_LINE = 16 << 20  # no name, number or quoted string of a text pickle is longer


class Broken(Exception):
    """The bytes are no pickle from here on; what stood before has been executed by whoever loads the file."""


class Stream:
    """A position in a source, with the end of the frame that it is in."""

    def __init__(self, source: Source, offset: int = 0) -> None:
        self.source = source
        self.data = b""
        """The window."""
        self.base = offset
        """Offset of the window's first byte in the source."""
        self.index = 0
        """Position in the window."""
        self.end = 0
        """Where in the window the bytes end that may be read without looking: its own end, or the frame's."""
        self._frame_end: int | None = None

    @property
    def position(self) -> int:
        """Offset in the source of the next byte."""
        return self.base + self.index

    @property
    def left(self) -> int:
        """Bytes from here to the end of the source."""
        return max(0, self.source.size - self.position)

    @property
    def in_frame(self) -> int:
        """Bytes that are left of the frame, which one reader skips and another goes on in."""
        return 0 if self._frame_end is None else max(0, self._frame_end - self.position)

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes; Broken where there are fewer, or where they cross the end of a frame."""
        index = self.index
        stop = index + count
        if stop <= self.end:
            self.index = stop
            return self.data[index:stop]
        self.check(count)
        position = self.position
        if count > _WINDOW:
            content = self.source.read(position, count)
            self.seek(position + count)
        else:
            self._fill(position)
            content = self.data[:count]
            self.index = count
        if len(content) < count:
            raise Broken("the file ends in the middle of it")
        return content

    def check(self, count: int) -> None:
        """Broken unless `count` bytes follow, all in one frame or all outside of one."""
        if self._frame_end is not None:
            left = self._frame_end - self.position
            if count and not left:
                self._frame_end = None
            elif count > left:
                raise Broken("an argument crosses the end of its frame")
        if count > self.left:
            raise Broken(f"{count:,} bytes are declared and {self.left:,} follow")

    def readline(self) -> bytes:
        """The bytes up to and with the next line feed."""
        if self.index >= self.end:
            self.check(1)
            self._fill(self.position)
        found = self.data.find(b"\n", self.index, self.end)
        if found >= 0:
            line = self.data[self.index : found + 1]
            self.index = found + 1
            return line
        parts, length, start = [], 0, self.position
        limit = self.source.size if self._frame_end is None else self._frame_end
        while length <= _LINE:
            part = self.source.read(start + length, min(_WINDOW, limit - start - length))
            if not part:
                raise Broken("a line does not end")
            cut = part.find(b"\n")
            if cut >= 0:
                parts.append(part[: cut + 1])
                line = b"".join(parts)
                self.seek(start + len(line))
                return line
            parts.append(part)
            length += len(part)
        raise Broken("a line has no end within reach")

    def skip(self, count: int) -> int:
        """Pass over `count` bytes without reading them; the offset of the first."""
        position = self.base + self.index
        if self.index + count <= self.end:
            self.index += count
        else:
            self.check(count)
            self.seek(position + count)
        return position

    def seek(self, position: int) -> None:
        """Go to an offset, in the same frame or outside of all."""
        index = position - self.base
        if 0 <= index <= len(self.data):
            self.index = index
        else:
            self.data, self.base, self.index, self.end = b"", position, 0, 0
        self._bound()

    def frame(self, count: int) -> None:
        """Begin a frame of `count` bytes."""
        position = self.base + self.index
        if self._frame_end is not None and self._frame_end > position:
            raise Broken("a frame begins before the last one ends")
        if count > self.source.size - position:
            raise Broken(f"a frame of {count:,} bytes is declared and {self.left:,} follow")
        self._frame_end = position + count
        self.end = min(len(self.data), self.index + count)

    def leave(self) -> None:
        """Forget the frame: what follows stands outside of it."""
        self._frame_end = None
        self._bound()

    def fill(self) -> bool:
        """Bring the next bytes into the window; False at the end of the source."""
        if self._frame_end is not None and self.position >= self._frame_end:
            self._frame_end = None
            self._bound()
            if self.index < self.end:
                return True
        self._fill(self.position)
        return self.end > self.index

    def _fill(self, position: int) -> None:
        self.data = self.source.read(position, _WINDOW)
        self.base, self.index = position, 0
        self._bound()

    def _bound(self) -> None:
        self.end = len(self.data)
        if self._frame_end is not None:
            self.end = min(self.end, max(self._frame_end - self.base, 0))
