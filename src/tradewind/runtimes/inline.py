"""Tasks as threads of this process: for tests, and for runs on one machine that rent nothing.

It keeps the contract of `Runtime` but for what a thread cannot give: it cannot be killed. A task that
outlasts its grace is told as failed and left to itself; it ends with this process at the latest. No task is
ever lost, since its instance is this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import math
import threading
import traceback

import msgspec

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.market.leases import Lease
from tradewind.runtimes.interface import Task, TaskEnd, TaskState

_REASON = 4000
"""Characters of a traceback's end that are told."""


class InlineRuntime:
    """Runs each task in a thread; the lease's address is not looked at."""

    def __init__(self) -> None:
        self._leaving: dict[str, threading.Event] = {}
        """For every task that has not been told as ended."""
        self._started: set[str] = set()
        self._ends: asyncio.Queue[TaskEnd] = asyncio.Queue()
        self._closed = False

    async def start(self, lease: Lease, task: Task) -> None:
        """Run `task` in a thread of its own, with a copy of its arguments."""
        if self._closed:
            raise Misuse("this runtime was closed", field="start", fix="Make a new one.")
        if math.isinf(clock.speed()):
            raise Misuse("threads take real time, a simulation has none", fix="Run them under clock.run.")
        if task.id in self._started:
            raise Misuse(
                f"a task {task.id!r} was started already", field="task.id", fix="Give each its own id."
            )
        try:
            arguments = msgspec.json.encode(task.arguments)
        except (TypeError, ValueError) as problem:
            raise Misuse(
                f"these are no JSON values: {problem}", source=f"task {task.id}", field="arguments"
            ) from None
        leaving = self._leaving[task.id] = threading.Event()
        self._started.add(task.id)
        loop = asyncio.get_running_loop()

        def work() -> None:
            state, reason = TaskState.DONE, ""
            try:
                importlib.import_module(task.module).main(msgspec.json.decode(arguments), leaving.is_set)
            except SystemExit as left:
                if left.code not in (None, 0):
                    state, reason = TaskState.FAILED, f"left with {left.code!r}"
            except BaseException:
                state, reason = TaskState.FAILED, traceback.format_exc()[-_REASON:]
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody listens any more
                loop.call_soon_threadsafe(self._end, TaskEnd(task.id, state, reason))

        threading.Thread(target=work, name=task.id, daemon=True).start()

    async def stop(self, task: str, grace: float) -> None:
        """Ask a task to leave; one that outlasts `grace` is told as failed."""
        leaving = self._leaving.get(task)
        if leaving is None:
            return
        leaving.set()
        reason = f"outlasted its grace of {grace:g} s; a thread cannot be killed"
        end = TaskEnd(task, TaskState.FAILED, reason)
        asyncio.get_running_loop().call_later(max(0.0, grace) * clock.speed(), self._end, end)

    async def next_end(self) -> TaskEnd:
        """Wait for the next task that ends."""
        return await self._ends.get()

    async def close(self) -> None:
        """Ask every task to leave, and forget those that do not."""
        self._closed = True
        for task in list(self._leaving):
            await self.stop(task, 0.0)

    def _end(self, end: TaskEnd) -> None:
        if self._leaving.pop(end.task, None) is not None:
            self._ends.put_nowait(end)
