"""What is ordered of a runtime for a job: tasks started and stopped, and failures counted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from tradewind import clock
from tradewind.errors import TradewindError, Unreachable
from tradewind.market.leases import Lease, LeaseId
from tradewind.runtimes.interface import Runtime, Task
from tradewind.training.elastic.work import Broken, Change

GRACE = 10.0
"""Seconds of the wall's time that a task which was asked to leave has to end its clock."""
MOST_FAILURES = 3
"""Failures of one task, without any progress between, after which the job is broken."""


class Orders:
    """The orders of one job, and what there is to tell of them.

    `strand` is called for a lease whose instance could not be reached. Once `over`, nothing is started.
    """

    def __init__(self, runtime: Runtime, strand: Callable[[LeaseId, str], None]) -> None:
        self.runtime = runtime
        self.changes: asyncio.Queue[Change] = asyncio.Queue()
        self.over = False
        self._strand = strand
        self._closed = False
        self._background: set[asyncio.Task[None]] = set()
        self._failures: dict[str, int] = {}
        self._numbers = 0

    def name(self, what: str) -> str:
        """A new task's name: `what` and a number."""
        self._numbers += 1
        return f"{what}.{self._numbers}"

    async def start(self, lease: Lease, task: Task) -> bool:
        """Start a task; False, with everything told that there is to tell, if that was not possible."""
        try:
            await self.runtime.start(lease, task)
        except Unreachable as silence:
            self._strand(lease.id, str(silence))
            return False
        except TradewindError as problem:
            self.tell(Broken(str(problem)))
            return False
        return True

    def ask_to_leave(self, task: str, grace: float | None = None) -> None:
        """Have a task stopped, within `GRACE` where nothing else is said; without waiting."""
        self.keep(self.runtime.stop(task, GRACE if grace is None else grace))

    async def stop(self, tasks: Iterable[str]) -> None:
        """Have tasks stopped, whatever else goes wrong."""
        for task in tasks:
            with contextlib.suppress(TradewindError):
                await self.runtime.stop(task, GRACE)

    def tell(self, change: Change) -> None:
        """Tell of a change."""
        self.changes.put_nowait(change)

    def failed(self, what: str, reason: str) -> bool:
        """Count a failure; True if it was one too many and the job is broken."""
        self._failures[what] = self._failures.get(what, 0) + 1
        if self._failures[what] < MOST_FAILURES:
            return False
        self.over = True
        self.tell(Broken(f"{what} failed {MOST_FAILURES} times without progress: {reason}"))
        return True

    def forgive(self, whats: Iterable[str]) -> None:
        """Count the failures of these from nought again: there was progress."""
        for what in whats:
            self._failures.pop(what, None)

    def keep(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something in the background; if it fails, the job is broken."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._settle)

    async def close(self) -> None:
        """End what is done in the background, then the runtime; may be called twice."""
        if self._closed:
            return
        self._closed = self.over = True
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.runtime.close()

    def _settle(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None and not self._closed:
            self.over = True
            self.tell(Broken(f"{type(problem).__name__}: {problem}"))


async def grace_over() -> None:
    """Wait for as long as a task has to leave."""
    await pause(GRACE)


async def pause(seconds: float) -> None:
    """Wait so many seconds of the wall's time."""
    await clock.sleep_until(clock.now() + seconds * clock.speed())


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is true, or for as long as a task has to leave."""
    due = clock.now() + GRACE * clock.speed()
    while not true() and clock.now() < due:
        await pause(0.05)
