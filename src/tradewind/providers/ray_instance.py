"""The far end of a lease on a Ray node: the actor that is an instance, and its agent beside it.

The actor starts one program, the boot command, as the leader of a process group of its own, and carries bytes
between whoever calls it and the program's socket. So instances answer through Ray alone and open no port, and
what talks to an agent of this machine can talk to one of a cluster. The program's standard input is its
lifeline: however the actor ends, the group is killed; and the actor ends when its raylet is gone: to Ray
the node is lost then, and nobody would come for what still runs there.

Both directions are counted in bytes, so that a call whose answer was lost on the way may be repeated.

Everything here runs on Ray's own event loop, which has no clock of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tradewind import __version__

HOLD = 3.0
"""Seconds that a call waits for something to tell before it returns empty-handed."""
_LOOK = 0.1
"""Seconds between two looks at the program, the raylet, and the files of tasks' output."""
_MOST = 1 << 20
"""Bytes of one file that are carried at once."""
_DEAD = 5.0
"""Seconds that a killed program is waited for; the kernel takes milliseconds."""

Parcel = tuple[bytes, dict[str, bytes], bool]
"""Bytes from the agent, bytes of tasks' output by file, and whether that was all there will ever be."""


def free_port(host: str) -> int:
    """A port that nobody listens at here, at this machine's address `host`."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


class _Session:
    """One connection to the agent, from one caller."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.taken = 0
        """Bytes that came from the caller so far."""
        self.start, self.kept = 0, bytearray()
        """What the agent sent and the caller has not said to have, and where in the stream that begins."""
        self.over = False
        self.stirred = asyncio.Event()
        self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while received := await reader.read(1 << 16):
                self.kept += received
                self.stirred.set()
        self.over = True
        self.stirred.set()
        self.writer.close()

    def forget(self, before: int) -> None:
        """The caller has what came before."""
        del self.kept[: before - self.start]
        self.start = max(self.start, before)

    def close(self) -> None:
        self._reading.cancel()
        self.over = True
        self.stirred.set()
        self.writer.close()


class RayInstance:
    """An actor that is one instance. `command` is its program, in which `{address}` is filled in; `python` is
    the Python that Ray has here.

    A task's output is carried for files in the folder `logs` of the program's working directory.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._raylet = os.getppid()
        self._folder = Path(tempfile.mkdtemp(prefix="tw-"))
        (self._folder / "logs").mkdir()
        self._socket = self._folder / "agent"
        self._sessions: dict[str, _Session] = {}
        self._let_go: set[str] = set()
        words = {"address": f"unix:{self._socket}"}
        program, *arguments = [part.format_map(words) for part in command]
        # Blocked signals stay blocked over an exec, and pending until the program is ready for them.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            with (self._folder / "agent.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable if program == "python" else program, *arguments],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    cwd=self._folder,
                    start_new_session=True,
                )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    async def hello(self) -> tuple[str, int]:
        """The version of this package here, and the process group of the program."""
        return __version__, self._process.pid

    async def answers(self) -> bool:
        """Whether the program listens by now; waits a while for it. Raises ChildProcessError if it died."""
        for _ in range(round(HOLD / _LOOK)):
            if self._process.poll() is not None:
                raise ChildProcessError(self._words())
            if self._socket.exists():
                return True
            await asyncio.sleep(_LOOK)
        return False

    async def outlive(self) -> str:
        """Return once the program is dead, with the end of what it said."""
        while self._process.poll() is None:
            if os.getppid() != self._raylet:
                self._kill()
                os._exit(1)
            await asyncio.sleep(_LOOK)
        self._kill()  # what it left of its group
        return self._words()

    async def connect(self, session: str) -> bool:
        """Open a connection; False where the program does not listen yet. May be repeated. Raises
        ChildProcessError if it died."""
        if session in self._sessions or session in self._let_go:
            return True
        if not await self.answers():
            return False
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._socket))
        except OSError:
            return False
        if session in self._sessions or session in self._let_go:
            writer.close()  # a repeated call was faster, or the caller has given up
        else:
            self._sessions[session] = _Session(reader, writer)
        return True

    async def send(self, session: str, at: int, data: bytes) -> bool:
        """Take `data`, which begins `at` so many bytes in the caller's stream; False if nobody is there."""
        there = self._sessions.get(session)
        if there is None or there.over or at > there.taken:
            return False
        fresh = data[there.taken - at :]
        there.taken += len(fresh)
        try:
            there.writer.write(fresh)
            await there.writer.drain()
        except OSError:
            return False
        return True

    async def receive(self, session: str, at: int, have: dict[str, int]) -> Parcel:
        """What the agent sent from byte `at` on, and what tasks have put out beyond the bytes in `have`.

        Waits a while for something to tell. What a task put out is told no later than its end.
        """
        there = self._sessions.get(session)
        if there is None:
            return b"", {}, True
        there.forget(at)
        for _ in range(round(HOLD / _LOOK)):
            there.stirred.clear()
            data, over = bytes(there.kept), there.over
            output, more = self._output(have)
            if more:
                return b"", output, False
            if data or output or over:
                return data, output, over
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(there.stirred.wait(), _LOOK)
        return b"", {}, False

    async def hang_up(self, session: str) -> None:
        """Close a connection: its tasks are killed. Silent for one that never was."""
        self._let_go.add(session)
        there = self._sessions.pop(session, None)
        if there is not None:
            there.close()

    async def notify(self) -> None:
        """Give notice: SIGTERM to the group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)

    async def end(self) -> None:
        """Kill the group, and leave nothing behind; whoever is connected is told that it is gone."""
        self._kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, _DEAD)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _output(self, have: dict[str, int]) -> tuple[dict[str, bytes], bool]:
        """New bytes by file, and whether there are more than are carried at once."""
        output: dict[str, bytes] = {}
        more = False
        with contextlib.suppress(OSError), os.scandir(self._folder / "logs") as entries:
            for entry in entries:
                if entry.stat().st_size > (start := have.get(entry.name, 0)):
                    with open(entry.path, "rb") as file:
                        file.seek(start)
                        output[entry.name] = file.read(_MOST)
                    more = more or len(output[entry.name]) == _MOST
        return output, more

    def _words(self) -> str:
        with contextlib.suppress(OSError):
            return (self._folder / "agent.log").read_text(errors="replace")[-4000:]
        return ""
