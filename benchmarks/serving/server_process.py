"""A server as a process tree: started, watched until it answers, its CPU time read, and ended.

CPU time is user and system time of every live process below the server's first, from their process clocks
(nanoseconds, all threads, ended ones too), and of the children that they waited for (/proc/PID/stat). Who
loses its parent becomes a child of this process and is counted on, for it was seen before. Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

_BECOME_SUBREAPER = 36
_FINAL = ("400", "415", "422", "500", "501")
"""Statuses that no waiting changes."""
_TICKS = os.sysconf("SC_CLK_TCK")


class CannotStart(Exception):
    """A server that does not come up, with what it said last."""


class Refuses(CannotStart):
    """A server that is up and will not answer the request, however often it is asked."""


def keep_children() -> None:
    """Have descendants that lose their parent become children of this process, and SIGTERM end them first."""

    def leave(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # once is enough: what follows is the ending of servers
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    ctypes.CDLL(None).prctl(_BECOME_SUBREAPER, 1, 0, 0, 0)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def ask(port: int, request: bytes, patience: float = 10.0) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body of the answer to `request`."""
    with socket.create_connection(("127.0.0.1", port), patience) as opened:
        opened.sendall(request)
        answer = http.client.HTTPResponse(opened)
        answer.begin()
        return answer.status, answer.headers, answer.read()


class ServerProcess:
    """One server."""

    def __init__(self, command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._log = folder / "log"
        self._seen: dict[int, int] = {}
        self.started = time.perf_counter()
        with self._log.open("w") as log:
            self._root = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_for(self, port: int, request: bytes, patience: float = 150.0) -> float:
        """Seconds from its start to the first 200 for `request`; raises CannotStart."""
        said = ""
        while (waited := time.perf_counter() - self.started) < patience:
            if self._root.poll() is not None:
                raise CannotStart(f"it ended: {self.last_words()}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, _, body = ask(port, request)
                if status == 200:
                    return time.perf_counter() - self.started
                said = f"{status} {body[:120].decode(errors='replace')}"
            if said[:3] in _FINAL:
                raise Refuses(f"it refuses the request: {said}")
            time.sleep(0.005)
        raise CannotStart(f"no answer after {waited:.0f} s: {said or self.last_words()}")

    def last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:160] if lines else "without a word"

    def pin(self, core: int) -> None:
        """Have all its threads, and those they start, run on one core."""
        for pid in self.processes():
            with contextlib.suppress(OSError):
                for thread in Path(f"/proc/{pid}/task").iterdir():
                    os.sched_setaffinity(int(thread.name), {core})

    def processes(self) -> list[int]:
        """Its live processes."""
        parents: dict[int, int] = {}
        begun: dict[int, int] = {}
        for each in Path("/proc").iterdir():
            if each.name.isdigit() and (fields := _stat(int(each.name))):
                parents[int(each.name)] = int(fields[1])
                begun[int(each.name)] = int(fields[19])
        children: dict[int, list[int]] = {}
        for pid, parent in parents.items():
            children.setdefault(parent, []).append(pid)
        found: set[int] = set()
        waiting = [self._root.pid, *(pid for pid, when in self._seen.items() if begun.get(pid) == when)]
        while waiting:
            pid = waiting.pop()
            if pid in parents and pid not in found:
                found.add(pid)
                waiting += children.get(pid, [])
        self._seen = {pid: begun[pid] for pid in found}
        return sorted(found)

    def cpu(self) -> float:
        """Seconds of CPU, user and system, all processes together."""
        total = 0.0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                fields = _stat(pid)
                total += time.clock_gettime(
                    ~pid << 3 | 2
                )  # the clock of another process: clock_getcpuclockid
                total += (int(fields[13]) + int(fields[14])) / _TICKS if fields else 0.0
        return total

    def memory(self) -> float:
        """MB, each page shared between processes counted once (PSS)."""
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
        return total / 1024

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to what is left after ten seconds."""
        self.processes()
        with contextlib.suppress(OSError):
            self._root.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._root.wait(10)
        for pid in {*self.processes(), *self._strays()}:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._root.wait(10)
        for pid in self._seen:  # orphans that became ours
            with contextlib.suppress(OSError):
                os.waitpid(pid, os.WNOHANG)

    def _strays(self) -> list[int]:
        """Processes that name its folder in their environment, such as daemons whose parent died early."""
        mark, found = os.fsencode(self._log.parent), []
        for each in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if each.name.isdigit() and mark in (each / "environ").read_bytes():
                    found.append(int(each.name))
        return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name; empty if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
