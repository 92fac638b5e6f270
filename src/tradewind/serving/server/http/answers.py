"""The requests of one connection that are whole, and their answers: one after the other, in order.

A handler that never waits is run to its end by hand, without a task; one that waits goes on in a task.
"""

from __future__ import annotations

import asyncio
import types
from collections import deque
from collections.abc import Awaitable
from typing import Protocol

from tradewind import clock
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.server.http.compression import unpacked
from tradewind.serving.server.http.household import Household
from tradewind.serving.server.http.large_bodies import is_large
from tradewind.serving.server.http.limits import Limits
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.responses import CLOSE, coding_for, compressed, is_small, rendered
from tradewind.serving.server.http.routes import Route, Unanswerable
from tradewind.serving.server.stepping import resumed

_IN_A_ROW = 16
"""Requests of one connection that are answered before the other connections have their turn."""
_UNPACKED_HERE = 16 * 1024
"""Bytes of a compressed body up to which it is unpacked at once; a larger one goes to a thread."""


class Line(Protocol):
    """The connection, as its answers need it."""

    @property
    def between(self) -> bool:
        """Whether nothing of a further request has come."""
        ...

    def hang_up(self) -> None:
        """The last answer was written."""
        ...

    def go_on(self) -> None:
        """Some answers were written: perhaps more can be read."""
        ...


class Answers:
    """Answers the requests of one connection."""

    def __init__(self, house: Household, line: Line, transport: asyncio.Transport) -> None:
        self._house, self._line, self._transport = house, line, transport
        self._waiting: deque[tuple[Request, Route | None, Refusal | None, bytes]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._lost = False
        self.paused = False
        """Whether the client is slow to take what it was sent."""
        self.last = False
        """Whether no further request will come, so that the last answer ends the connection."""

    def __len__(self) -> int:
        """Requests that wait for the one before."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether an answer is owed."""
        return self._task is not None or bool(self._waiting)

    def add(self, request: Request, route: Route | None, refused: Refusal | None, connection: bytes) -> None:
        """Answer a request in its turn: by its route, or with a refusal.

        `connection` is the header of that name that the answer has; with CLOSE, it is the last answer.
        """
        self._waiting.append((request, route, refused, connection))

    def clear(self) -> None:
        """Forget the requests that wait."""
        for request, *_ in self._waiting:
            self._house.held -= request.held
        self._waiting.clear()

    def cancel(self) -> None:
        """The client is gone: cancel what is being done for it."""
        self._lost = True
        self.clear()
        if self._task is not None:
            self._house.ending.add(self._task)
            self._task.add_done_callback(self._house.ending.discard)
            # Not before its first step, which it would otherwise never take.
            self._house.loop.call_soon(self._task.cancel)

    def run(self) -> None:
        """Answer what waits, as far as may be."""
        house, waiting = self._house, self._waiting
        turns = _IN_A_ROW
        while waiting and self._task is None and not self.paused and not self._lost:
            if not turns:
                house.loop.call_soon(self.run)
                return
            turns -= 1
            request, route, refused, line = waiting.popleft()
            house.in_flight += 1
            if refused is not None or route is None:
                gone = refused or Unanswerable(404, "there is nothing here")
                self._answer(request, house.refused(gone, request), line)
            elif "content-encoding" in request.headers and len(request.body) > _UNPACKED_HERE:
                self._go_on(request, line, self._unpack(request, route))
            elif house.large is not None and is_large(request) and house.large.takes(route):
                self._go_on(request, line, house.large.answer(route, request))
            elif route.task:
                self._go_on(request, line, _called(route, request))
            else:
                self._step(request, route, line)
        if not self._lost:
            self._line.go_on()

    def _step(self, request: Request, route: Route, line: bytes) -> None:
        """Run a handler up to its first wait, and on in a task if there is one."""
        house = self._house
        try:
            if "content-encoding" in request.headers:
                _unpack_into(request, unpacked(request.body, *_packing(request, house.limits)))
                if house.large is not None and is_large(request) and house.large.takes(route):
                    self._go_on(request, line, house.large.answer(route, request))
                    return
            work = route.handler(request)
            if type(work) is not types.CoroutineType:
                work = _awaited(work)
            first = work.send(None)
        except StopIteration as done:
            self._answer(request, done.value, line)
        except Refusal as refused:
            self._answer(request, house.refused(refused, request), line)
        except asyncio.CancelledError:
            self._answer(request, house.refused(_cancelled(), request), line)
        except Exception as error:
            self._answer(request, house.failed(request, error), line)
        else:
            self._go_on(request, line, resumed(work, first))

    def _go_on(self, request: Request, line: bytes, work: Awaitable[Response]) -> None:
        self._task = self._house.loop.create_task(self._finish(request, line, work))

    async def _finish(self, request: Request, line: bytes, work: Awaitable[Response]) -> None:
        """Await the answer, and send it."""
        house = self._house
        response: Response | None
        try:
            response = await work
        except Refusal as refused:
            response = house.refused(refused, request)
        except asyncio.CancelledError:
            response = None if self._lost else house.refused(_cancelled(), request)
        except Exception as error:
            response = house.failed(request, error)
        house.now = clock.now()
        self._task = None
        if response is None:
            self._over(request)
            return
        self._answer(request, response, line)
        self.run()

    async def _unpack(self, request: Request, route: Route) -> Response:
        packing = _packing(request, self._house.limits)
        body = await self._house.loop.run_in_executor(None, unpacked, request.body, *packing)
        _unpack_into(request, body)
        large = self._house.large
        if large is not None and is_large(request) and large.takes(route):
            return await large.answer(route, request)
        return await route.handler(request)

    def _answer(self, request: Request, response: Response, line: bytes) -> None:
        """Send a response, compressed where that was asked for."""
        house = self._house
        if self._lost:
            self._over(request)
            return
        accept = request.headers.get("accept-encoding")
        bodiless = request.method == "HEAD"
        closing = self.last or (house.draining and self._line.between)
        if closing and not self._waiting:
            line = CLOSE
        try:
            coding = coding_for(response, accept, house.limits.compress_bytes) if accept else ""
            if coding and not is_small(response):
                self._go_on(request, line, self._compress(response, coding))
                return
            if coding:
                response = compressed(response, coding)
            pieces = rendered(response, line, house.date, bodiless)
        except Exception as error:
            response = house.failed(request, error)
            pieces = rendered(response, line, house.date, bodiless)
        if len(pieces) == 1:
            self._transport.write(pieces[0])
        else:
            self._transport.writelines(pieces)
        self._over(request)
        house.answered[response.status] = house.answered.get(response.status, 0) + 1
        if line is CLOSE:
            self._line.hang_up()

    def _over(self, request: Request) -> None:
        self._house.in_flight -= 1
        self._house.held -= request.held
        request.held = 0

    async def _compress(self, response: Response, coding: str) -> Response:
        return await self._house.loop.run_in_executor(None, compressed, response, coding)


async def _called(route: Route, request: Request) -> Response:
    return await route.handler(request)


async def _awaited(work: Awaitable[Response]) -> Response:
    return await work


def _cancelled() -> Refusal:
    return Refusal(RefusalKind.NOT_READY, "the request was cancelled by the server")


def _packing(request: Request, limits: Limits) -> tuple[str, int]:
    return request.headers["content-encoding"], limits.unpacked_bytes


def _unpack_into(request: Request, body: bytes) -> None:
    request.body = body
    del request.headers["content-encoding"]
    request.headers["content-length"] = str(len(body))
