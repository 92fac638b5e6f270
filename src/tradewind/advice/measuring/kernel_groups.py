"""A cgroup of version 2 that holds a command to its memory and its share of processors."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_NAME = "tradewind-probe-"


class KernelGroup:
    """A group below this process's own, with the limits that the controllers there can keep."""

    def __init__(self, folder: Path, *, holds_memory: bool, holds_cpu: bool) -> None:
        self._folder = folder
        self.holds_memory, self.holds_cpu = holds_memory, holds_cpu

    @classmethod
    def create(
        cls, *, memory: int | None, share: float | None, root: Path = Path("/sys/fs/cgroup")
    ) -> KernelGroup | None:
        """A group for `memory` bytes and `share` cores; None where neither can be kept, or none is asked."""
        try:
            own = next(
                line[3:]
                for line in Path("/proc/self/cgroup").read_text().splitlines()
                if line.startswith("0::")
            )
            parent = root / own.strip("/")
            there = (parent / "cgroup.subtree_control").read_text().split()
            holds_memory = memory is not None and "memory" in there
            holds_cpu = share is not None and "cpu" in there
            if not (holds_memory or holds_cpu):
                return None
            _sweep(parent)
            folder = parent / f"{_NAME}{os.getpid()}"
            folder.mkdir()
            if holds_memory:
                (folder / "memory.max").write_text(f"{memory}")
                for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
                    with contextlib.suppress(OSError):  # a kernel without swap has no such file
                        (folder / name).write_text(value)
            if holds_cpu and share is not None:
                (folder / "cpu.max").write_text(f"{max(1000, round(share * 100_000))} 100000")
        except (OSError, StopIteration):
            return None
        return cls(folder, holds_memory=holds_memory, holds_cpu=holds_cpu)

    def join(self, pid: int) -> None:
        """Put a process into it, and all that it will start."""
        with contextlib.suppress(OSError):  # it has ended already
            (self._folder / "cgroup.procs").write_text(str(pid))

    @property
    def exceeded(self) -> bool:
        """Whether the kernel has killed for the limit of memory."""
        return any(
            line.startswith("oom_kill ") and line.split()[1] != "0" for line in self._lines("memory.events")
        )

    @property
    def peak(self) -> int:
        """Bytes that were held at most; 0 where the kernel does not tell."""
        lines = self._lines("memory.peak")
        return int(lines[0]) if lines else 0

    def close(self) -> None:
        """Remove it, if nothing lives in it."""
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def _lines(self, name: str) -> list[str]:
        try:
            return (self._folder / name).read_text().splitlines()
        except OSError:
            return []


def _sweep(parent: Path) -> None:
    """Remove the groups of processes that were killed; one that is populated cannot be removed."""
    for folder in parent.glob(f"{_NAME}*"):
        pid = folder.name.removeprefix(_NAME)
        if pid.isdigit() and not Path("/proc", pid).exists():
            with contextlib.suppress(OSError):
                folder.rmdir()
