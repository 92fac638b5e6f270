"""Requests with large bodies, answered in threads, so that reading them holds nobody else up.

A megabyte of JSON takes some 70 ms to become tensors, of CSV 400 ms: on the event loop every other request
would wait for that. Here one thread at a time computes, at the pace that Python's lock leaves it, and hands
over while the engine answers it.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tradewind.serving.calls import Answer, Call, Engine, ModelMetadata, ModelState, ModelStatistics
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.routes import Route, Routes

T = TypeVar("T")

_TEXT, _TENSORS = 128 * 1024, 4 * 1024 * 1024
"""Bytes from which on a body is large: of text, and with binary tensors, which are hardly looked at."""
_AT_ONCE = 16
"""Threads; further large requests wait for one to end."""


def is_large(request: Request) -> bool:
    """Whether reading a request's body would take longer than others should wait."""
    size = len(request.body)
    return size > _TEXT and (size > _TENSORS or "inference-header-content-length" not in request.headers)


class _Lane:
    """The right to compute, which one thread has at a time.

    Millions of rows are alive at once meanwhile, none of them in a cycle: the search for cycles among them
    would stop every thread for seconds, and so is put off.
    """

    def __init__(self) -> None:
        self._taken = threading.Lock()

    def acquire(self) -> None:
        self._taken.acquire()
        gc.disable()

    def release(self) -> None:
        gc.enable()
        self._taken.release()


class LargeBodies:
    """Answers large requests of the `routes` whose bodies carry tensors; made on the engine's loop."""

    def __init__(self, engine: Engine, routes: Routes) -> None:
        self._loop = asyncio.get_running_loop()
        self._threads = asyncio.Semaphore(_AT_ONCE)
        self._lane = _Lane()
        afar = _Afar(engine, self._loop, self._lane)
        self._handlers = {
            (each.method, each.template): each.over(afar) for each in routes.all if each.over is not None
        }

    def takes(self, route: Route) -> bool:
        """Whether a route's requests can be answered here."""
        return (route.method, route.template) in self._handlers

    async def answer(self, route: Route, request: Request) -> Response:
        """The response to a request; raises what its handler raises."""
        await self._threads.acquire()
        answered: asyncio.Future[Response] = self._loop.create_future()
        handler: Any = self._handlers[route.method, route.template]

        def over(response: Response | None, problem: BaseException | None) -> None:
            self._threads.release()
            if answered.done():  # the client is gone
                return
            if problem is not None:
                answered.set_exception(problem)
            elif response is not None:
                answered.set_result(response)

        def work() -> None:
            response, problem = None, None
            try:
                self._lane.acquire()
                try:
                    response = _to_its_end(handler(request))
                finally:
                    self._lane.release()
            except BaseException as raised:
                problem = raised
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(over, response, problem)

        # A daemon: what nobody waits for any more does not keep the server from ending.
        threading.Thread(target=work, name="large body", daemon=True).start()
        return await answered


class _Afar:
    """An engine as a thread has it that holds the lane: each call is made on the engine's own loop."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop, lane: _Lane) -> None:
        self._engine, self._loop, self._lane = engine, loop, lane

    def _waited(self, work: Coroutine[Any, Any, T]) -> T:
        asked = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._lane.release()
        try:
            return asked.result()
        finally:
            self._lane.acquire()

    def _called(self, method: Callable[..., T], *arguments: Any) -> T:
        async def called() -> T:
            return method(*arguments)

        return self._waited(called())

    @property
    def live(self) -> bool:
        return self._engine.live

    @property
    def ready(self) -> bool:
        return self._engine.ready

    async def infer(self, call: Call) -> Answer:
        return self._waited(self._engine.infer(call))

    def default_model(self) -> str:
        return self._called(self._engine.default_model)

    def index(self) -> tuple[ModelState, ...]:
        return self._called(self._engine.index)

    def is_ready(self, name: str, version: str = "") -> bool:
        return self._called(self._engine.is_ready, name, version)

    def metadata(self, name: str, version: str = "") -> ModelMetadata:
        return self._called(self._engine.metadata, name, version)

    async def described(self, name: str, version: str = "") -> ModelMetadata:
        return self._waited(self._engine.described(name, version))

    def statistics(self, name: str = "", version: str = "") -> tuple[ModelStatistics, ...]:
        return self._called(self._engine.statistics, name, version)

    async def load(self, name: str, settings: dict[str, Any] | None = None) -> None:
        self._waited(self._engine.load(name, settings))

    async def unload(self, name: str) -> None:
        self._waited(self._engine.unload(name))


def _to_its_end(work: Coroutine[Any, Any, Response]) -> Response:
    """Run a handler that never leaves its thread: over `_Afar`, nothing that it awaits waits."""
    try:
        work.send(None)
    except StopIteration as done:
        response: Response = done.value
        return response
    work.close()
    raise RuntimeError("a handler of large bodies awaits what is no engine")
