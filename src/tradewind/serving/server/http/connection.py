"""One connection of a client: HTTP/1.1 and 1.0 as RFC 9112 has it, over llhttp.

Requests are parsed as their bytes come and given to `Answers`, which answers them in order. What is
malformed, smuggled, late or over a limit is refused by the last answer of its connection, after those due.
"""

from __future__ import annotations

import asyncio
import math
import select
from typing import Any, cast

from tradewind import clock
from tradewind.errors import MissingExtra
from tradewind.serving.calls import Refusal
from tradewind.serving.server.http.answers import Answers
from tradewind.serving.server.http.authentication import is_permitted
from tradewind.serving.server.http.backlog import Waiting
from tradewind.serving.server.http.household import Household, path_of
from tradewind.serving.server.http.limits import Limits
from tradewind.serving.server.http.messages import Request
from tradewind.serving.server.http.responses import CLOSE, CONTINUE, KEEP_ALIVE
from tradewind.serving.server.http.routes import Route, Unanswerable

_IDLE, _HEAD, _BODY, _DEAF = range(4)
"""What a connection's next byte is: of a new request, of its head, of its body, or of no interest."""

_TURNED_AWAY = 256
"""Connections beyond the limit that are told so; those beyond are cut."""
_LAST_LOOK = 0.05
"""Seconds for which an idle connection stays open in which something was seen on its way."""
_READ_ANYWAY = 64 * 1024
"""Bytes of body that are read although its request is refused, to keep the connection, or although others
send too much."""
_SWALLOWED = 64 * 1024 * 1024
"""Bytes that are read to no end after the last answer, before the connection is cut."""
_ONCE = frozenset(("host", "content-type", "content-encoding", "authorization", "expect"))
"""Headers that mean nothing when given twice. llhttp sees to Content-Length and Transfer-Encoding."""
_BOUND = 512

_names: dict[bytes, str] = {}
"""Header names in lower case, as they came of late."""


def parser_module() -> Any:
    """The module that parses HTTP; MissingExtra where it is not installed."""
    try:
        import httptools  # noqa: PLC0415
    except ImportError:
        raise MissingExtra("httptools", "serving", "serving") from None
    return httptools


class Connection(asyncio.Protocol):
    """The server's end of one connection."""

    def __init__(self, house: Household) -> None:
        self._house = house
        self._transport = cast(asyncio.Transport, None)
        self._answers = cast(Answers, None)
        self._parser: Any = None
        self._phase = _IDLE
        self._target, self._headers, self._count = b"", cast(dict[str, str], {}), 0
        self._moved, self._unframed, self._swallowed = False, 0, 0
        self._body: bytes | bytearray = b""
        self._held = 0
        self._request: Request | None = None
        self._route: Route | None = None
        self._refused: Refusal | None = None
        self._waiting: Waiting | None = None
        self._stale: Refusal | None = None
        self._turning_away = False
        self._upgrading = b""
        self._continued = False
        self._lingering = self._ended = self._more = self._read_paused = False
        self.read_by = math.inf
        """The moment by which more must have been read."""
        self.sent_by = math.inf
        """The moment by which the client must have taken what is being sent."""

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read; turn the client away where there are too many."""
        house = self._house
        self._transport = cast(asyncio.Transport, transport)
        self._answers = Answers(house, self, self._transport)
        house.clients.add(self)
        house.now = clock.now()
        self.read_by = house.now + house.idle_seconds
        over = len(house.clients) - house.most_clients
        if over > _TURNED_AWAY:
            self._phase = _DEAF
            self._transport.abort()
        elif over > 0:
            self._refuse(Unanswerable(503, "too many connections", house.retry_after()))
        else:
            self._parser = house.parsing.HttpRequestParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client, and cancel what is being done for it."""
        self._phase = _DEAF
        self._let_go()
        if self._waiting is not None:
            self._waiting.reader, self._waiting.data = None, b""
        self._house.clients.discard(self)
        self._answers.cancel()

    def eof_received(self) -> bool:
        """The client will send no more; it still gets the answers it is owed."""
        self._ended = True
        if self._lingering:
            return False
        if self._waiting is not None:
            return self._transport.get_extra_info("sslcontext") is None
        if self._phase in (_HEAD, _BODY):
            self._refuse(Unanswerable(400, "the request ended before it was whole"))
        self._phase = _DEAF
        self._answers.last = True
        self.read_by = clock.now() + self._house.limits.half_closed_seconds
        return self._answers.busy and self._transport.get_extra_info("sslcontext") is None

    def pause_writing(self) -> None:
        """The client is slow to take its answers: make it no further ones."""
        self._answers.paused = True
        self.sent_by = clock.now() + self._house.limits.send_seconds
        self._pause_reading()

    def resume_writing(self) -> None:
        """It has taken them."""
        self._answers.paused = False
        self.sent_by = math.inf
        self._answers.run()

    def data_received(self, data: bytes) -> None:
        """Parse what came, and answer the requests that became whole."""
        house = self._house
        house.now = clock.now()
        backlog = house.backlog
        if backlog is not None:
            if self._waiting is not None:
                self._waiting.data += data
                if len(self._waiting.data) > _READ_ANYWAY:
                    self._pause_reading()
                return
            if backlog.defers(house.now) and data.startswith(b"POST") and self.idle:
                self._waiting = backlog.add(self, data, house.now)
                self.read_by = math.inf
                return
        self._parse(data)

    def take(self, data: bytes, came: float) -> None:
        """Parse and answer what had to wait since `came`."""
        self._waiting = None
        self._house.now = came
        self._resume_reading()
        self._parse(data)
        if self._ended and not self.eof_received():
            self._transport.close()

    def turn_away(self, data: bytes, came: float) -> None:
        """Refuse what waited in vain since `came`; what is not asked with POST is answered nevertheless."""
        house = self._house
        plain = not (house.draining or self._ended or self._answers.paused)
        answer = house.turned_away(data) if plain else None
        if answer is None:
            self._stale, self._turning_away = house.too_many(), True
            self.take(data, came)
            self._turning_away = False
            return
        self._waiting = None
        self._transport.write(answer)
        self.read_by = clock.now() + house.idle_seconds

    def _parse(self, data: bytes) -> None:
        house = self._house
        if self._phase == _DEAF:
            self._swallow(len(data))
            return
        self._moved = False
        offered = None
        try:
            self._parser.feed_data(data)
        except house.parsing.HttpParserUpgrade as upgrade:
            offered = upgrade.args[0]
        except house.parsing.HttpParserError as error:
            if self._phase != _DEAF:
                refused = error.__context__
                if not isinstance(refused, Refusal):
                    if refused is not None:
                        raise refused from None
                    refused = Unanswerable(400, f"malformed request: {error}")
                self._refuse(refused)
                return
            self._swallow(1)  # llhttp complains of what follows a Connection: close
        if self._moved:
            self._unframed = 0
        elif self._phase in (_HEAD, _BODY):
            # Headers, trailers and chunk extensions come to us when they are whole: count them before.
            self._unframed += len(data)
            if self._unframed > house.limits.header_bytes:
                self._refuse(_too_long(house.limits))
                return
        if self._answers:
            self._answers.run()
        if offered is not None:
            self._stay(data[offered:])

    # What the parser tells. What these raise stops it; data_received answers that.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._phase = _HEAD
        self._target, self._headers, self._count, self._body = b"", {}, 0, b""
        self._unframed, self._continued = 0, False
        self._refused = self._request = None
        if not self._turning_away:
            self._stale = None
        self.read_by = self._house.now + self._house.limits.header_seconds

    def on_url(self, part: bytes) -> None:
        """A part of the target."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which is dropped."""
        self._count += 1
        if self._count > self._house.limits.header_count:
            raise Unanswerable(431, f"more than {self._house.limits.header_count} headers")
        if self._phase != _HEAD:
            return
        key = _names.get(name)
        if key is None:
            key = _lowered(name)
        text = value.decode("latin-1")
        headers = self._headers
        if key in headers:
            if key in _ONCE:
                raise Unanswerable(400, f"the header {key} is given twice")
            text = f"{headers[key]}{'; ' if key == 'cookie' else ', '}{text}"
        headers[key] = text

    def on_headers_complete(self) -> None:
        """The end of the head: refuse what can be refused without the body."""
        house, parser, headers = self._house, self._parser, self._headers
        limits = house.limits
        method = parser.get_method().decode()
        target = self._target.decode("latin-1")
        version = parser.get_http_version()
        self._request = request = Request(method, "", "", headers, b"", house.now)
        if len(target) + sum(map(len, headers)) + sum(map(len, headers.values())) > limits.header_bytes:
            raise _too_long(limits)
        if version == "1.1":
            if "host" not in headers:
                raise Unanswerable(400, "the header Host is missing")
            self._more = parser.should_keep_alive()
        elif version == "1.0":
            if "transfer-encoding" in headers:
                raise Unanswerable(400, "HTTP/1.0 knows no Transfer-Encoding")
            headers.pop("expect", None)
            self._more = parser.should_keep_alive()
        else:
            raise Unanswerable(505, f"HTTP/{version} is not spoken here")
        self._phase, self._count, self._moved = _BODY, 0, True
        self.read_by = house.now + limits.body_seconds

        try:
            match = house.routes.find(method, target)
        except Unanswerable as refused:
            self._refused, self._route = refused, None
            request.path = path_of(target)
        else:
            self._route = match.route
            if self._stale is not None and method == "POST":
                self._refused = self._stale
                house.on_turned_away()
            request.path, request.query = match.path, match.query
            if match.variables:
                request.variables = match.variables.copy()
        if house.token is not None and request.path not in house.open_paths:  # noqa: SIM102
            if not is_permitted(headers.get("authorization"), house.token):
                asked = (("WWW-Authenticate", "Bearer"),)
                self._refused = Unanswerable(401, "a header 'Authorization: Bearer TOKEN' is needed", asked)

        coding = headers.get("transfer-encoding")
        length = int(headers.get("content-length", 0))
        if coding is not None and coding.lower() != "chunked":
            raise Unanswerable(501, f"the Transfer-Encoding {coding[:40]!r} is not spoken here")
        if length > limits.body_bytes:
            raise Unanswerable(413, f"a body of {length} bytes is over the limit of {limits.body_bytes}")
        expected = headers.get("expect")
        if expected is not None:
            if expected.lower() != "100-continue":
                raise Unanswerable(417, f"what is expected, {expected[:40]!r}, is not done here")
            if self._refused is not None:
                raise self._refused
            self._continued = not self._answers.busy
            if self._continued:
                self._transport.write(CONTINUE)
        if self._refused is not None and (coding is not None or length > _READ_ANYWAY):
            raise self._refused
        if parser.should_upgrade():
            if method == "CONNECT":
                raise self._refused or Unanswerable(405, "this is no proxy")
            if coding is not None or length:
                framing = "Transfer-Encoding: chunked" if coding is not None else f"Content-Length: {length}"
                self._upgrading = f"POST / HTTP/1.1\r\nConnection: close\r\n{framing}\r\n\r\n".encode()
                self._more = False

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        self._moved = True
        limit = self._house.limits.body_bytes
        if len(self._body) + len(part) > limit:
            raise Unanswerable(413, f"the body is over the limit of {limit} bytes")
        if self._refused is not None:
            return
        house = self._house
        self._held += len(part)
        house.held += len(part)
        if house.held > house.limits.bodies_bytes and self._held > _READ_ANYWAY:
            raise Unanswerable(503, "too much is being sent at this moment", house.retry_after())
        if not self._body:
            self._body = part
        elif isinstance(self._body, bytearray):
            self._body += part
        else:
            self._body = bytearray(self._body) + part

    def on_message_complete(self) -> None:
        """The end of a request."""
        if self._upgrading:
            return
        request, house = self._request, self._house
        assert request is not None
        request.body = bytes(self._body)
        request.held, self._held = self._held, 0
        request.arrived = house.now
        self._body = b""
        self._request = None
        self._continued = False
        self._moved = True
        if not self._more:
            line = CLOSE
        elif "connection" in request.headers and self._parser.get_http_version() == "1.0":
            line = KEEP_ALIVE
        else:
            line = b""
        self._answers.add(request, self._route, self._refused, line)
        self._phase = _IDLE if self._more else _DEAF
        self.read_by = math.inf
        if len(self._answers) >= house.limits.pipelined:
            self._pause_reading()

    def _stay(self, rest: bytes) -> None:
        """Go on in HTTP/1.1 where the client offered another protocol, which llhttp takes for the end.

        Java's client offers HTTP/2 with its first request, body and all. RFC 9110, section 7.8: an offer may
        be ignored. The body is given to a second parser, whose head says nothing but where it ends.
        """
        framing, self._upgrading = self._upgrading, b""
        if framing:
            self._parser = self._house.parsing.HttpRequestParser(_BodyOnly(self))
            rest = framing + rest
        if rest and not self._transport.is_closing():
            self.data_received(rest)

    # Ending, and going on.

    def _refuse(self, refused: Refusal) -> None:
        """Make this the connection's last answer, after those that are due; what else comes is ignored."""
        house = self._house
        request = self._request or Request(
            "", path_of(self._target.decode("latin-1")), "", {}, b"", house.now
        )
        request.path = request.path or path_of(self._target.decode("latin-1"))
        self._phase = _DEAF
        self._swallowed = max(self._swallowed, 1)
        self._let_go()
        self.read_by = math.inf
        self._answers.add(request, None, refused, CLOSE)
        self._answers.run()

    def _let_go(self) -> None:
        """Forget what came of a body that will never be whole."""
        self._body = b""
        self._house.held -= self._held
        self._held = 0

    @property
    def between(self) -> bool:
        """Whether nothing of a further request has come."""
        return self._phase == _IDLE and self._waiting is None

    @property
    def idle(self) -> bool:
        """Whether nothing has come of a further request, and nothing is owed."""
        return self.between and not self._answers.busy

    def go_on(self) -> None:
        """Some answers were written: read more, if it was for them that reading was stopped."""
        answers, house = self._answers, self._house
        if self._read_paused and not answers.paused and len(answers) < house.limits.pipelined:
            self._resume_reading()
            if self._phase in (_HEAD, _BODY):
                self.read_by = house.now + house.limits.body_seconds
        if answers.busy:
            return
        if self._phase == _IDLE:
            self.read_by = house.now + house.idle_seconds
        elif self._phase == _BODY and not self._continued and self._expects_more():
            self._continued = True
            self._transport.write(CONTINUE)

    def _expects_more(self) -> bool:
        return self._request is not None and "expect" in self._request.headers

    def hang_up(self) -> None:
        """Close, once all is sent; read on for a while if the client is still sending."""
        self._phase = _DEAF
        self._answers.clear()
        if not self._swallowed or self._ended or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._lingering = True
        self._transport.write_eof()
        self.read_by = self._house.now + self._house.limits.linger_seconds
        self._resume_reading()

    def _swallow(self, count: int) -> None:
        self._swallowed += count
        if self._swallowed > _SWALLOWED:
            self._transport.abort()
        elif self._answers.busy:
            self._pause_reading()

    def _pause_reading(self) -> None:
        if not self._read_paused and not self._transport.is_closing():
            self._read_paused = True
            self.read_by = math.inf
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._read_paused and not self._transport.is_closing():
            self._read_paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        """Close the connection, once all that was written is sent."""
        self._transport.close()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    def expire(self, now: float) -> None:
        """Act on a moment that has passed: close an idle client, refuse a slow request, cut a slow reader."""
        if self.sent_by <= now:
            self._transport.abort()
        elif self.read_by > now:
            return
        elif self._lingering or self._ended:
            self._transport.abort()
        elif self.idle:
            if _has_news(self._transport.get_extra_info("socket")):
                self.read_by = now + _LAST_LOOK
            else:
                self._transport.close()
        elif self._phase in (_HEAD, _BODY):
            what = "headers" if self._phase == _HEAD else "body"
            self._refuse(Unanswerable(408, f"the {what} took too long to come"))


class _BodyOnly:
    """Tells a connection of the rest of a request whose head it knows."""

    def __init__(self, connection: Connection) -> None:
        self.on_body = connection.on_body
        self.on_message_complete = connection.on_message_complete


def _lowered(name: bytes) -> str:
    if len(_names) >= _BOUND:
        _names.clear()
    found = _names[name] = name.decode("latin-1").lower()
    return found


def _has_news(opened: Any) -> bool:
    """Whether bytes have come that the loop has not read yet."""
    poll = select.poll()
    poll.register(opened.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _too_long(limits: Limits) -> Unanswerable:
    return Unanswerable(431, f"the headers are over the limit of {limits.header_bytes} bytes")
