"""A command in a root of its own: namespaces, an overlay, no network, no capabilities, nothing left behind.

The mounts live in the private namespace of the launched processes; this process mounts nothing. Whatever
ends first, this process included, takes the rest with it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from msgspec import Struct

from tradewind.audit.tracing.backends.system_calls import SYS_PIVOT_ROOT
from tradewind.audit.tracing.backends.tracer import Bind, Launch, View
from tradewind.audit.tracing.workload import SEARCHED, Workload
from tradewind.clock import stopwatch
from tradewind.errors import Misuse, Permanent

LAUNCHER = "tradewind.audit.tracing.backends.launcher"
STARTING = 120.0
"""Seconds that building the root may take."""
LARGEST_FILE = 16 << 30
"""Bytes that one file written by a workload may have."""
SHARED = 1 << 30
"""Bytes of shared memory that a workload may use."""


class Ended(Struct, frozen=True):
    """How the command ended."""

    code: int
    cpu: float
    peak: int


def mapped() -> bool:
    """Whether a confinement goes by way of a user namespace, because we are not root."""
    return os.geteuid() != 0


def check_confinement() -> None:
    """Raise Misuse, saying what is possible, where a command cannot be confined on this machine."""
    if sys.platform != "linux" or os.uname().machine not in SYS_PIVOT_ROOT:
        raise Misuse(
            f"no command can be confined on {sys.platform} {os.uname().machine}",
            field="trace",
            fix="Trace on Linux, or a plain command by the audit hook, which confines nothing.",
        )
    if not mapped():
        return
    probe = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x10000000) != 0)"
    if subprocess.run([sys.executable, "-I", "-S", "-c", probe], check=False).returncode:
        raise Misuse(
            "we are not root, and the kernel allows no user namespaces",
            field="trace",
            fix="Run it as root, or trace a plain command by the audit hook, which confines nothing.",
        )


class Confined:
    """One confined command, as a context: launched and waiting on entry, gone with all it started on exit.

    `room` is an empty directory for what it writes (`upper`) and says (`out`, `err`); it stays the caller's.
    Raises Misuse for what the caller can mend, Permanent where the kernel refuses a step.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        workload: Workload,
        room: Path,
        *,
        view: View = "overlay",
        launch: Launch | None = None,
    ) -> None:
        self.roots, self.workload, self.view = tuple(roots), workload, view
        self.room = room
        self.launch = launch or Launch()
        self.init = 0
        """The pid, on the machine, of the first process inside."""
        self.command = 0
        """The pid, on the machine, of the command."""
        self.made: tuple[str, ...] = ()
        """Paths that had to be made in the upper layer for our own mounts."""
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._pending = b""
        self._handed: list[int] = []

    def __enter__(self) -> Self:
        for name in ("upper", "work", "merged"):
            (self.room / name).mkdir()
        shape = os.stat(self.roots[0])
        os.chmod(self.room / "upper", stat.S_IMODE(shape.st_mode))
        if not mapped():
            os.chown(self.room / "upper", shape.st_uid, shape.st_gid)
        try:
            self._start()
            news = self._news(STARTING)
            if news is None or news["at"] != "ready":
                raise self._refused(news)
        except BaseException:
            self.close()
            raise
        self.init, self.made = int(news["init"]), tuple(news["made"])
        self.command = _only_child(self.init)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        self._control = ours
        said = self.workload.stdin.encode()
        with (
            theirs,
            open(self.room / "in", "w+b") as given,
            open(self.room / "out", "wb") as out,
            open(self.room / "err", "wb") as err,
            open(self.room / "launcher", "wb") as log,
        ):
            given.write(said)
            given.seek(0)
            self._process = subprocess.Popen(
                [*self.launch.prefix, sys.executable, "-I", "-m", LAUNCHER, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": os.environ.get("PATH", SEARCHED), "LC_ALL": "C.UTF-8"},
                pass_fds=[theirs.fileno()],
                # Ctrl-C is for this process, which ends the others in order.
                start_new_session=True,
            )
            self._send(given, out, err)

    def _send(self, given: BinaryIO, out: BinaryIO, err: BinaryIO) -> None:
        assert self._control is not None
        work = self.workload
        binds = [*(Bind(source=each.source, path=each.path) for each in work.inputs), *self.launch.binds]
        for bind in binds:
            if not os.path.exists(bind.source):
                raise Misuse(
                    f"{bind.source} is not there", source=work.name, field="inputs", fix="Give what exists."
                )
        spec = {
            "roots": [str(root.resolve(strict=True)) for root in self.roots],
            "merged": str((self.room / "merged").resolve()),
            "upper": str((self.room / "upper").resolve()),
            "work": str((self.room / "work").resolve()),
            "view": self.view,
            "mapped": mapped(),
            "apart": work.network == "none",
            "binds": [
                {"source": os.path.realpath(each.source), "path": each.path, "writable": each.writable,
                 "directory": os.path.isdir(each.source)}
                for each in binds
            ],
            "command": list(work.command),
            "env": {**work.env, **dict(self.launch.env)},
            "path": SEARCHED,
            "workdir": work.workdir,
            "user": work.user,
            "capabilities": list(work.capabilities),
            "limits": {"core": 0, "fsize": LARGEST_FILE},
            "shared": SHARED,
            "marker": self.launch.marker,
        }  # fmt: skip
        line = json.dumps(spec).encode() + b"\n"
        sent = socket.send_fds(self._control, [line], [given.fileno(), out.fileno(), err.fileno()])
        self._control.sendall(line[sent:])

    def _refused(self, news: dict[str, Any] | None) -> Exception:
        said = (self.room / "launcher").read_text(errors="replace").strip()[-2000:]
        if news is None:
            return Permanent(
                f"the launcher of {self.workload.name} ended before it was ready: {said or 'silent'}"
            )
        why = os.strerror(int(news["errno"])) if news.get("errno") else ""
        if str(news["step"]).startswith("looking for"):
            return Misuse(
                f"{news['step']}: there is none",
                source=self.workload.name, field="user", fix="Give one of the tree's, or numbers.",
            )  # fmt: skip
        return Permanent(
            f"{self.workload.name} cannot be confined here: {news['step']}: {why}. {said}".strip()
        )

    def _news(self, seconds: float) -> dict[str, Any] | None:
        """The next message, None if the launcher is gone; raises TimeoutError after `seconds`."""
        assert self._control is not None
        elapsed = stopwatch()
        while b"\n" not in self._pending:
            left = seconds - elapsed()
            if left <= 0:
                raise TimeoutError
            self._control.settimeout(left)
            try:
                data, held, _, _ = socket.recv_fds(self._control, 1 << 16, 4)
            except ConnectionError:
                return None
            self._handed += held
            if not data:
                return None
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def go(self) -> None:
        """Let the command be executed."""
        self._order(b"go\n")

    def terminate(self) -> None:
        """Send the command SIGTERM."""
        self._order(b"term\n")

    def _order(self, order: bytes) -> None:
        assert self._control is not None
        self._control.settimeout(10)
        with suppress(ConnectionError):
            self._control.sendall(order)

    def connect(self, port: int) -> socket.socket | Ended | None:
        """A connection to a port inside; None if it is refused, how the command ended if it has."""
        self._order(b"connect %d\n" % port)
        news = self._news(30)
        if news is None or news["at"] == "ended":
            return (
                Ended(int(news["code"]), float(news["cpu"]), int(news["peak"]))
                if news
                else Ended(137, 0.0, 0)
            )
        if news["at"] != "connected" or not self._handed:
            return None
        return socket.socket(fileno=self._handed.pop(0))

    def wait(self, seconds: float) -> Ended | None:
        """How the command ended; None if it has not within `seconds`."""
        elapsed = stopwatch()
        while True:
            try:
                news = self._news(max(0.0, seconds - elapsed()) or 1e-6)
            except TimeoutError:
                return None
            if news is None:
                return Ended(137, 0.0, 0)
            if news["at"] == "ended":
                return Ended(int(news["code"]), float(news["cpu"]), int(news["peak"]))

    def close(self) -> None:
        """Kill what still runs and wait until the launcher is gone; nothing happens the second time."""
        if self._control is not None:
            self._control.close()
            self._control = None
        for held in self._handed:
            os.close(held)
        self._handed = []
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.wait(20)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise


def _only_child(pid: int) -> int:
    """The pid of the one child of a process."""
    try:
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    except (OSError, IndexError):
        pass
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                fields = (each / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                return int(each.name)
    raise Permanent(f"the command below the process {pid} is gone before it began")


def remove_room(room: Path) -> None:
    """Remove what a run left, directories without permissions among it."""

    def unlock(_function: object, path: str, _error: object) -> None:
        try:
            os.chmod(os.path.dirname(path), 0o700)
            if os.path.islink(path) or not os.path.isdir(path):
                os.unlink(path)
            else:
                os.chmod(path, 0o700)
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            pass

    shutil.rmtree(room, onerror=unlock)
