"""Blobs unfolded once into a file without a name, checked on the way: digests, sizes, limits."""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Literal, cast

import zstandard
from msgspec import Struct

from tradewind.audit.images.limits import Spent
from tradewind.audit.images.regions import CHUNK, Region
from tradewind.errors import Misuse

Packing = Literal["plain", "gzip", "zstd"]
_LARGEST_WINDOW = 1 << 27
_AGAIN = "Fetch the image again."


class Unfolded(Struct, frozen=True):
    """A blob that can be read from anywhere."""

    region: Region
    digest: str
    """Of the blob as it is stored, with the name of the algorithm in front."""
    diff_id: str
    """The same of what it unfolds to."""
    packing: Packing


def packing_of(region: Region) -> Packing:
    """How a blob is packed, by its first bytes. Misuse for what images do not use."""
    start = region.at(0, 6)
    if start[:2] == b"\x1f\x8b":
        return "gzip"
    # A file of zstd may begin with a frame that is to be skipped, as chunked layers do.
    if start[:4] == b"\x28\xb5\x2f\xfd" or (start[1:4] == b"\x2a\x4d\x18" and 0x50 <= start[0] <= 0x5F):
        return "zstd"
    return "plain"


class Unfolding:
    """Unfolds the blobs of one image; what it makes goes away when it is closed, or when the process dies."""

    def __init__(
        self, spent: Spent, scratch: Path | None, progress: Callable[[int], None] | None = None
    ) -> None:
        self._spent, self._scratch, self._progress = spent, scratch, progress
        self._made = ExitStack()

    def close(self) -> None:
        """Let go of everything that was unfolded."""
        self._made.close()

    def unfold(self, blob: Region, name: str, digest: str = "", diff_id: str = "") -> Unfolded:
        """The content of a blob, checked against the digests that are stated of it and of what it unfolds to.

        Misuse, naming it, if it is damaged, not what was stated, or more than the limits allow.
        """
        packing = packing_of(blob)
        packed, plain = _hash(digest, name), _hash(diff_id, name)
        if packing == "plain":
            for piece in blob.chunks():
                plain.update(piece)
                packed.update(piece)
                self._tell(len(piece))
            return Unfolded(blob, _checked(packed, digest, name), _checked(plain, diff_id, name), packing)

        def pieces() -> Iterator[bytes]:
            for piece in blob.chunks():
                packed.update(piece)
                self._tell(len(piece))
                yield piece

        try:
            # It is closed with all others.
            file = cast(BinaryIO, tempfile.TemporaryFile(dir=self._scratch))  # noqa: SIM115
            self._made.callback(file.close)
            size = 0
            for piece in (_gunzip if packing == "gzip" else _unzstd)(pieces(), name):
                size += len(piece)
                self._spent.unfolded(blob.size, size, name)
                plain.update(piece)
                file.write(piece)
            file.flush()
        except (OSError, zstandard.ZstdError, zlib.error) as error:
            raise Misuse(f"cannot be unfolded ({error})", source=name, fix=_AGAIN) from None
        region = Region(file, 0, size)
        return Unfolded(region, _checked(packed, digest, name), _checked(plain, diff_id, name), packing)

    def _tell(self, count: int) -> None:
        if self._progress is not None:
            self._progress(count)


def _hash(stated: str, name: str) -> hashlib._Hash:
    """What computes digests as the stated one was computed."""
    algorithm = stated.partition(":")[0] or "sha256"
    if algorithm not in ("sha256", "sha512"):
        raise Misuse(f"has a digest of the unknown kind {algorithm[:20]!r}", source=name, fix=_AGAIN)
    return hashlib.new(algorithm)


def _checked(found: hashlib._Hash, stated: str, name: str) -> str:
    digest = f"{found.name}:{found.hexdigest()}"
    if stated and digest != stated:
        raise Misuse(
            f"is not what its digest says: it is {digest}, not {stated[:200]}", source=name, fix=_AGAIN
        )
    return digest


def _gunzip(pieces: Iterator[bytes], name: str) -> Iterator[bytes]:
    """What gzip members unfold to, one after another; zeros may pad the last."""
    machine, ended = zlib.decompressobj(31), False
    for piece in pieces:
        left = piece
        while left:
            if ended:
                left = left.lstrip(b"\0")
                if not left:
                    break
                machine, ended = zlib.decompressobj(31), False
            yield machine.decompress(left, CHUNK)
            if machine.eof:
                left, ended = machine.unused_data, True
            else:
                left = machine.unconsumed_tail
    # What it holds back, because a piece would have been longer than asked for, is left.
    while not ended:
        more, ended = machine.decompress(machine.unconsumed_tail, CHUNK), machine.eof
        if not more:
            break
        yield more
    if not ended:
        raise Misuse("is cut short", source=name, fix=_AGAIN)


def _unzstd(pieces: Iterator[bytes], name: str) -> Iterator[bytes]:
    """What zstd frames unfold to. One that is cut short ends early, which the archive inside tells."""
    machine = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
    with machine.stream_reader(
        cast(BinaryIO, _Pieces(pieces)), read_size=CHUNK, read_across_frames=True
    ) as reader:
        while piece := reader.read(CHUNK):
            yield piece


class _Pieces:
    """Pieces as a file that is read from its beginning to its end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, count: int = -1) -> bytes:
        return next(self._pieces, b"")
