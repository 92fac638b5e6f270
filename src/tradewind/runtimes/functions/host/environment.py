"""One environment of a function: a process that has loaded its code and runs one call at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from tradewind import clock
from tradewind.errors import TradewindError
from tradewind.runtimes.cpu_share import Pace, Unpaced, pace
from tradewind.runtimes.functions.host.births import Child
from tradewind.runtimes.functions.host.exchange import Garbled, packed, receive
from tradewind.runtimes.functions.host.shelf import Function
from tradewind.runtimes.functions.limits import FULL_CORE, Limits

_LOOK = 0.05
"""Seconds between two looks at how much memory a call holds."""
_LOG_TAIL = 4096
_LOG_LONGEST = 1 << 20
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Outcome(Struct, frozen=True):
    """What became of a call."""

    payload: bytes
    error: str
    """`Unhandled`, or empty."""
    seconds: float
    memory: int
    """Bytes, the most that the process has held."""
    log: str


class StartFailed(TradewindError):
    """The function's code could not be loaded; `outcome` is what its caller gets."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.payload.decode(errors="replace"))
        self.outcome = outcome


class Environment:
    """A process of `function`, in its own folder. It is gone (`dead`) after a crash, an excess, a timeout."""

    def __init__(self, name: str, function: Function, folder: Path, limits: Limits) -> None:
        self.name, self.function = name, function
        self.dead = False
        self.provisioned = False
        self.born = self.used = clock.now()
        self.init_seconds = 0.0
        self.start = ""
        self.modules: tuple[str, ...] = ()
        """Loaded from outside the function's package, where that was asked for."""
        self.inbound_refused = False
        self._folder, self._limits = folder, limits
        self._child: Child | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._pid = 0
        self._pace: Pace = Unpaced()
        self._over = False
        self._most = 0

    @property
    def paced_by(self) -> str:
        """How its share of processors is kept."""
        return self._pace.method

    async def begin(
        self, born: Callable[[socket.socket], Child], code: Path, variables: dict[str, str], learn: bool
    ) -> None:
        """Start the process and load the code. StartFailed where that fails; nothing is left running then.

        Starting runs at full speed, as on Lambda; the share of processors holds from the first call on.
        """
        elapsed = clock.stopwatch()
        scratch = self._folder / "tmp"
        scratch.mkdir(parents=True)
        ours, theirs = socket.socketpair()
        try:
            self._child = born(theirs)
            self.start = self._child.start
            self._reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            ours.close()
            await self.end()
            raise
        finally:
            theirs.close()
        function = self.function
        told = {
            "do": "begin", "environment": self.name, "name": function.name, "version": function.version,
            "memory": function.memory, "handler": function.handler, "code": str(code), "learn": learn,
            "log": str(self._folder / "log"), "variables": variables | {"TMPDIR": str(scratch)},
        }  # fmt: skip
        watching = asyncio.create_task(self._watch())
        try:
            self._writer.write(packed(told))
            async with asyncio.timeout(self._limits.start):
                answer, _ = await receive(self._reader)
        except TimeoutError:
            error = _timed_out("Runtime.InitTimeout", f"loading the code took over {self._limits.start:g} s")
            raise await self._failed(error, elapsed()) from None
        except (asyncio.IncompleteReadError, ConnectionError, Garbled):
            raise await self._failed(await self._death("Runtime.ExitError"), elapsed()) from None
        except BaseException:
            await self.end()
            raise
        finally:
            watching.cancel()
        if answer["tells"] != "ready":
            raise await self._failed(answer["error"], elapsed())
        self.init_seconds = elapsed()
        self._pid, self.modules = answer["pid"], tuple(answer["modules"])
        self.inbound_refused = bool(answer["inbound_refused"])
        self._pace = pace(function.memory / FULL_CORE)
        self._pace.join(self._pid)

    def revive(self) -> None:
        """After a start that failed: let it be tried once more."""
        self.dead = self._over = False
        self._child = None
        self._pid = 0

    async def call(self, event: bytes, call: dict[str, Any]) -> Outcome:
        """Run one call within the function's timeout; whatever happens, an outcome comes of it."""
        assert self._reader is not None and self._writer is not None
        before = self._log_size()
        elapsed = clock.stopwatch()
        timeout = float(self.function.timeout)
        call = call | {"do": "call", "deadline": clock.wall() + timeout, "largest": self._limits.payload}
        watching = asyncio.create_task(self._watch())
        error: dict[str, Any] | None = None
        kind, payload = "", b""
        try:
            self._writer.write(packed(call, event))
            async with asyncio.timeout(timeout):
                answer, payload = await receive(self._reader)
            kind, self._most = answer["error"], max(self._most, int(answer["memory"]))
        except TimeoutError:
            message = f"RequestId: {call['request']} Error: Task timed out after {timeout:.2f} seconds"
            error = _timed_out("Sandbox.Timedout", message)
        except (asyncio.IncompleteReadError, ConnectionError, Garbled):
            error = await self._death("Runtime.ExitError", str(call["request"]))
        except BaseException:
            await self.end()
            raise
        finally:
            watching.cancel()
            self.used = clock.now()
        seconds = elapsed()
        log = self._log_from(before)
        if error is not None:
            await self.end()
            kind, payload = "Unhandled", json.dumps(error).encode()
        elif self._log_size() > _LOG_LONGEST:
            os.truncate(self._folder / "log", 0)
        return Outcome(payload, kind, seconds, self._most, log)

    async def _watch(self) -> None:
        """Keep the share of processors and the memory while something runs."""
        looked = clock.stopwatch()
        while True:
            wait = self._pace.tick()
            await asyncio.sleep(_LOOK if wait is None else min(wait, _LOOK))
            if looked() >= _LOOK and self._pid:
                looked = clock.stopwatch()
                held = _resident(self._pid)
                self._most = max(self._most, held)
                if held > self.function.memory << 20:
                    self._over = True
                    if self._child is not None:
                        self._child.kill()
                    return

    async def _death(self, kind: str, request: str = "") -> dict[str, Any]:
        """What became of the process."""
        assert self._child is not None
        try:
            async with asyncio.timeout(2.0):
                status = await self._child.ended()
        except TimeoutError:
            self._child.kill()
            status = await self._child.ended()
        if self._over:
            told = f"Memory Size: {self.function.memory} MB exceeded; signal: killed"
            kind = "Runtime.OutOfMemory"
        elif status < 0:
            told = f"Runtime exited with error: signal: {signal.Signals(-status).name}"
        else:
            told = f"Runtime exited with error: exit status {status}" if status else "Runtime exited"
        return {"errorMessage": f"RequestId: {request} Error: {told}", "errorType": kind}

    async def _failed(self, error: dict[str, Any], seconds: float) -> StartFailed:
        log = self._log_from(0)
        await self.end()
        return StartFailed(Outcome(json.dumps(error).encode(), "Unhandled", seconds, self._most, log))

    def _log_size(self) -> int:
        with contextlib.suppress(OSError):
            return (self._folder / "log").stat().st_size
        return 0

    def _log_from(self, offset: int) -> str:
        try:
            with open(self._folder / "log", "rb") as log:
                log.seek(max(offset, self._log_size() - _LOG_TAIL))
                return log.read().decode(errors="replace")
        except OSError:
            return ""

    async def end(self) -> None:
        """End the process, and forget its folder; may be called twice."""
        self.dead = True
        if self._writer is not None:
            self._writer.close()
        if self._child is not None:
            self._child.kill()
            self._pace.leave(self._pid)
            self._pace.close()
            await self._child.ended()
        shutil.rmtree(self._folder, ignore_errors=True)


def _timed_out(kind: str, message: str) -> dict[str, Any]:
    return {"errorMessage": message, "errorType": kind}


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as counts:
            return int(counts.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0
