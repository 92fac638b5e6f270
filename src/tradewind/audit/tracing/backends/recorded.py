"""Recorded runs on the disk: one JSON object a line, the header first, then its events, as they came."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from tradewind.audit.tracing.events import Event, RunHeader
from tradewind.data.durable_files import replacing
from tradewind.errors import Misuse

FORMAT = "tradewind-trace-1"
LONGEST = 1 << 20
"""Bytes that one line may have."""

_encoded = msgspec.json.Encoder()
_header = msgspec.json.Decoder(RunHeader)
_event = msgspec.json.Decoder(Event)


def _line(value: RunHeader | Event) -> bytes:
    try:
        return _encoded.encode(value) + b"\n"
    except (UnicodeEncodeError, msgspec.EncodeError):
        # A path that is not UTF-8 has lone surrogates, which only the escapes of ASCII JSON can hold.
        return json.dumps(msgspec.to_builtins(value)).encode("ascii") + b"\n"


def write_recorded(path: Path, header: RunHeader, events: Iterable[Event]) -> None:
    """Write a run whole or not at all; compressed where the name ends in `.gz`."""
    with replacing(path) as partial, open(partial, "wb") as raw:
        if path.suffix == ".gz":
            # No name and no time, so that equal runs are equal files.
            with gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
                _write(file, header, events)
        else:
            _write(raw, header, events)


def _write(file: IO[bytes] | gzip.GzipFile, header: RunHeader, events: Iterable[Event]) -> None:
    file.write(_line(header))
    for event in events:
        file.write(_line(event))


class RecordedFile:
    """A recorded run that is read a line at a time, however large: its header, its events, its damage."""

    def __init__(self, path: Path, file: IO[bytes] | gzip.GzipFile) -> None:
        self._path, self._file = path, file
        self.damage: list[str] = []
        """What could not be read, each with its line; complete when all events have been taken."""
        self.header = self._read_header()

    def _refused(self, problem: str) -> Misuse:
        return Misuse(
            problem, source=str(self._path), field="line 1", fix="Give a file that a trace has written."
        )

    def _read_header(self) -> RunHeader:
        try:
            line = self._file.readline(LONGEST + 1)
            header = _header.decode(line)
        except (msgspec.DecodeError, OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
            raise self._refused(f"no header of a recorded run: {error}") from None
        if header.format != FORMAT:
            raise self._refused(f"the format {header.format[:60]!r} is not {FORMAT}")
        return header

    def __iter__(self) -> Iterator[Event]:
        """The events in order; a damaged line is told in `damage` and passed over."""
        number = 1
        while True:
            number += 1
            try:
                line = self._file.readline(LONGEST + 1)
            except (OSError, EOFError, zlib.error) as error:
                self.damage.append(f"line {number}: the file cannot be read further: {error}")
                return
            if not line:
                return
            if len(line) > LONGEST:
                self.damage.append(f"line {number}: longer than {LONGEST} bytes")
                while line and not line.endswith(b"\n"):
                    line = self._file.readline(LONGEST + 1)
                continue
            try:
                yield self._decoded(line)
            except (ValueError, RecursionError) as error:
                cut = "" if line.endswith(b"\n") else "cut short: "
                self.damage.append(f"line {number}: {cut}{error}")

    @staticmethod
    def _decoded(line: bytes) -> Event:
        try:
            return _event.decode(line)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            return msgspec.convert(json.loads(line), Event)


@contextmanager
def opened_recorded(path: Path) -> Iterator[RecordedFile]:
    """A recorded run to be read in a stream. Raises Misuse if the file is none."""
    try:
        raw = open(path, "rb")  # noqa: SIM115 -- closed below
    except OSError as error:
        raise Misuse(f"it cannot be opened: {error.strerror}", source=str(path), fix="Give a file.") from None
    with raw:
        if raw.peek(2)[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=raw) as file:
                yield RecordedFile(path, file)
        else:
            yield RecordedFile(path, raw)


def read_recorded(path: Path) -> tuple[RunHeader, tuple[Event, ...], tuple[str, ...]]:
    """The header, all events, and what was damaged. Raises Misuse if the file is no recorded run."""
    with opened_recorded(path) as recorded:
        events = tuple(recorded)
        return recorded.header, events, tuple(recorded.damage)
