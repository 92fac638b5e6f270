"""Health where load balancers and orchestrators look for it: `/livez`, `/readyz` and `/healthz`.

Kubernetes, "API health endpoints", whose names other model servers have taken over. The status tells it: 200,
or 503; the body is a word for people.
"""

from __future__ import annotations

from tradewind.serving.calls import Engine
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.routes import Routes

PATHS = ("/livez", "/readyz", "/healthz")
"""None of them needs a token."""


def add_routes(routes: Routes, engine: Engine) -> None:
    """Add the paths, answered for `engine`."""

    async def live(request: Request) -> Response:
        return _said(engine.live)

    async def ready(request: Request) -> Response:
        return _said(engine.live and engine.ready)

    for path, answer in zip(PATHS, (live, ready, live), strict=True):
        routes.add("GET", path, answer)


def _said(holds: bool) -> Response:
    return Response(200, b"ok\n", "text/plain") if holds else Response(503, b"not ready\n", "text/plain")
