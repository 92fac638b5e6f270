"""One open stream: its requests are worked on together, and answered in their order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from tradewind import clock


class OpenStream:
    """Reads `requests` and has each answered by a task of its own, `most` of them at a time.

    It begins to read when it is made, on the running event loop.
    """

    def __init__(
        self, requests: AsyncIterator[bytes], answer: Callable[[bytes], Awaitable[bytes]], most: int
    ) -> None:
        self._requests, self._answer = requests, answer
        self._room = asyncio.Semaphore(most)
        self._tasks: asyncio.Queue[asyncio.Future[bytes] | None] = asyncio.Queue()
        self._unfinished: set[asyncio.Future[bytes]] = set()
        self._reader = asyncio.ensure_future(self._read())
        self.in_progress = 0
        """Requests read whose responses were not taken."""
        self.heard = clock.now()
        """When the last request came."""
        self.ended = False
        """Whether reading stopped for another reason than that the caller had sent its last request."""

    async def responses(self) -> AsyncIterator[bytes]:
        """The responses, in the order of the requests, until there is no further request."""
        while (task := await self._tasks.get()) is not None:
            response = await task
            self.in_progress -= 1
            self._room.release()
            yield response

    def end(self) -> None:
        """Read no further request."""
        self.ended = True
        self._reader.cancel()

    def cancel(self) -> None:
        """Let go of every request in progress, and read no further."""
        self._reader.cancel()
        for task in tuple(self._unfinished):
            task.cancel()

    async def _read(self) -> None:
        try:
            async for data in self._requests:
                self.heard = clock.now()
                self.in_progress += 1
                await self._room.acquire()
                task = asyncio.ensure_future(self._answer(data))
                self._unfinished.add(task)
                task.add_done_callback(self._unfinished.discard)
                self._tasks.put_nowait(task)
        except Exception:  # the connection broke: gRPC cancels whoever takes the responses
            self.ended = True
        finally:
            self._tasks.put_nowait(None)
