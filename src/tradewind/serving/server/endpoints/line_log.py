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
_AGAIN = 30.0
"""Seconds between two tries to move files that could not be moved."""


class LineCounts(Struct):
    """What became of the lines for one place."""

    written: int = 0
    bytes: int = 0
    """Of those written."""
    no_room: int = 0
    """Lost, for too many waited already."""
    no_disk: int = 0
    """Lost, for the disk was full or did not take them."""
    faulty: int = 0
    """Lost, for they could not be made."""
    too_large: int = 0
    """Passed over, for they would hold up others."""

    @property
    def lost(self) -> int:
        """All that were lost."""
        return self.no_room + self.no_disk + self.faulty + self.too_large


class _Open(Struct):
    key: str
    path: Path
    since: float
    hour: str
    size: int = 0


class LineLog:
    """Lines for one destination. `add` is called on the event loop and never waits.

    `counts` has the lines by place. `said` is told when lines begin to be lost, and when that is over.
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
        self._failing: set[str] = set()
        """What fails at present: `disk`, `store`."""
        self.counts: dict[str, LineCounts] = {}
        self._unmoved: dict[str, Path] = {}
        self._try_at = 0.0

    @property
    def written(self) -> int:
        """Lines written, of every place."""
        return sum(each.written for each in list(self.counts.values()))

    @property
    def lost(self) -> int:
        """Lines lost, of every place."""
        return sum(each.lost for each in list(self.counts.values()))

    @property
    def unmoved(self) -> int:
        """Files that could not be moved to where they belong, and wait for the next try."""
        return len(self._unmoved)

    def start(self) -> None:
        """Begin to write; what an earlier server left to be moved is moved."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def add(self, place: str, made: Callable[[], bytes], size: int = 0) -> bool:
        """Write the line that `made` makes under `place`; whether there was room for it.

        `made` is called in another thread, `size` is what it holds in memory meanwhile.
        """
        if len(self._pending) >= _PENDING or self._bytes + size > _PENDING_BYTES or self._closed:
            self._counts(place).no_room += 1
            return False
        self._pending.append((place, clock.now(), made))
        self._bytes += size
        return True

    def pass_over(self, place: str) -> None:
        """Count a line that is too large to be made."""
        self._counts(place).too_large += 1

    def _counts(self, place: str) -> LineCounts:
        found = self.counts.get(place)
        return self.counts.setdefault(place, LineCounts()) if found is None else found

    async def close(self) -> None:
        """Write what is left; that goes on where whoever waits for it is cancelled, and may be waited for
        again."""
        self._closed = True
        if self._task is not None:
            await asyncio.shield(self._task)

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
        if lines or self._open or self._unmoved:
            await asyncio.to_thread(self._write, lines, now)

    def _write(self, lines: list[tuple[str, float, Callable[[], bytes]]], now: float) -> None:
        by_file: dict[tuple[str, str], list[bytes]] = {}
        for place, moment, made in lines:
            hour = datetime.fromtimestamp(moment, UTC).strftime("%Y/%m/%d/%H")
            with contextlib.suppress(Exception):
                by_file.setdefault((place, hour), []).append(made() + b"\n")
                continue
            self._counts(place).faulty += 1
        for (place, hour), made_lines in by_file.items():
            counts, content = self._counts(place), b"".join(made_lines)
            try:
                self._append(self._file(place, hour, now), content)
            except OSError as problem:
                counts.no_disk += len(made_lines)
                self._tell("disk", f"lines for {self.destination} are lost: {problem.strerror or problem}")
            else:
                counts.written += len(made_lines)
                counts.bytes += len(content)
                if "disk" in self._failing:
                    self._failing.discard("disk")
                    self._said(f"lines for {self.destination} are written again; {self.lost} were lost")
        for place, file in list(self._open.items()):
            if file.size >= _FULL or now >= file.since + _OLD:
                del self._open[place]
                self._move(file.key, file.path)
        if self._unmoved and now >= self._try_at:
            for key, path in list(self._unmoved.items()):
                if not self._move(key, path):
                    break  # nor would the others be
            self._try_at = now + _AGAIN

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

    def _move(self, key: str, path: Path) -> bool:
        """Move a file of ours that is done to where it belongs; it stays here while that fails."""
        if not self._remote:
            return True
        try:
            content = path.read_bytes()
            if content:
                open_store(self.destination).put(key, content)
            path.unlink()
        except FileNotFoundError:
            pass  # somebody took it away
        except (OSError, TradewindError) as problem:
            return self._stays(key, path, str(problem))
        except Exception as problem:  # what another store's client raises is its own
            return self._stays(key, path, repr(problem))
        self._unmoved.pop(key, None)
        if "store" in self._failing and not self._unmoved:
            self._failing.discard("store")
            self._said(f"files are moved to {self.destination} again")
        return True

    def _stays(self, key: str, path: Path, reason: str) -> bool:
        self._unmoved[key] = path
        self._tell("store", f"{path} could not be moved to {self.destination}: {reason}")
        return False

    def _move_left(self) -> None:
        self._open.clear()
        for path in sorted(self._root.rglob("*.jsonl")):
            self._move(path.relative_to(self._root).as_posix(), path)

    def _tell(self, what: str, text: str) -> None:
        if what not in self._failing:
            self._failing.add(what)
            self._said(text)
