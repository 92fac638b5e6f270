"""Threads for calls that block, awaited from an event loop.

Nobody waits for them at the end: a call whose other side is silent must not keep a server from ending."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
_Work = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[..., Any], tuple[Any, ...]]


class Callers:
    """At most `most` calls at a time; more wait. Threads come as they are needed."""

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._threads = self._pending = 0
        self._closed = False

    async def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """The result of `call(*arguments)` in a thread; raises what it raises. It is not cut short where
        whoever waits is cancelled."""
        if self._closed:
            raise RuntimeError("no calls are made any more")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._pending += 1
        if self._pending > self._threads and self._threads < self._most:
            self._threads += 1
            threading.Thread(target=self._main, name=self._name, daemon=True).start()
        self._work.put((loop, future, call, arguments))
        return await future

    def _main(self) -> None:
        while (work := self._work.get()) is not None:
            loop, future, call, arguments = work
            result: Any = None
            problem: BaseException | None = None
            try:
                result = call(*arguments)
            except BaseException as raised:
                problem = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(self._tell, future, result, problem)

    def _tell(self, future: asyncio.Future[Any], result: Any, problem: BaseException | None) -> None:
        self._pending -= 1
        if future.done():
            return
        if problem is None:
            future.set_result(result)
        else:
            future.set_exception(problem)

    def close(self) -> None:
        """Take no more calls; threads end once those in hand are over."""
        self._closed = True
        for _ in range(self._threads):
            self._work.put(None)
