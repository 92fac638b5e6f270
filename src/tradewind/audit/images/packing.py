"""Packing a stream into a blob, with both digests taken on the way: the same bytes whatever the machine.

gzip is made of pieces that are packed side by side, each knowing the 32 KiB before it; it is as small as
gzip's own within a part in a thousand. zstd does the same by itself.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import zstandard

from tradewind.audit.images.unfolding import Packing

LEVELS: dict[Packing, int] = {"plain": 0, "gzip": 6, "zstd": 3}
_PIECE = 1 << 20
_BEFORE = 1 << 15
_START = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""gzip's header, without a time and without a system."""


class Packer:
    """Takes a stream in pieces, and writes the blob to `write`."""

    def __init__(self, packing: Packing, write: Callable[[bytes], object], level: int | None = None) -> None:
        chosen = LEVELS[packing] if level is None else level
        self._write = write
        self._plain, self._packed = hashlib.sha256(), hashlib.sha256()
        machines: dict[Packing, type[_Plain] | type[_Gzip] | type[_Zstd]] = {
            "plain": _Plain,
            "gzip": _Gzip,
            "zstd": _Zstd,
        }
        self._machine = machines[packing](chosen)
        self.taken = self.given = 0
        """Bytes of the stream, and of the blob."""

    def feed(self, content: bytes) -> None:
        """Take the next piece."""
        self._plain.update(content)
        self.taken += len(content)
        self._give(self._machine.feed(content))

    def __enter__(self) -> Packer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        rest = self._machine.end()
        if error is None:
            self._give(rest)

    @property
    def diff_id(self) -> str:
        """The digest of the stream."""
        return "sha256:" + self._plain.hexdigest()

    @property
    def digest(self) -> str:
        """The digest of the blob."""
        return "sha256:" + self._packed.hexdigest()

    def _give(self, content: bytes) -> None:
        if content:
            self._packed.update(content)
            self.given += len(content)
            self._write(content)


class _Plain:
    def __init__(self, level: int) -> None:
        pass

    def feed(self, content: bytes) -> bytes:
        return content

    def end(self) -> bytes:
        return b""


class _Zstd:
    def __init__(self, level: int) -> None:
        # With workers the frame depends on the pieces of work, not on how many workers there are; without, it
        # differs.
        self._machine = zstandard.ZstdCompressor(
            level, threads=max(1, os.cpu_count() or 1), write_checksum=True
        ).compressobj()

    def feed(self, content: bytes) -> bytes:
        return self._machine.compress(content)

    def end(self) -> bytes:
        return self._machine.flush()


class _Gzip:
    def __init__(self, level: int) -> None:
        self._level, self._sum, self._count = level, 0, 0
        self._held, self._before = bytearray(), b""
        self._workers = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._workers)
        self._waiting: deque[Future[bytes]] = deque()
        self._ready = _START

    def feed(self, content: bytes) -> bytes:
        self._sum, self._count = zlib.crc32(content, self._sum), self._count + len(content)
        self._held += content
        # What is at hand stays, for only the last piece ends the stream.
        while len(self._held) > _PIECE:
            self._hand_over(bytes(self._held[:_PIECE]), last=False)
            del self._held[:_PIECE]
        return self._done(2 * self._workers)

    def end(self) -> bytes:
        self._hand_over(bytes(self._held), last=True)
        packed = self._done(0)
        self._pool.shutdown()
        return packed + self._sum.to_bytes(4, "little") + (self._count & 0xFFFFFFFF).to_bytes(4, "little")

    def _hand_over(self, piece: bytes, *, last: bool) -> None:
        self._waiting.append(self._pool.submit(_deflate, piece, self._before, self._level, last))
        self._before = piece[-_BEFORE:]

    def _done(self, waiting: int) -> bytes:
        """What is packed, in order, until no more than so many pieces are under way."""
        found, self._ready = [self._ready], b""
        while self._waiting and (len(self._waiting) > waiting or self._waiting[0].done()):
            found.append(self._waiting.popleft().result())
        return b"".join(found)


def _deflate(piece: bytes, before: bytes, level: int, last: bool) -> bytes:
    """One piece of a deflate stream, that may refer to what came before it."""
    if before:
        machine = zlib.compressobj(level, zlib.DEFLATED, -15, zdict=before)
    else:
        machine = zlib.compressobj(level, zlib.DEFLATED, -15)
    return machine.compress(piece) + machine.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
