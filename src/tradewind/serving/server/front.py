"""The server as a whole: an engine behind HTTP and gRPC, from its first request to its last."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from ssl import SSLContext
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from tradewind.serving.calls import Engine, RefusalKind
from tradewind.serving.objective import Objective
from tradewind.serving.server.grpc.server import GrpcServer
from tradewind.serving.server.http import (
    health_paths,
    kserve_v1,
    open_inference,
    openapi_page,
    repository_api,
    sagemaker_container,
    sagemaker_runtime,
    triton_settings,
)
from tradewind.serving.server.http.large_bodies import LargeBodies
from tradewind.serving.server.http.limits import Limits
from tradewind.serving.server.http.listener import HttpServer
from tradewind.serving.server.http.metrics_page import Metrics
from tradewind.serving.server.http.routes import Routes
from tradewind.serving.server.http.sagemaker_container import Folders
from tradewind.serving.server.metrics.families import Family
from tradewind.serving.server.metrics.meters import Gauges, Meters

OPEN = frozenset({"/v2/health/live", "/v2/health/ready", "/ping", "/health", "/docs", *health_paths.PATHS})
"""Paths that need no token: whether the server is up, and the page, which asks for the token itself."""


class Address(Struct, frozen=True, kw_only=True):
    """Where a server listens, and who may call."""

    host: str = "127.0.0.1"
    http_port: int = 8080
    """0 for any that is free."""
    grpc_port: int | None = 8081
    """0 for any that is free; None for no gRPC."""
    token: str | None = None
    """What callers must show; without one the server keeps to this machine."""
    guarded: bool = False
    """Whether others keep strangers away, as a container's platform does: then no token is wanted."""


class FrontEngine(Engine, Protocol):
    """An engine that a server can be made of: `ModelEngine` and `TaskEngine` are."""

    @property
    def meters(self) -> Meters:
        """What it counts."""
        ...

    def gauges(self) -> Gauges:
        """How it stands at this moment."""
        ...

    def stop_taking(self) -> None:
        """Not ready from now on; what comes all the same is answered."""
        ...

    async def close(self) -> None:
        """Answer what is in flight and let go of everything."""
        ...


class Front:
    """Listens for an engine. `failed` is told of every error that is no refusal; callers read only that there
    was one."""

    def __init__(
        self,
        engine: FrontEngine,
        address: Address,
        *,
        limits: Limits | None = None,
        promised: Objective | None = None,
        tls: SSLContext | None = None,
        grpc_credentials: SSLContext | None = None,
        failed: Callable[[Exception], None] = lambda error: None,
        folders: Folders | None = None,
        pages: Callable[[Routes], None] = lambda routes: None,
        families: Callable[[], list[Family]] = list,
    ) -> None:
        """What is `promised` says when a request is not worth an answer any more. `folders` lets callers load
        models of theirs; `pages` adds paths of an engine's own, and `families` its own metrics."""
        self.engine, self.address = engine, address
        routes = _routes(engine, folders, secured=address.token is not None, families=families)
        pages(routes)
        sagemaker_runtime.add_refusal(routes)
        self.routes = routes
        """Every path over HTTP."""
        limits = limits or Limits()
        if promised is not None:
            limits = replace(limits, stale_seconds=promised.latency)
        self.http = HttpServer(
            routes,
            limits,
            token=address.token,
            guarded=address.guarded,
            open_paths=OPEN,
            tls=tls,
            on_error=lambda request, error: failed(error),
            on_turned_away=lambda: engine.meters.refused(RefusalKind.OVERLOADED),
            large=lambda: LargeBodies(engine, routes),
        )
        self.grpc: GrpcServer | None = None
        if address.grpc_port is not None:
            self.grpc = GrpcServer(
                engine,
                token=address.token,
                guarded=address.guarded,
                credentials=grpc_credentials,
                failed=failed,
            )

    async def start(self) -> None:
        """Listen on both wires, or on neither; Misuse where that cannot be."""
        try:
            await self.http.start(self.address.host, self.address.http_port)
            if self.grpc is not None:
                await self.grpc.start(self.address.host, self.address.grpc_port or 0)
        except BaseException:
            await self.close()
            raise

    async def stopped(self) -> str:
        """Wait for SIGTERM or SIGINT; its name."""
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def tell(number: signal.Signals) -> None:
            if not told.done():
                told.set_result(number.name)

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, tell, number)
        try:
            return await told
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def drain(self, grace: float) -> bool:
        """Stop without failing a request in flight; whether all were answered within `grace` seconds."""
        self.engine.stop_taking()
        wires: list[Any] = [self.http.drain(grace)]
        if self.grpc is not None:
            wires.append(self.grpc.drain(grace))
        done, *_ = await asyncio.gather(*wires)
        await self.close()
        return bool(done)

    async def close(self) -> None:
        """Stop at once."""
        await self.http.close()
        if self.grpc is not None:
            await self.grpc.close()
        await self.engine.close()


def _routes(
    engine: FrontEngine, folders: Folders | None, secured: bool, families: Callable[[], list[Family]]
) -> Routes:
    routes = Routes()
    open_inference.add_routes(routes, engine)
    health_paths.add_routes(routes, engine)
    kserve_v1.add_routes(routes, engine)
    sagemaker_container.add_routes(routes, engine, folders)
    sagemaker_runtime.add_routes(routes, engine)
    repository_api.add_routes(routes, engine)
    triton_settings.add_routes(routes)
    openapi_page.add_routes(routes, engine, secured=secured)
    routes.add("GET", "/metrics", Metrics(engine.meters, engine.gauges, more=families).answer)
    return routes
