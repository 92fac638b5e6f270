"""The tracer that costs least and loses nothing that is opened: fanotify on the workload's own overlay.

The mark is on the file system, which is private to the run, so there is nothing to filter and no process can
be missed. A failed look-up and a mere stat leave no event: what is only asked for is not seen.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import threading
from pathlib import Path

from tradewind.audit.tracing.backends.tracer import Launch, Told, View
from tradewind.audit.tracing.events import Event, Operation
from tradewind.clock import stopwatch
from tradewind.errors import Misuse

_libc = ctypes.CDLL(None, use_errno=True)

FAN_CLOEXEC, FAN_UNLIMITED_QUEUE, FAN_UNLIMITED_MARKS = 0x1, 0x10, 0x20
FAN_MARK_ADD, FAN_MARK_FILESYSTEM = 0x1, 0x100
FAN_OPEN, FAN_OPEN_EXEC, FAN_CLOSE_WRITE, FAN_Q_OVERFLOW, FAN_ONDIR = 0x20, 0x1000, 0x8, 0x4000, 0x40000000
AT_FDCWD = -100
_DELETED = " (deleted)"
MOST_FAILURES = 1000
"""Events in one emptying that may fail to be read before it is given up until the next."""
_HEADER = struct.Struct("IBBHQii")
PAUSE = 0.02
"""Seconds between two emptyings of the queue. It is not waited on: a reader that is woken by every open takes
the processor from the workload, and a queue without limit can wait."""


class Fanotify:
    """fanotify(7) of Linux 5.1 or later, as root: what is opened, executed, listed and written."""

    name = "fanotify"
    sees: tuple[Operation, ...] = ("open", "execute", "list", "write")
    view: View | None = "overlay"

    def __init__(self) -> None:
        self._group = -1
        self._init = 0
        self._events: list[Event] = []
        self._lost = 0
        self._programs: dict[int, str] = {}
        self._executing: set[int] = set()
        self._done = threading.Event()
        self._reader: threading.Thread | None = None
        self._elapsed = stopwatch()

    def check(self) -> None:
        """Raise Misuse where the kernel gives us no group."""
        group = self._opened_group()
        os.close(group)

    def _opened_group(self) -> int:
        flags = FAN_CLOEXEC | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS
        group = int(_libc.fanotify_init(flags, os.O_RDONLY | os.O_LARGEFILE | os.O_CLOEXEC | os.O_NONBLOCK))
        if group < 0:
            number = ctypes.get_errno()
            why = "it needs root" if number == errno.EPERM else os.strerror(number)
            raise Misuse(
                f"fanotify cannot be used: {why}", field="backend", fix="Choose strace or audit_hook."
            )
        os.set_blocking(group, False)
        return group

    def prepare(self, room: Path, env: dict[str, str]) -> Launch:
        """Nothing is asked of the launch."""
        return Launch()

    def attach(self, init: int, command: int) -> None:
        """Mark the run's overlay, by way of the root of its first process."""
        self._init = init
        self._group = self._opened_group()
        mask = FAN_OPEN | FAN_OPEN_EXEC | FAN_CLOSE_WRITE | FAN_ONDIR
        root = f"/proc/{init}/root".encode()
        how = FAN_MARK_ADD | FAN_MARK_FILESYSTEM
        if _libc.fanotify_mark(self._group, how, ctypes.c_uint64(mask), AT_FDCWD, root) < 0:
            number = ctypes.get_errno()
            raise Misuse(
                f"the overlay cannot be watched: {os.strerror(number)}", field="backend", fix="Choose strace."
            )
        self._elapsed = stopwatch()
        self._reader = threading.Thread(target=self._read, name="fanotify", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while not self._done.wait(PAUSE):
            self._drain()

    def _drain(self) -> None:
        failures = 0
        while failures < MOST_FAILURES:
            try:
                data = os.read(self._group, 1 << 17)
            except BlockingIOError:
                return
            except OSError as error:
                # No descriptor could be opened for an event (too many are, or the file is gone): it is lost.
                self._lost += 1
                failures = MOST_FAILURES if error.errno == errno.EBADF else failures + 1
                continue
            moment, at = round(self._elapsed(), 6), 0
            while at < len(data):
                length, _, _, _, mask, held, pid = _HEADER.unpack_from(data, at)
                at += length
                self._take(moment, mask, held, pid)

    def _take(self, moment: float, mask: int, held: int, pid: int) -> None:
        if held < 0:
            self._lost += 1
            return
        try:
            path = os.readlink(f"/proc/self/fd/{held}")
            if path.endswith(_DELETED) and not os.fstat(held).st_nlink:
                path = path.removesuffix(_DELETED)
        finally:
            os.close(held)
        if pid == self._init:
            return
        if mask & FAN_OPEN_EXEC:
            # A program and then its interpreter are opened to be executed; the first is what was asked for.
            if pid not in self._executing:
                self._executing.add(pid)
                self._programs[pid] = path
        else:
            self._executing.discard(pid)
        ops: list[Operation] = []
        if mask & FAN_ONDIR:
            ops.append("list")
        elif mask & FAN_OPEN_EXEC:
            ops.append("execute")
        elif mask & FAN_OPEN:
            ops.append("open")
        if mask & FAN_CLOSE_WRITE:
            ops.append("write")
        for op in ops:
            self._events.append(Event(moment, pid, op, path, True, self._programs.get(pid, "")))

    def finish(self) -> Told:
        """Stop reading, and take what is still in the queue."""
        self._done.set()
        if self._reader is not None:
            self._reader.join()
            self._drain()
        return Told(tuple(self._events), self._lost)

    def close(self) -> None:
        """Close the group, and with it the mark."""
        self._done.set()
        if self._reader is not None:
            self._reader.join()
        if self._group >= 0:
            os.close(self._group)
            self._group = -1
