"""How an agent holds the tasks of an instance to the share of a processor that the instance is said to have.

A share is in cores: 0.25 is a quarter of one, 2 is two, for all tasks of the instance together. Two methods:

- `cgroup`: the kernel's own, `cpu.max` of a cgroup of version 2 below the agent's, where that is delegated to
  us with its cpu controller. It covers whatever the tasks start, too.
- `duty_cycle`: SIGSTOP and SIGCONT, as the program cpulimit does: the time that each task has spent on a
  processor, threads included, is read from /proc every few tens of milliseconds and paid for out of an
  allowance that grows with the wall's time. Processes that a task starts itself are not counted.

Which one is in force, an agent's status says. Where neither can be had (no /proc), `none` is.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tradewind.clock import stopwatch

CHECK = 0.02
"""Seconds between two looks at tasks that run: the overshoot of a task is at most this, times its threads."""

_BANK = 0.1
"""Seconds whose allowance an idle task may save up; more would let it run at full speed for as long again."""

_TICK = os.sysconf("SC_CLK_TCK")


class Pace(Protocol):
    """Holds tasks to a share."""

    method: str

    def join(self, pid: int) -> None:
        """Hold this process from now on."""
        ...

    def leave(self, pid: int) -> None:
        """Forget this process, which has ended."""
        ...

    def hurry(self) -> None:
        """Let every task run at once, because a signal waits for it; its share holds again from then on."""
        ...

    def tick(self) -> float | None:
        """Look, and act; seconds until it wants to look again, None if it need not."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class Unpaced:
    """Every task runs as fast as the machine lets it."""

    method = "none"

    def join(self, pid: int) -> None:
        """Nothing to hold."""

    def leave(self, pid: int) -> None:
        """Nothing to forget."""

    def hurry(self) -> None:
        """Nothing waits."""

    def tick(self) -> float | None:
        """Never again."""
        return None

    def close(self) -> None:
        """Nothing to let go of."""


class Cgroup:
    """The kernel holds the tasks: they are put into a cgroup whose `cpu.max` is the share."""

    method = "cgroup"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def create(cls, share: float, root: Path = Path("/sys/fs/cgroup")) -> Cgroup | None:
        """A cgroup with that share below this process's own; None where that is not ours to make."""
        try:
            own = next(
                line[3:]
                for line in Path("/proc/self/cgroup").read_text().splitlines()
                if line.startswith("0::")
            )
            parent = root / own.strip("/")
            if "cpu" not in (parent / "cgroup.subtree_control").read_text().split():
                return None
            _sweep(parent)
            folder = parent / f"tradewind-{os.getpid()}"
            folder.mkdir()
            (folder / "cpu.max").write_text(f"{max(1000, round(share * 100_000))} 100000")
        except (OSError, StopIteration):
            return None
        return cls(folder)

    def join(self, pid: int) -> None:
        """Put the process into the cgroup."""
        with contextlib.suppress(OSError):  # it has ended already
            (self._folder / "cgroup.procs").write_text(str(pid))

    def leave(self, pid: int) -> None:
        """The kernel forgets by itself."""

    def hurry(self) -> None:
        """The kernel stops nobody for longer than a tenth of a second."""

    def tick(self) -> float | None:
        """The kernel looks by itself."""
        return None

    def close(self) -> None:
        """Remove the cgroup, if nothing lives in it."""
        with contextlib.suppress(OSError):
            self._folder.rmdir()


def _sweep(parent: Path) -> None:
    """Remove the cgroups of nurseries that were killed; one that is populated cannot be removed."""
    for folder in parent.glob("tradewind-*"):
        pid = folder.name.removeprefix("tradewind-")
        if pid.isdigit() and not Path("/proc", pid).exists():
            with contextlib.suppress(OSError):
                folder.rmdir()


class DutyCycle:
    """Tasks that have used up their allowance are stopped until it has grown again."""

    method = "duty_cycle"

    def __init__(
        self,
        share: float,
        *,
        spent: Callable[[int], float] | None = None,
        send: Callable[[int, signal.Signals], None] | None = None,
        elapsed: Callable[[], float] | None = None,
    ) -> None:
        self._share = share
        self._spent = spent or cpu_seconds
        self._send = send or _send
        self._elapsed = elapsed or stopwatch()
        self._seen: dict[int, float] = {}
        self._balance = 0.0
        self._looked = self._elapsed()
        self._stopped = False

    def join(self, pid: int) -> None:
        """Hold this process from now on."""
        if not self._seen:
            self._looked = self._elapsed()
            self._balance = 0.0
        self._seen[pid] = self._spent(pid)
        self.hurry()

    def leave(self, pid: int) -> None:
        """Forget this process."""
        self._seen.pop(pid, None)

    def hurry(self) -> None:
        """Forgive every debt and let all tasks run."""
        self._balance = max(self._balance, 0.0)
        if self._stopped:
            self._stopped = False
            self._signal(signal.SIGCONT)

    def tick(self) -> float | None:
        """Take what was spent from the allowance; stop or continue the tasks by its sign."""
        if not self._seen:
            return None
        now = self._elapsed()
        self._balance = min(self._balance + self._share * (now - self._looked), self._share * _BANK)
        self._looked = now
        for pid, before in self._seen.items():
            spent = self._spent(pid)
            self._balance -= max(0.0, spent - before)
            self._seen[pid] = max(before, spent)
        if (self._balance < 0) != self._stopped:
            self._stopped = not self._stopped
            self._signal(signal.SIGSTOP if self._stopped else signal.SIGCONT)
        return -self._balance / self._share if self._stopped else CHECK

    def close(self) -> None:
        """Leave no task stopped."""
        self.hurry()

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._seen:
            self._send(pid, number)


def cpu_seconds(pid: int) -> float:
    """Seconds that a process, all its threads together, has spent on processors; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICK  # utime and stime, fields 14 and 15 of proc(5)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def pace(share: float | None) -> Pace:
    """The best method that this machine allows for `share`, in cores; None holds nobody back."""
    if share is None or share >= (os.cpu_count() or 1):
        return Unpaced()
    if (group := Cgroup.create(share)) is not None:
        return group
    return DutyCycle(share) if Path("/proc/self/stat").exists() else Unpaced()
