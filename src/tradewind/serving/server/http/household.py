"""What the connections of one server have in common."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from tradewind import clock
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.server.http.backlog import Backlog
from tradewind.serving.server.http.large_bodies import LargeBodies
from tradewind.serving.server.http.limits import Limits
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.responses import rendered
from tradewind.serving.server.http.routes import Routes, Unanswerable, decoded, split_target

OnError = Callable[[Request, Exception], None]
"""Told of every exception that a handler, or a shape of errors, ought not to have raised."""


class Client(Protocol):
    """A connection, as far as its server governs it."""

    read_by: float
    """The moment by which more must have come; infinity where nothing is waited for."""
    sent_by: float
    """The moment by which the client must have taken what it is being sent."""

    @property
    def idle(self) -> bool:
        """Whether nothing has come of a next request, and nothing is owed."""
        ...

    def expire(self, now: float) -> None:
        """Act on `read_by` or `sent_by`, whichever has passed."""
        ...

    def close(self) -> None:
        """Close it, once all that was written is sent."""
        ...

    def abort(self) -> None:
        """Cut it."""
        ...


class Household:
    """Routes, limits and counts of one server, on the running loop."""

    def __init__(
        self,
        routes: Routes,
        limits: Limits,
        parsing: Any,
        *,
        token: str | None,
        open_paths: frozenset[str],
        on_error: OnError,
    ) -> None:
        self.routes, self.limits, self.parsing = routes, limits, parsing
        self.token, self.open_paths, self.on_error = token, open_paths, on_error
        self.loop = asyncio.get_running_loop()
        self.clients: set[Client] = set()
        self.ending: set[asyncio.Task[None]] = set()
        """Handlers whose client is gone, on their way out."""
        self.most_clients = limits.connections
        self.in_flight = 0
        self.held = 0
        """Bytes of the bodies that came and are not answered yet."""
        self.large: LargeBodies | None = None
        """Who answers requests with large bodies; None where they are answered as the others."""
        self.on_turned_away: Callable[[], None] = _nothing
        """Told of every request that was refused because the processor is short."""
        self.backlog: Backlog | None = None
        """Who waits for the processor; None where everybody is answered, however late."""
        self.answered: dict[int, int] = {}
        """Answers given, by status."""
        self.draining = False
        self.idle_seconds = limits.idle_seconds
        self.now = clock.now()
        """As of the last bytes that came, or the last look at the clients."""
        self.date = b""
        """The header that tells it."""

    def refused(self, refusal: Refusal, request: Request) -> Response:
        """The answer that tells a refusal, in the shape of the request's path."""
        try:
            return self.routes.refused(refusal, request)
        except Exception as error:
            return self._plain(request, error)

    def failed(self, request: Request, error: Exception) -> Response:
        """The answer where a handler raised what it ought not to; the client learns no more than that."""
        self.tell(request, error)
        try:
            return self.routes.error(500, _FAILED, request)
        except Exception as worse:
            return self._plain(request, worse)

    def tell(self, request: Request, error: Exception) -> None:
        """Tell `on_error`; it cannot take the server down."""
        try:
            self.on_error(request, error)
        except Exception:
            logging.getLogger(__name__).exception("telling of an error failed")

    def retry_after(self) -> tuple[tuple[str, str], ...]:
        """The header for clients that are turned away."""
        return (("Retry-After", str(max(1, math.ceil(self.limits.retry_after)))),)

    def too_many(self) -> Refusal:
        """Why a request is refused that has waited for the processor for too long."""
        return Refusal(RefusalKind.OVERLOADED, _TOO_MANY, retry_after=self.limits.retry_after)

    def turned_away(self, data: bytes) -> bytes | None:
        """The answer, counted, that refuses a request so, if it is whole and plain; None where it is not."""
        head = self.backlog.heads.of(data) if self.backlog is not None else None
        if head is None:
            return None
        if head.date is not self.date:
            request = Request("POST", path_of(head.target), "", {}, b"", self.now)
            response = self.refused(self.too_many(), request)
            head.status, head.date = response.status, self.date
            head.answer = b"".join(rendered(response, b"", self.date, False))
        self.on_turned_away()
        self.answered[head.status] = self.answered.get(head.status, 0) + 1
        return head.answer

    def _plain(self, request: Request, error: Exception) -> Response:
        self.tell(request, error)
        return Response(500, msgspec.json.encode({"error": _FAILED}))


def _nothing() -> None:
    """Where nobody wants to know."""


def path_of(target: str) -> str:
    """The path of a target as far as it has one."""
    try:
        return decoded(split_target(target)[0])
    except Unanswerable:
        return ""


_TOO_MANY = "more is asked than can be answered in time"
_FAILED = "the server failed on this request"


def log_error(request: Request, error: Exception) -> None:
    """Write an error of a handler, with its traceback, to the log of this package."""
    text = "%s %s failed"
    logging.getLogger(__name__).error(text, request.method, request.path, exc_info=error)
