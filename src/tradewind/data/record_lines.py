"""A file of records that only grows: one JSON value a line, synced, each with a digest over all before it.

What `append` returned from outlasts a kill and a power cut. A last line that is not whole was cut off by one
and is dropped; any other line that was altered, moved or taken out shows.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec

from tradewind.errors import Corrupt, Misuse

_ZERO = "0" * 32
_encode = msgspec.json.Encoder().encode


class RecordLines:
    """The file at `path`, made with the first record. For one writer at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._digest: str | None = None

    def read(self) -> list[bytes]:
        """The records, each as its JSON; none if there is no file. Corrupt for one that was altered."""
        return [record for record, _ in self._checked()]

    def append(self, record: Any) -> None:
        """Write a record; on return it is on the disk. What a kill had cut off is removed first."""
        text = _encode(record)
        if self._digest is None:
            self._adopt()
        assert self._digest is not None
        self._digest = _next(self._digest, text)
        line = b'{"digest":"' + self._digest.encode() + b'","record":' + text + b"}\n"
        fresh = not self.path.exists()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            if os.write(descriptor, line) != len(line):
                self._digest = None  # the half is cut off before the next
                raise OSError(f"{self.path}: the disk is full")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if fresh:
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _adopt(self) -> None:
        """Go on where the last whole record ends."""
        checked = self._checked()
        size = sum(length for _, length in checked)
        if self.path.exists() and self.path.stat().st_size > size:
            os.truncate(self.path, size)
        self._digest = _ZERO
        for record, _ in checked:
            self._digest = _next(self._digest, record)

    def _checked(self) -> list[tuple[bytes, int]]:
        """The records, and how many bytes the line of each takes."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as problem:
            raise Misuse(
                f"cannot be read: {problem.strerror}", source=str(self.path), fix="Name the run's folder."
            ) from problem
        found, digest = [], _ZERO
        *lines, torn = content.split(b"\n")
        del torn  # empty, or cut off
        for number, line in enumerate(lines, 1):
            try:
                whole = msgspec.json.decode(line, type=_Line)
            except msgspec.DecodeError as problem:
                raise Corrupt(f"{self.path}, line {number}: {problem}") from None
            record = bytes(whole.record)
            digest = _next(digest, record)
            if digest != whole.digest:
                raise Corrupt(f"{self.path}, line {number}: it was altered, or one before it is missing")
            found.append((record, len(line) + 1))
        return found


class _Line(msgspec.Struct):
    digest: str
    record: msgspec.Raw


def _next(digest: str, record: bytes) -> str:
    return hashlib.blake2b(digest.encode() + record, digest_size=16).hexdigest()
