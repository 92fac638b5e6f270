"""Where the OpenAPI document and the page that shows it are found: `/openapi.json` and `/docs`.

The page is one file without any other: it loads nothing but the document, from this server.
"""

from __future__ import annotations

from importlib import resources

from msgspec import json

from tradewind.serving.calls import Engine
from tradewind.serving.server.http import openapi
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.routes import Routes

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:"
)
_HEADERS = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)


def add_routes(routes: Routes, engine: Engine, *, secured: bool = False) -> None:
    """Add `/openapi.json` and `/docs`. `secured` says that callers need a token, which the page asks for."""
    page = resources.files(__package__).joinpath("openapi_page.html").read_bytes()

    async def document(request: Request) -> Response:
        return Response(200, json.encode(openapi.document(engine, routes, secured=secured)))

    async def docs(request: Request) -> Response:
        return Response(200, page, "text/html; charset=utf-8", _HEADERS)

    routes.add("GET", "/openapi.json", document)
    routes.add("GET", "/docs", docs)
