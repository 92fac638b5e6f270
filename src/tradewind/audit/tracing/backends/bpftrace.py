"""The tracer that sees nearly everything for nearly nothing: bpftrace on the tracepoints of system calls.

The kernel itself notes each call of the run's pid namespace; nothing stops. It takes seconds to begin, cuts
long paths, and where events come faster than they are read some are lost, which is counted.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

from tradewind.audit.tracing.backends.tracer import Launch, Told, View
from tradewind.audit.tracing.bpftrace_text import LONGEST, READY, BpftraceText, program
from tradewind.audit.tracing.events import Operation
from tradewind.clock import stopwatch
from tradewind.errors import Misuse, Permanent

PLACES = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
STARTING = 60.0
"""Seconds that bpftrace may take to begin."""


class Bpftrace:
    """bpftrace 0.14 or later, as root, on a kernel with BTF and tracepoints of system calls."""

    name = "bpftrace"
    sees: tuple[Operation, ...] = ("open", "execute", "stat", "readlink", "list", "write")
    view: View | None = None

    def __init__(self) -> None:
        self._room = Path()
        self._folder = "/"
        self._process: subprocess.Popen[bytes] | None = None

    def check(self) -> None:
        """Raise Misuse, saying what is missing."""
        missing = ""
        if os.geteuid() != 0:
            missing = "it needs root"
        elif any(shutil.which(each) is None for each in ("bpftrace", "setpriv", "unshare", "mount")):
            missing = "the program bpftrace is not installed"
        elif not Path("/sys/kernel/btf/vmlinux").exists():
            missing = "the kernel does not tell its types (BTF)"
        elif not any(Path(place).is_dir() for place in PLACES):
            missing = "the kernel has no tracepoints (tracefs)"
        if missing:
            raise Misuse(
                f"bpftrace cannot be used: {missing}", field="backend", fix="Choose fanotify or strace."
            )

    def prepare(self, room: Path, env: dict[str, str]) -> Launch:
        """Nothing is asked of the launch."""
        self._room = room
        return Launch()

    def attach(self, init: int, command: int) -> None:
        """Begin to watch the run's pid namespace, and wait until every probe is attached."""
        namespace = os.stat(f"/proc/{init}/ns/pid_for_children").st_ino
        self._folder = os.readlink(f"/proc/{command}/cwd")
        place = next(each for each in PLACES if Path(each).is_dir())
        listed = self._tracepoints(place)
        script = self._room / "program.bt"
        script.write_text(program(listed, namespace))
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "BPFTRACE_STRLEN": str(LONGEST),
            "BPFTRACE_MAP_KEYS_MAX": "65536",
            "BPFTRACE_PERF_RB_PAGES": "4096",
            "BPFTRACE_MAX_PROBES": "512",
        }
        # It ends with us, however we end; the file system of tracepoints is mounted where only it sees it.
        mounted = 'test -d "$0/events" || mount -t tracefs tracefs "$0"; exec bpftrace -q -B line "$1"'
        with open(self._room / "log", "wb") as log, open(self._room / "told", "wb") as told:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", "unshare", "-m", "--propagation", "private", "--",
                 "sh", "-c", mounted, place, str(script)],
                stdin=subprocess.DEVNULL, stdout=told, stderr=log, env=env, start_new_session=True,
            )  # fmt: skip
        self._await_ready()

    def _tracepoints(self, place: str) -> list[str]:
        listing = 'test -d "$0/events" || mount -t tracefs tracefs "$0"; ls "$0/events/syscalls"'
        found = subprocess.run(
            ["unshare", "-m", "--propagation", "private", "--", "sh", "-c", listing, place],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if "sys_enter_openat" not in found.stdout:
            raise Misuse(
                f"the kernel has no tracepoints of system calls: {found.stderr.strip() or 'none is listed'}",
                field="backend", fix="Choose fanotify or strace.",
            )  # fmt: skip
        return found.stdout.split()

    def _await_ready(self) -> None:
        assert self._process is not None
        elapsed, pause, told = stopwatch(), threading.Event(), self._room / "told"
        while elapsed() < STARTING:
            if self._process.poll() is not None:
                break
            if told.read_bytes().startswith(READY):
                return
            pause.wait(0.05)
        said = (self._room / "log").read_text(errors="replace").strip()
        raise Permanent(f"bpftrace did not begin within {STARTING:g} s: {said[-1000:] or 'silent'}")

    def finish(self) -> Told:
        """Let bpftrace write out what it has, and read it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)
        self._process = None
        text = BpftraceText(self._folder)
        with open(self._room / "told", "rb") as file:
            events = tuple(text.read(file))
        with open(self._room / "log", "rb") as log:
            tuple(text.read(log))
        return Told(events, text.lost)

    def close(self) -> None:
        """End bpftrace if it still runs."""
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
