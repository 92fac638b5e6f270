"""The HTTP server with every wire over an engine: on a real socket in a thread, or without one."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from tradewind import clock
from tradewind.serving.calls import Refusal
from tradewind.serving.server.http import (
    kserve_v1,
    open_inference,
    openapi_page,
    repository_api,
    sagemaker_container,
    sagemaker_runtime,
    triton_settings,
)
from tradewind.serving.server.http.listener import HttpServer
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.routes import Routes


def routes_of(engine) -> Routes:
    """Every wire's paths."""
    routes = Routes()
    for wire in (
        open_inference,
        repository_api,
        kserve_v1,
        sagemaker_container,
        sagemaker_runtime,
        openapi_page,
    ):
        wire.add_routes(routes, engine)
    triton_settings.add_routes(routes)
    sagemaker_runtime.add_refusal(routes)
    return routes


@contextlib.contextmanager
def served(engine, **options):
    """The address of a server for the time of a `with` block."""
    started, stop = threading.Event(), []
    problems: list[Exception] = []

    async def main() -> None:
        server = HttpServer(
            routes_of(engine), on_error=lambda request, error: problems.append(error), **options
        )
        await server.start()
        ended = asyncio.Event()
        stop.extend([server.port, asyncio.get_running_loop(), ended])
        started.set()
        await ended.wait()
        await server.close()

    thread = threading.Thread(target=lambda: clock.serve(main()))
    thread.start()
    try:
        assert started.wait(10)
        yield f"127.0.0.1:{stop[0]}"
    finally:
        stop[1].call_soon_threadsafe(stop[2].set)
        thread.join(10)
    assert not problems, problems


def ask(routes: Routes, method: str, target: str, body: bytes = b"", **headers: str) -> Response:
    """The response of the handlers alone; a header `x_y` is sent as `x-y`. Refusals in their path's shape."""
    named = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    request = Request(method, target.partition("?")[0], target.partition("?")[2], named, body, arrived=1000.0)
    try:
        match = routes.find(method, target)
        request.variables = match.variables
        return asyncio.run(match.route.handler(request))
    except Refusal as refusal:
        return routes.refused(refusal, request)


def body_of(response: Response) -> bytes:
    """A response's body in one piece."""
    return response.body if isinstance(response.body, bytes) else b"".join(response.body)
