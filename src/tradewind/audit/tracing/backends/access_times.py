"""The tracer without a tracer: set every file's access time to zero, run, and see which have one.

It costs the workload nothing and needs a tree of its own, because a file's times are not kept below an
overlay. Links tell too whether they were followed, and directories whether they were listed. When, by whom,
and what was looked for in vain, it cannot tell.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tradewind.audit.tracing.backends.tracer import Launch, Told, View
from tradewind.audit.tracing.events import Event, Operation
from tradewind.errors import Misuse


class AccessTimes:
    """Access times of a plain tree, mounted so that every read sets them."""

    name = "access-times"
    sees: tuple[Operation, ...] = ("open", "readlink", "list")
    view: View | None = "plain"

    def __init__(self) -> None:
        self._root = ""
        self._times: dict[str, tuple[int, str]] = {}
        self._held = -1

    def check(self) -> None:
        """It works wherever a command can be confined as root."""
        if os.geteuid() != 0:
            raise Misuse(
                "the times of the tree's files are its owners' to set", field="backend",
                fix="Run it as root, or choose another backend.",
            )  # fmt: skip

    def prepare(self, room: Path, env: dict[str, str]) -> Launch:
        """Nothing is asked of the launch."""
        return Launch()

    def attach(self, init: int, command: int) -> None:
        """Set all times to zero, through the root that the workload has, whose own mounts are left alone."""
        self._held = os.open(f"/proc/{init}/root", os.O_RDONLY | os.O_DIRECTORY)
        device = os.fstat(self._held).st_dev
        self._walk(self._held, "", device)

    def _walk(self, folder: int, prefix: str, device: int) -> None:
        """Set the times below an open directory to zero, its own after its names have been read."""
        with os.scandir(folder) as entries:
            found = list(entries)
        for each in found:
            shape = os.stat(each.name, dir_fd=folder, follow_symlinks=False)
            if shape.st_dev != device:
                continue
            path = f"{prefix}/{each.name}"
            kind = "d" if stat.S_ISDIR(shape.st_mode) else "l" if stat.S_ISLNK(shape.st_mode) else "f"
            if kind == "d":
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                below = os.open(each.name, flags, dir_fd=folder)
                try:
                    self._walk(below, path, device)
                finally:
                    os.close(below)
            times = (0, shape.st_mtime_ns)
            os.utime(each.name, ns=times, dir_fd=folder, follow_symlinks=False)
            self._times[path] = (shape.st_ino, kind)

    def finish(self) -> Told:
        """List what has a time; looking at it sets none."""
        events = []
        operations: dict[str, Operation] = {"d": "list", "l": "readlink", "f": "open"}
        for path, (node, kind) in self._times.items():
            try:
                shape = os.stat(path.lstrip("/"), dir_fd=self._held, follow_symlinks=False)
            except OSError:
                continue  # removed by the run, which what it wrote tells
            if shape.st_ino == node and shape.st_atime_ns > 0:
                events.append(Event(0.0, 0, operations[kind], path))
        return Told(tuple(events))

    def close(self) -> None:
        """Let go of the tree's root."""
        if self._held >= 0:
            os.close(self._held)
            self._held = -1
