"""A function host for as long as its owner lives.

It is a child process with a folder of its own and a token that only the owner knows. It notices when the
owner is gone, however that went, and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from typing import IO

import msgspec

from tradewind.errors import Temporary
from tradewind.runtimes.functions.limits import Limits

_START = 30.0
_FAREWELL = 5.0


class LocalHost:
    """The host. `start` may be called again after it died; `url` and `token` are new then."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._process: subprocess.Popen[bytes] | None = None
        self._root = ""
        self.url = self.token = ""

    @property
    def pid(self) -> int | None:
        """Its process; None where none runs."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    async def start(self) -> str:
        """Have it listen, if it does not; its address. Temporary where it does not come up."""
        if self.pid is not None:
            return self.url
        await self.close()
        self._root = tempfile.mkdtemp(prefix="tw-functions-")
        self.token = secrets.token_hex(16)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tradewind.runtimes.functions.host.server", "--root", self._root,
             "--with-parent", "--limits", msgspec.json.encode(self._limits).decode()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=os.environ | {"TRADEWIND_FUNCTION_TOKEN": self.token},
            start_new_session=True,  # a Ctrl-C at the terminal is its owner's alone
        )  # fmt: skip
        assert self._process.stdout is not None
        loop = asyncio.get_running_loop()
        reading = loop.run_in_executor(None, _line, self._process.stdout)
        alarm = loop.call_later(_START, self._process.kill)  # the reading ends with it
        try:
            self.url = await reading
        except BaseException:
            self._process.kill()
            raise
        finally:
            alarm.cancel()
        if not self.url:
            await self.close()
            raise Temporary("the local function host did not start")
        return self.url

    async def close(self) -> None:
        """End it, and what it runs; its folder goes with it."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        await asyncio.get_running_loop().run_in_executor(None, _ended, process)
        shutil.rmtree(self._root, ignore_errors=True)


def _line(stream: IO[bytes]) -> str:
    return stream.readline().decode().strip()


def _ended(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_FAREWELL)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
