"""A replica in a process of its own: whatever its model does, the server and the other requests live on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys

from tradewind.serving.models.opening import Opening
from tradewind.serving.server.replicas.link import Link, Linked

_FAREWELL = 2.0
"""Seconds that a replica has to end by itself once its socket is closed."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""How libraries of numbers are told how many threads they may use."""


class OwnProcess(Linked):
    """Runs a model in a child process, over a socket pair.

    A batch that takes longer than `patience` seconds ends the process; so does one that leaves it with more
    than `memory_limit` bytes (0 for no limit), after it was answered. `start_within` seconds are given to
    load the model. `threads` is how many its libraries may use.
    """

    def __init__(
        self,
        opening: Opening,
        *,
        patience: float = 60.0,
        start_within: float = 300.0,
        memory_limit: int = 0,
        threads: int = 1,
    ) -> None:
        super().__init__(patience)
        self._opening, self._start_within = opening, start_within
        self._memory_limit, self._threads = memory_limit, threads
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process; None before `open`."""
        return None if self._process is None else self._process.pid

    async def open(self) -> None:
        """Start the process and load the model; Misuse where it cannot be loaded."""
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tradewind.serving.server.replicas.worker", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env=os.environ | dict.fromkeys(_THREADS, str(self._threads)),
                start_new_session=True,  # a Ctrl-C at the terminal is the server's alone
            )
            self._link = Link(*await asyncio.open_unix_connection(sock=ours), self._ended)
        except BaseException:
            ours.close()
            await self.close()
            raise
        finally:
            theirs.close()
        try:
            self._take(await self._link.open(self._opening, self._memory_limit, self._start_within))
        except BaseException:
            await self.close()
            raise

    async def _ended(self, reason: str) -> str:
        """End what is left of the process, and say how it went."""
        if reason:
            self._kill()
        code = await asyncio.get_running_loop().run_in_executor(None, self._reaped)
        if reason:
            return reason
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"it exited with {code}"

    def _kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _reaped(self) -> int:
        assert self._process is not None
        try:
            return self._process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            self._kill()
            return self._process.wait()

    async def close(self) -> None:
        """End the process: by itself where it can, else by force."""
        if self._link is not None:
            self._link.close()
        if self._process is not None and self._process.returncode is None:
            if self._link is None:
                self._kill()
            await asyncio.get_running_loop().run_in_executor(None, self._reaped)
