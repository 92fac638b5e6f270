"""One call on a connection: its requests put together, its responses sent as the windows allow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Protocol

from tradewind import clock
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.server.grpc import frames
from tradewind.serving.server.grpc.household import Household, Method, Told
from tradewind.serving.server.http.compression import unpacked
from tradewind.serving.server.http.routes import Unanswerable

STREAM_WINDOW = 1 << 22
"""Bytes of one call that a client may send before it is told to go on."""
_PREFIX = 5
"""Bytes before a message: whether it is compressed, and its length."""
_SMALL = 64 * 1024
"""Bytes of requests in hand up to which a call is never refused for those of others."""
_UNPACKED_HERE = 16 * 1024
"""Bytes of a compressed message up to which it is unpacked at once; a larger one goes to a thread."""


class Line(Protocol):
    """The connection, as its calls need it."""

    house: Household
    window: int
    stream_window: int
    largest: int
    paused: bool
    blocked: dict[int, OpenCall]

    def write(self, data: bytes) -> None:
        """Write whole frames."""
        ...

    def run(self, call: OpenCall, work: Coroutine[Any, Any, None]) -> None:
        """Run a call's work."""
        ...

    def over(self, call: OpenCall) -> None:
        """A call needs nothing any more."""
        ...


class OpenCall:
    """A call from its headers to its end."""

    __slots__ = (
        "_allowed", "_begun", "_buffer", "_coding", "_drained", "_held", "_left", "_line", "_method",
        "_opened", "_pending", "_queued", "_requests", "_seconds", "_taken", "_trailers", "_waiter", "_whole",
        "id", "task", "window",
    )  # fmt: skip

    def __init__(
        self, line: Line, id: int, method: Method, coding: str, seconds: float | None, begun: float
    ) -> None:
        self._line, self.id, self._method, self._coding = line, id, method, coding
        self._seconds, self._begun = seconds, begun
        self.window = line.stream_window
        """Bytes that may be sent now."""
        self.task: asyncio.Task[None] | None = None
        self._buffer = bytearray()
        self._whole = self._left = self._opened = False
        self._allowed, self._taken, self._held, self._queued = STREAM_WINDOW, 0, 0, 0
        self._requests: deque[tuple[int, bytes]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._pending: deque[memoryview] = deque()
        self._trailers: bytes | None = None
        self._drained: asyncio.Future[None] | None = None

    def left(self) -> float | None:
        """Seconds that the caller still waits; None if for ever."""
        return None if self._seconds is None else self._begun + self._seconds - clock.now()

    def begin(self) -> None:
        """Begin to answer a stream of requests."""
        self.task = self._line.house.loop.create_task(self._streamed())

    def take(self, content: bytes, length: int, ended: bool) -> None:
        """Take what came of the requests; `length` with what fills up the frame."""
        self._allowed -= length
        if self._whole:
            raise frames.Broken(frames.STREAM_CLOSED, "data come behind a call's end")
        if self._allowed < 0:
            raise frames.Broken(frames.FLOW, "more is sent than the stream's window allows")
        if ended and not self._buffer and not self._requests and self._method.one is not None:
            size = len(content) - _PREFIX
            fits = size <= self._line.house.limits.message_bytes
            if size >= 0 and fits and int.from_bytes(content[1:5], "big") == size:
                self._whole = True
                self._hold(len(content))
                self._line.run(self, self._answered(content[0], content[_PREFIX:]))
                return
        self._taken += length
        self._buffer += content
        if not self._hold(len(content)):
            return
        if self._gathered():
            if ended:
                self.complete()
            else:
                self._grant()

    def complete(self) -> None:
        """No further request comes."""
        if self._whole:
            raise frames.Broken(frames.STREAM_CLOSED, "a call ends twice")
        self._whole = True
        if self._method.several is not None:
            self._wake()
            return
        if len(self._requests) != 1 or self._buffer:
            self.fail("INVALID_ARGUMENT", "the call is to have one message")
            return
        packed, data = self._requests.popleft()
        self._line.run(self, self._answered(packed, data))

    def leave(self) -> None:
        """The client is gone: cancel what is being done for it."""
        self._left = True
        house = self._line.house
        if self.task is not None and not self.task.done():
            house.ending.add(self.task)
            self.task.add_done_callback(house.ending.discard)
            # Not before its first step, which it would otherwise never take.
            house.loop.call_soon(self.task.cancel)
        self._wake()
        self._over()

    def push(self) -> bool:
        """Send a frame of what waits, if the windows allow; whether anything was sent."""
        line, moved = self._line, False
        if self._pending:
            first = self._pending[0]
            count = min(len(first), self.window, line.window, line.largest)
            if count <= 0:
                return False
            line.write(frames.frame(frames.DATA, 0, self.id, bytes(first[:count])))
            self.window -= count
            line.window -= count
            moved = True
            if count == len(first):
                self._pending.popleft()
            else:
                self._pending[0] = first[count:]
        if not self._pending:
            line.blocked.pop(self.id, None)
            if self._drained is not None and not self._drained.done():
                self._drained.set_result(None)
            if self._trailers is not None:
                self._finish(self._trailers)
        return moved

    def fail(self, code: str, text: str, more: tuple[tuple[str, str], ...] = ()) -> None:
        """End the call with an error, behind what waits to be sent."""
        if not self._left:
            self._close(frames.failed(self.id, code, text, more, opened=self._opened))

    def look(self, now: float) -> None:
        """Give up a request that does not come whole."""
        late = now >= self._begun + self._line.house.limits.request_seconds
        if late and self._method.one is not None and not self._whole:
            self.fail("DEADLINE_EXCEEDED", "the request did not come whole in time")

    # Requests

    def _hold(self, size: int) -> bool:
        """Count bytes that are in hand; false where they are too many, and the call has failed."""
        house = self._line.house
        self._held += size
        house.held += size
        if house.held > house.limits.messages_bytes and self._held > _SMALL:
            self.fail("RESOURCE_EXHAUSTED", "the server holds as many bytes of requests as it takes")
            return False
        return True

    def _gathered(self) -> bool:
        """Cut messages out of what came; false where one is too large, and the call has failed."""
        buffer = self._buffer
        while len(buffer) >= _PREFIX:
            size = int.from_bytes(buffer[1:5], "big")
            if size > self._line.house.limits.message_bytes:
                self._too_large()
                return False
            end = _PREFIX + size
            if len(buffer) < end:
                break
            self._requests.append((buffer[0], bytes(memoryview(buffer)[_PREFIX:end])))
            self._queued += end
            del buffer[:end]
            if self._method.one is not None and len(self._requests) > 1:
                self.fail("INVALID_ARGUMENT", "the call is to have one message")
                return False
            self._wake()
        return True

    def _too_large(self) -> None:
        most = self._line.house.limits.message_bytes
        self.fail("RESOURCE_EXHAUSTED", f"a message is over {most} bytes")

    def _grant(self) -> None:
        """Let the client send on, unless enough waits to be taken."""
        if self._taken >= STREAM_WINDOW // 4 and self._queued <= STREAM_WINDOW and not self._whole:
            self._line.write(frames.window(self.id, self._taken))
            self._allowed += self._taken
            self._taken = 0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _each(self) -> AsyncIterator[bytes]:
        """The requests of a stream, as they come."""
        house = self._line.house
        while True:
            while not self._requests:
                if self._left:
                    raise ConnectionResetError("the client is gone")
                if self._whole:
                    return
                self._waiter = house.loop.create_future()
                await self._waiter
            packed, data = self._requests.popleft()
            size = len(data) + _PREFIX
            self._queued -= size
            self._release(size)
            self._grant()
            yield await self._unpacked(data) if packed else data

    async def _unpacked(self, data: bytes) -> bytes:
        coding, limit = self._coding, self._line.house.limits.message_bytes
        if coding not in ("gzip", "deflate"):
            raise Refusal(RefusalKind.MALFORMED, "a compressed message, and grpc-encoding does not say how")
        try:
            if len(data) <= _UNPACKED_HERE:
                return unpacked(data, coding, limit)
            return await self._line.house.loop.run_in_executor(None, unpacked, data, coding, limit)
        except Unanswerable as problem:
            kind = RefusalKind.TOO_LARGE if problem.status == 413 else RefusalKind.MALFORMED
            raise Refusal(kind, str(problem)) from None

    # Responses

    async def _answered(self, packed: int, data: bytes) -> None:
        """Answer a call of one request."""
        method = self._method.one
        assert method is not None
        try:
            if packed:
                data = await self._unpacked(data)
            content = await method(data, self.left())
            self._check(content)
        except Exception as error:
            self._told(self._line.house.told(error))
            return
        line, size = self._line, len(content) + _PREFIX
        if self._left:
            return
        if size <= self.window and size <= line.window and size <= line.largest and not line.paused:
            line.window -= size
            self._finish(frames.answered(self.id, content))
            return
        self._open()
        self._pending.append(memoryview(frames.message(content)))
        self._close(frames.ended(self.id))

    async def _streamed(self) -> None:
        """Answer a stream of requests."""
        method = self._method.several
        assert method is not None
        responses: Any = method(self._each(), self.left)
        try:
            async for content in responses:
                self._check(content)
                await self._send(content)
        except Exception as error:
            self._told(self._line.house.told(error))
        else:
            if not self._left:
                self._open()
                self._close(frames.ended(self.id))
        finally:
            await responses.aclose()

    def _check(self, content: bytes) -> None:
        most = self._line.house.limits.message_bytes
        if len(content) > most:
            raise Refusal(RefusalKind.TOO_LARGE, f"the response is over {most} bytes")

    def _told(self, told: Told) -> None:
        self.fail(*told)

    async def _send(self, content: bytes) -> None:
        """Send a response of several; returns once it is on its way."""
        if self._left:
            return
        self._open()
        self._pending.append(memoryview(frames.message(content)))
        self._push_or_wait()
        if self._pending:
            self._drained = self._line.house.loop.create_future()
            await self._drained

    def _open(self) -> None:
        if not self._opened:
            self._opened = True
            self._line.write(frames.begun(self.id))

    def _close(self, trailers: bytes) -> None:
        """Send the end behind what waits."""
        self._trailers = trailers
        if self._pending:
            self._push_or_wait()
        else:
            self._finish(trailers)

    def _push_or_wait(self) -> None:
        line = self._line
        while self._pending and not line.paused:
            if not self.push():
                break
        if self._pending:
            line.blocked[self.id] = self

    def _finish(self, last: bytes) -> None:
        if not self._whole:  # the client need not send the rest
            last += frames.reset(self.id, frames.NO_ERROR)
        self._line.write(last)
        self._over()

    def _over(self) -> None:
        self._left = True
        self._release(self._held)
        self._line.over(self)

    def _release(self, size: int) -> None:
        size = min(size, self._held)
        self._held -= size
        self._line.house.held -= size
