"""The replicas of one model version: as many as are wanted are kept up, and lost ones are replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.serving.server.batcher import Batcher
from tradewind.serving.server.replicas.interface import Replica

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5
"""Seconds between a loss and its replacement: at first, and at most where losses follow on each other. A
request that kills replicas must not keep the others waiting for long."""
_LONGEST_RETRY = 30.0
"""Seconds at most between two tries to start one that cannot be started."""
_QUIET = 60.0
"""Seconds without a loss after which the next is replaced as quickly as the first."""


class Fleet:
    """Keeps `count` replicas, each made by `make`, joined to `batcher`.

    A replica that is lost is replaced after a pause that doubles with losses in a row, one that is spent at
    once. `said` is told in words of every loss and of every failure to replace one.
    """

    def __init__(
        self,
        make: Callable[[], Replica],
        batcher: Batcher,
        count: int,
        said: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._make, self._batcher, self._count, self._said = make, batcher, count, said
        self._up: list[Replica] = []
        self._coming: set[asyncio.Task[None]] = set()
        self._going: set[asyncio.Task[None]] = set()
        self._pause, self._last_loss = _FIRST_PAUSE, 0.0
        self._closed = False
        self.losses = 0

    @property
    def up(self) -> int:
        """Replicas that can run batches, or are running one."""
        return len(self._up)

    @property
    def starting(self) -> int:
        """Replicas that are being replaced or added."""
        return len(self._coming)

    @property
    def memory(self) -> int:
        """Bytes of all replicas together."""
        return sum(each.memory for each in self._up)

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """Those that are up."""
        return tuple(self._up)

    def begin(self, first: Replica) -> None:
        """Take in the first replica, which is open, and start the others."""
        self._take(first)
        self._fill()

    def resize(self, count: int) -> None:
        """Keep `count` replicas from now on; those too many finish what they have in hand."""
        self._count = count
        self._fill()
        while len(self._up) > max(count, 0):
            _start(self._retire(self._up.pop()), self._going)

    def lost(self, replica: Replica) -> None:
        """A replica is gone: replace it."""
        if replica not in self._up:
            return
        self._up.remove(replica)
        if replica.spent:
            _start(self._replace(replica, 0.0), self._coming)
            return
        self.losses += 1
        now = clock.now()
        quiet = now > self._last_loss + _QUIET
        self._pause = _FIRST_PAUSE if quiet else min(self._pause * 2, _LONGEST_PAUSE)
        self._last_loss = now
        _start(self._replace(replica, self._pause), self._coming)

    def _take(self, replica: Replica) -> None:
        self._up.append(replica)
        self._batcher.join(replica)

    def _fill(self) -> None:
        for _ in range(self._count - len(self._up) - len(self._coming)):
            _start(self._add(), self._coming)

    async def _replace(self, replica: Replica, pause: float) -> None:
        if replica.spent:
            self._said("a replica has left, or grew too big; another is started")
        else:
            self._said(f"a replica was lost; another is started in {pause:g} s")
        await replica.close()
        await asyncio.sleep(pause)
        if len(self._up) < self._count:
            await self._add()

    async def _add(self) -> None:
        pause = _FIRST_PAUSE
        while not self._closed:
            replica = self._make()
            try:
                await replica.open()
            except Exception as problem:
                kind = "" if isinstance(problem, Misuse) else f"{type(problem).__name__}: "
                pause = min(pause * 2, _LONGEST_RETRY)
                self._said(f"a replica could not be started ({kind}{problem}); tried again in {pause:g} s")
                await asyncio.sleep(pause)
                continue
            if self._closed:
                await replica.close()
            else:
                self._take(replica)
            return

    async def _retire(self, replica: Replica) -> None:
        await self._batcher.leave(replica)
        await replica.close()

    async def close(self) -> None:
        """Let go of every replica; what they have in hand was waited for by the batcher."""
        self._closed = True
        for task in list(self._coming):
            task.cancel()
        if tasks := [*self._coming, *self._going]:
            await asyncio.wait(tasks)
        up, self._up = self._up, []
        for replica in up:
            await self._batcher.leave(replica)
            await replica.close()


def _start(work: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]) -> None:
    task = asyncio.get_running_loop().create_task(work)
    among.add(task)
    task.add_done_callback(among.discard)
