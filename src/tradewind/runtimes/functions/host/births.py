"""How the process of an environment comes to be: started plainly, or forked from one that did the imports."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from tradewind.errors import TradewindError

_HOST = "tradewind.runtimes.functions.host"
_SINGLE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""A forked process must not find libraries waiting for threads that it has not."""


class Unfit(TradewindError):
    """A layer that cannot be forked from."""


class Child(Protocol):
    """The process of one environment, as its host holds it."""

    start: str
    """`plain` or `forked`."""

    def kill(self) -> None:
        """End it, and what it started in its group."""
        ...

    async def ended(self) -> int:
        """Wait for its end; its exit status, negative for a signal."""
        ...


class PlainChild:
    """A new interpreter."""

    start = "plain"

    def __init__(self, connection: socket.socket, variables: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{_HOST}.inside", str(connection.fileno()), str(os.getpid())],
            pass_fds=(connection.fileno(),),
            stdin=subprocess.DEVNULL,
            env=_environment(variables),
        )

    def kill(self) -> None:
        """End it, and its group."""
        if self._process.returncode is None:
            self._process.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def ended(self) -> int:
        """Wait for its end."""
        status = await asyncio.get_running_loop().run_in_executor(None, self._process.wait)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # whatever it started itself
        return status


class ForkedChild:
    """A fork of a process that had done the imports."""

    start = "forked"

    def __init__(self, zygote: Zygote, name: str) -> None:
        self._zygote, self._name = zygote, name
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def kill(self) -> None:
        """End it, and its group."""
        self._zygote.order({"do": "kill", "id": self._name})

    async def ended(self) -> int:
        """Wait for its end."""
        return await asyncio.shield(self.status)


class Zygote:
    """The process that has imported `modules`; `start` returns once it can be forked from."""

    def __init__(self, modules: tuple[str, ...], variables: Mapping[str, str]) -> None:
        self.modules = modules
        self.left_out: tuple[str, ...] = ()
        self._variables = variables
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._children: dict[str, ForkedChild] = {}
        self._numbers = itertools.count(1)
        self._ready: asyncio.Future[None] | None = None

    @property
    def up(self) -> bool:
        """Whether it can be forked from."""
        return self._control is not None and self._ready is not None and self._ready.done()

    @property
    def gone(self) -> bool:
        """Whether it was there, and is no more."""
        return self._process is not None and self._control is None

    async def start(self, within: float) -> None:
        """Do the imports; Unfit where that takes too long or leaves what cannot be forked."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"{_HOST}.zygote", str(theirs.fileno()), str(os.getpid())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.PIPE,
                env=_environment(self._variables),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        self._control = ours
        self._ready = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(ours, self._hear)
        names = json.dumps(self.modules).encode()
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._told, names)
            async with asyncio.timeout(within):
                await asyncio.shield(self._ready)
        except TimeoutError:
            await self.close()
            raise Unfit(f"importing the layer took longer than {within:g} s") from None
        except BaseException:
            await self.close()
            raise

    def _told(self, names: bytes) -> None:
        assert self._process is not None and self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(names)

    def fork(self, connection: socket.socket) -> ForkedChild:
        """A new environment's process, which speaks on `connection`; OSError where the zygote is gone."""
        if self._control is None:
            raise OSError("the fork server is gone")
        name = str(next(self._numbers))
        child = self._children[name] = ForkedChild(self, name)
        try:
            text = json.dumps({"do": "start", "id": name}).encode()
            socket.send_fds(self._control, [text], [connection.fileno()])
        except OSError:
            del self._children[name]
            raise
        return child

    def order(self, message: dict[str, Any]) -> None:
        """Tell it something, if it lives."""
        if self._control is not None:
            with contextlib.suppress(OSError):
                self._control.send(json.dumps(message).encode())

    def _hear(self) -> None:
        assert self._control is not None
        try:
            text = self._control.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            text = b""
        if not text:
            self._lost()
            return
        told = json.loads(text)
        if told["tells"] == "ended":
            child = self._children.pop(told["id"], None)
            if child is not None and not child.status.done():
                child.status.set_result(told["status"])
        elif self._ready is not None and not self._ready.done():
            if told["tells"] == "ready":
                self.left_out = tuple(told["left_out"])
                self._ready.set_result(None)
            elif told["tells"] == "unfit":
                self._ready.set_exception(Unfit(told["reason"]))

    def _lost(self) -> None:
        """It is gone, and with it, by their own wish, all that were forked from it."""
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(Unfit("its process ended while it imported the layer"))
        children, self._children = self._children, {}
        for child in children.values():
            if not child.status.done():
                child.status.set_result(-signal.SIGKILL)

    async def close(self) -> None:
        """End it, with all that were forked from it."""
        self._lost()
        if self._ready is not None and self._ready.done():
            self._ready.exception()  # taken note of
        if self._process is not None:
            self._process.kill()
            await asyncio.get_running_loop().run_in_executor(None, self._process.wait)


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **dict.fromkeys(_SINGLE, "1"), "PYTHONDONTWRITEBYTECODE": "1", **variables}
