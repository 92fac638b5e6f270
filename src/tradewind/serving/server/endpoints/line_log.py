"""Lines of JSON appended to files by hour, durable, beside the event loop; a full disk harms no caller.

Where the destination is no directory of this machine the files are written in a folder here first and
moved to it as whole objects: when they are full, or old, and at the end; what a kill left behind, at the next
start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from tradewind import clock
from tradewind.data.durable_files import sync
from tradewind.data.object_store import open_store
from tradewind.errors import TradewindError

_PERIOD = 0.25
"""Seconds between two writes."""
_PENDING, _PENDING_BYTES = 10_000, 64 << 20
"""Lines, and bytes of what they are made of, that wait to be written at most; more are lost, and counted."""
_FULL, _OLD = 64 << 20, 300.0
"""Bytes and seconds after which a file is followed by the next."""


class _Open(Struct):
    key: str
    path: Path
    since: float
    hour: str
    size: int = 0


class LineLog:
    """Lines for one destination. `add` is called on the event loop and never waits.

    `written` and `lost` count lines. `said` is told when lines begin to be lost, and when that is over.
    """

    def __init__(
        self, destination: str, spool: Path, said: Callable[[str], None] = lambda text: None
    ) -> None:
        self.destination, self._said = destination, said
        local = destination.removeprefix("file://")
        self._remote = "://" in local
        self._root = spool if self._remote else Path(local)
        self._pending: list[tuple[str, float, Callable[[], bytes]]] = []
        self._bytes = 0
        self._open: dict[str, _Open] = {}
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._failing = False
        self.written = self.lost = 0

    def start(self) -> None:
        """Begin to write; what an earlier server left to be moved is moved."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def add(self, place: str, made: Callable[[], bytes], size: int = 0) -> bool:
        """Write the line that `made` makes under `place`; whether there was room for it.

        `made` is called in another thread, `size` is what it holds in memory meanwhile.
        """
        if len(self._pending) >= _PENDING or self._bytes + size > _PENDING_BYTES or self._closed:
            self.lost += 1
            return False
        self._pending.append((place, clock.now(), made))
        self._bytes += size
        return True

    async def close(self) -> None:
        """Write what is left."""
        self._closed = True
        if self._task is not None:
            await self._task
            self._task = None

    async def _run(self) -> None:
        if self._remote:
            await asyncio.to_thread(self._move_left)
        while not self._closed:
            await asyncio.sleep(_PERIOD)
            await self._write_pending()
        await self._write_pending()
        if self._remote:
            await asyncio.to_thread(self._move_left)

    async def _write_pending(self) -> None:
        lines, self._pending, self._bytes = self._pending, [], 0
        now = clock.now()
        if lines or self._open:
            await asyncio.to_thread(self._write, lines, now)

    def _write(self, lines: list[tuple[str, float, Callable[[], bytes]]], now: float) -> None:
        by_file: dict[tuple[str, str], list[bytes]] = {}
        for place, moment, made in lines:
            hour = datetime.fromtimestamp(moment, UTC).strftime("%Y/%m/%d/%H")
            with contextlib.suppress(Exception):
                by_file.setdefault((place, hour), []).append(made() + b"\n")
                continue
            self.lost += 1
        for (place, hour), made_lines in by_file.items():
            try:
                self._append(self._file(place, hour, now), b"".join(made_lines))
            except OSError as problem:
                self.lost += len(made_lines)
                self._tell(f"lines for {self.destination} are lost: {problem.strerror or problem}")
            else:
                self.written += len(made_lines)
                if self._failing:
                    self._failing = False
                    self._said(f"lines for {self.destination} are written again; {self.lost} were lost")
        for place, file in list(self._open.items()):
            if file.size >= _FULL or now >= file.since + _OLD:
                del self._open[place]
                self._move(file.key, file.path)

    def _file(self, place: str, hour: str, now: float) -> _Open:
        file = self._open.get(place)
        if file is None or file.hour != hour:
            if file is not None:
                self._move(file.key, file.path)
            minute = datetime.fromtimestamp(now, UTC).strftime("%M-%S-%f")
            key = f"{place}/{hour}/{minute}-{os.getpid()}.jsonl"
            file = self._open[place] = _Open(key, self._root / key, now, hour)
            file.path.parent.mkdir(parents=True, exist_ok=True)
        return file

    def _append(self, file: _Open, content: bytes) -> None:
        """Append whole lines and see them on the disk, or leave the file as it was."""
        descriptor = os.open(file.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            try:
                left = memoryview(content)
                while left:
                    left = left[os.write(descriptor, left) :]
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, file.size)
                raise
            if not file.size:
                sync(file.path.parent)
            file.size += len(content)
        finally:
            os.close(descriptor)

    def _move(self, key: str, path: Path) -> None:
        """Move a file of ours that is done to where it belongs; it stays here while that fails."""
        if not self._remote:
            return
        try:
            content = path.read_bytes()
            if content:
                open_store(self.destination).put(key, content)
            path.unlink()
        except (OSError, TradewindError) as problem:
            self._tell(f"{path} could not be moved to {self.destination}: {problem}")
        except Exception as problem:  # what another store's client raises is its own
            self._tell(f"{path} could not be moved to {self.destination}: {problem!r}")

    def _move_left(self) -> None:
        self._open.clear()
        for path in sorted(self._root.rglob("*.jsonl")):
            self._move(path.relative_to(self._root).as_posix(), path)

    def _tell(self, text: str) -> None:
        if not self._failing:
            self._failing = True
            self._said(text)
