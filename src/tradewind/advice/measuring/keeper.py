"""The process between a driver and the command that it measures.

It starts the command within its limits, watches it, and is the new parent of all that the command leaves
behind, so that at the end it can kill every one. Its standard input is a lifeline: the first line is the
task (`Task`), and the end of it, as when the driver was killed, ends the command. The command dies with it.
What it knows it writes to the folder of the attempt: `alive.json` now and then, `end.json` once and for good.

Memory is kept in three ways at once. Where a cgroup of version 2 with its memory controller is ours to make,
the kernel holds the group to it. Everywhere, what the processes hold together (proportional set sizes) is
looked at every few hundredths of a second, and the group is killed once that is too much; and no process may
ask for more than twice the limit (RLIMIT_DATA), so that a single large allocation fails by itself. Between
two looks a command can hold more than its limit for a moment.

A part of a processor is kept by the kernel's cgroup or by stopping and going on (`runtimes.cpu_share`); a
command that starts many short processes gets more than its share by the second.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from tradewind import clock
from tradewind.advice.measuring.kernel_groups import KernelGroup
from tradewind.advice.measuring.process_trees import adopt_orphans, descendants, held
from tradewind.data.durable_files import write_durably
from tradewind.runtimes.cpu_share import DutyCycle
from tradewind.runtimes.functions.host.confinement import die_with

EXITED, LIMIT, MEMORY, GONE, ABSENT = "exited", "limit", "memory", "gone", "absent"
"""How it ended: by itself; at its limits of time or memory; with its driver; without having begun."""
ALIVE, END = "alive.json", "end.json"
_LOOK, _TOLD = 0.03, 0.5
"""Seconds between two looks, and between two notes of how long it has run."""
_ASKED_FOR = 2


class Task(Struct, frozen=True):
    """What is kept."""

    command: tuple[str, ...]
    folder: str
    work: str
    """The folder of the attempt, in which `output.log` is written too."""
    cores: tuple[int, ...]
    """Processors that it may use."""
    share: float | None
    """Cores to which it is held back within these; None for all of them."""
    memory: int | None
    limit: float | None


class End(Struct, frozen=True):
    """What came of it."""

    how: str
    code: int | None
    """As `os.waitstatus_to_exitcode` has it."""
    seconds: float
    user: float = 0.0
    system: float = 0.0
    """Seconds of processors, of the command and all that it started."""
    peak: int = 0
    """Bytes that were held at once, at most, as far as was seen."""
    methods: str = ""
    """How it was limited."""


def main() -> int:
    """Keep the task on standard input, in a child: whoever kills this process (Ray kills the children of an
    actor that ends) leaves that one to do its work.
    """
    if child := os.fork():
        os.close(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.setsid()
    return _keep()


def _keep() -> int:
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(0, 1)
        if not more:
            return 1
        line += more
    task = msgspec.json.decode(line, type=Task)
    end = _Kept(task).to_its_end()
    write_durably(Path(task.work) / END, msgspec.json.encode(end))
    return 0


class _Kept:
    def __init__(self, task: Task) -> None:
        self.task = task
        self.group = KernelGroup.create(memory=task.memory, share=task.share)
        self.pace: DutyCycle | None = None
        if task.share is not None and not (self.group and self.group.holds_cpu):
            self.pace = DutyCycle(task.share)
        self.peak, self.known = 0, set[int]()
        self.code: int | None = None
        adopt_orphans()

    def to_its_end(self) -> End:
        failure, began = os.pipe2(os.O_CLOEXEC)
        passed = clock.stopwatch()
        leader = os.fork()
        if not leader:
            self._become(began)
        os.close(began)
        with os.fdopen(failure, "rb") as pipe:
            problem = pipe.read()
        if problem:
            os.waitpid(leader, 0)
            with Path(self.task.work, "output.log").open("ab") as log:
                log.write(problem + b"\n")
            return End(ABSENT, 127, passed())
        how = self._watched(leader, passed)
        seconds = passed()
        if self.pace is not None:
            self.pace.close()
        self._kill_all()
        if self.group:
            if self.group.exceeded:
                how = MEMORY
            self.peak = max(self.peak, self.group.peak)
            self.group.close()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return End(how, self.code, seconds, used.ru_utime, used.ru_stime, self.peak, self._methods())

    def _become(self, began: int) -> None:
        """In the child: the command, or never anything."""
        try:
            task = self.task
            die_with(os.getppid())
            os.setsid()
            if self.group:
                self.group.join(os.getpid())
            os.sched_setaffinity(0, task.cores)
            if task.memory is not None:
                most = _ASKED_FOR * task.memory
                resource.setrlimit(resource.RLIMIT_DATA, (most, most))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            log = os.open(Path(task.work, "output.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for here, there in ((nothing, 0), (log, 1), (log, 2)):
                os.dup2(here, there)
            os.chdir(task.folder)
            os.execvp(task.command[0], task.command)
        except BaseException as problem:  # whatever it is, this process must not go on as a second keeper
            with contextlib.suppress(OSError):
                os.write(began, f"{self.task.command[0]}: {problem}".encode())
        os._exit(127)

    def _watched(self, leader: int, passed: Callable[[], float]) -> str:
        poll = select.poll()
        poll.register(0, select.POLLIN | select.POLLHUP)
        descriptor = os.pidfd_open(leader)
        poll.register(descriptor, select.POLLIN)
        told = 0.0
        try:
            while True:
                wait = _LOOK if self.task.limit is None else min(_LOOK, self.task.limit - passed())
                if self.pace is not None:
                    wait = min(wait, self.pace.tick() or wait)
                for ready, _ in poll.poll(max(wait, 0.0) * 1000):
                    if ready == descriptor:
                        _, status = os.waitpid(leader, 0)
                        self.code = os.waitstatus_to_exitcode(status)
                        return EXITED
                    if not os.read(0, 4096):
                        return GONE
                if self.task.limit is not None and passed() >= self.task.limit:
                    return LIMIT
                if self._too_much(leader):
                    return MEMORY
                if passed() - told >= _TOLD:
                    told = passed()
                    self._tell(told)
        finally:
            os.close(descriptor)

    def _too_much(self, leader: int) -> bool:
        """Whether more is held than may be; notes the most that was, and whom to hold back."""
        those = descendants(os.getpid())
        self.peak = max(self.peak, now := held(those))
        if self.pace is not None:
            for pid in those - self.known:
                self.pace.join(pid)
            for pid in self.known - those:
                self.pace.leave(pid)
        self.known = those
        peek = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while (ended := os.waitid(os.P_ALL, 0, peek)) is not None and ended.si_pid != leader:
            os.waitpid(ended.si_pid, 0)  # an orphan of the command's
        return self.task.memory is not None and now > self.task.memory

    def _kill_all(self) -> None:
        """Kill what is left, until there is nothing; whatever lost its parent is ours."""
        while those := descendants(os.getpid()):
            for pid in those:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, 0)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)

    def _tell(self, seconds: float) -> None:
        partial = Path(self.task.work, f".{ALIVE}")
        partial.write_bytes(msgspec.json.encode(End(GONE, None, seconds, peak=self.peak)))
        os.replace(partial, Path(self.task.work, ALIVE))

    def _methods(self) -> str:
        found = [f"{len(self.task.cores)} processors by affinity"]
        if self.task.share is not None:
            found.append(f"{self.task.share:g} of them by {'duty cycle' if self.pace else 'cgroup'}")
        if self.task.memory is not None:
            found.append(
                "memory by cgroup" if self.group and self.group.holds_memory else "memory by watching"
            )
        return ", ".join(found)


if __name__ == "__main__":
    sys.exit(main())
