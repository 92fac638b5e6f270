"""The console: a small server that shows a study live, from its store alone, and lets its trials be killed.

It listens on loopback unless told otherwise, and asks for a token then. What changes something is a POST of
JSON from its own page or from a program; a page from elsewhere in the same browser is refused, by its Origin
and, should a name of its own lead here, by the Host that it asks for.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import Struct

from tradewind import __version__, clock
from tradewind.console.view import StudyView
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Misuse, Temporary, TradewindError
from tradewind.tuning.trial import OPEN

_PAGES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/console.js": ("console.js", "text/javascript; charset=utf-8"),
    "/console.css": ("console.css", "text/css; charset=utf-8"),
}
_LONGEST = 1 << 16
"""Bytes of a request's body."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src data:; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Killing(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be killed: a trial of a study, or all of them that are not over."""

    study: str
    number: int | None = None


class Refused(Exception):
    """A request that gets an error for an answer."""

    def __init__(self, status: HTTPStatus, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers


class Console:
    """The server of one store. Use it as a context manager, or `close` it.

    Args:
        store: a path, a URL of SQLAlchemy, or a store.
        study: the one that the page opens with; the first if not given.
        host, port: where it listens; 0 is a port that is free.
        token: what a request must show; made up where the host is not loopback, none elsewhere.

    Raises Misuse for a store that is not there, an unknown study and an address that cannot be had.
    """

    def __init__(
        self,
        store: TrialStore | str | os.PathLike[str],
        study: str | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
    ) -> None:
        self._own = not isinstance(store, TrialStore)
        self.store = store if isinstance(store, TrialStore) else _opened(store)
        self._views: dict[str, StudyView] = {}
        self._lock = threading.Lock()
        if study:
            self.view(study)
        self.study = study or ""
        self._local = _loopback(host)
        self._token = token if token is not None else "" if self._local else secrets.token_urlsafe(18)
        try:
            self._server = _Server((host, port), self)
        except (OSError, OverflowError) as problem:
            self._close_store()
            raise Misuse(
                f"nobody can listen at {host}:{port}: {problem}", source="console", field="port",
                fix="Choose another, or 0 for one that is free.",
            ) from None  # fmt: skip
        self._thread: threading.Thread | None = None
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self._server.server_address[1]}/"
        """Of the page, without the token."""

    @property
    def link(self) -> str:
        """Of the page, with all that it takes to open it."""
        return f"{self.url}#{self._token}" if self._token else self.url

    def serve(self) -> None:
        """Answer requests in this thread until `close` is called in another, or Ctrl-C."""
        self._server.serve_forever(0.1)

    def start(self) -> None:
        """Answer them in a thread of its own."""
        self._thread = threading.Thread(target=self.serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and close a store that was opened here."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._close_store()

    def __enter__(self) -> Console:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # what it answers

    def view(self, study: str, after: int = 0) -> Any:
        """A study as it stands, with what came after an event."""
        with self._lock:
            found = self._views.get(study)
            if found is None:
                found = self._views[study] = StudyView(self.store, study)
            row = next((each for each in self.store.studies() if each.name == study), None)
            if row is None or row.sequence < found.sequence:  # it was deleted, and may have been begun anew
                del self._views[study]
                found, after = StudyView(self.store, study), 0
                self._views[study] = found
            return found.shown(after)

    def studies(self) -> Any:
        """Every study of the store, and which one the page opens with."""
        rows = [{"name": each.name, "trials": each.trials} for each in self.store.studies()]
        first = self.study or (rows[0]["name"] if rows else "")
        return {"version": __version__, "store": self.store.url, "studies": rows, "first": first}

    def kill(self, asked: Killing) -> Any:
        """Ask for the end of a trial, or of all: their drivers hear of it by themselves."""
        if asked.study not in {each.name for each in self.store.studies()}:
            raise Refused(HTTPStatus.NOT_FOUND, f"there is no study {asked.study!r}")
        moment, reason = clock.wall(), "it was killed in the console"
        trials = self.store.trials(asked.study).all()
        if asked.number is None:
            open_ones = [each.number for each in trials if each.state in OPEN]
            done = [each for each in open_ones if self.store.stop(asked.study, each, reason, moment=moment)]
            return {"killed": done}
        if not 0 <= asked.number < len(trials):
            raise Refused(HTTPStatus.NOT_FOUND, f"there is no trial {asked.number}")
        if not self.store.stop(asked.study, asked.number, reason, moment=moment):
            trial = self.store.trials(asked.study)[asked.number]
            said = f"its end is wanted already ({trial.stop_wanted})" if trial.state in OPEN else trial.state
            raise Refused(HTTPStatus.CONFLICT, f"trial {asked.number}: {said}")
        return {"killed": [asked.number]}

    def check(self, method: str, path: str, headers: Message) -> None:
        """Raise Refused for a request that may not be made."""
        host = headers.get("Host", "")
        name = urlsplit(f"//{host}").hostname or ""
        if self._local and not _loopback(name):
            raise Refused(HTTPStatus.FORBIDDEN, f"the host {host!r} is not this one")
        if path not in _PAGES and self._token:
            shown = headers.get("Authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(shown.encode(), self._token.encode()):
                raise Refused(
                    HTTPStatus.UNAUTHORIZED, "it takes the token of the link that the console gave",
                    **{"WWW-Authenticate": "Bearer"},
                )  # fmt: skip
        if method != "POST":
            return
        origin = headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            raise Refused(HTTPStatus.FORBIDDEN, f"a page from {origin} may not do that")
        if headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Refused(HTTPStatus.FORBIDDEN, "a page from elsewhere may not do that")

    def _close_store(self) -> None:
        if self._own:
            self.store.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], console: Console) -> None:
        self.console = console
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away in the middle is no news; anything else is told."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "tradewind"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        """Answer with a page, the studies, or a study."""
        self._answer(self._got)

    do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET  # what a path does not take is refused

    def do_POST(self) -> None:
        """Kill."""
        self._answer(self._posted)

    def _answer(self, work: Callable[[str, dict[str, list[str]]], tuple[bytes, str]]) -> None:
        headers: dict[str, str] = {}
        try:
            url = urlsplit(self.path)
            self.server.console.check(self.command, url.path, self.headers)
            self._check_method(url.path)
            body, kind = work(url.path, parse_qs(url.query))
            status = HTTPStatus.OK
        except Refused as problem:
            status, headers = problem.status, problem.headers
            body, kind = _error(status, str(problem))
        except Misuse as problem:
            status = HTTPStatus.NOT_FOUND if problem.field == "study" else HTTPStatus.BAD_REQUEST
            body, kind = _error(status, str(problem))
        except TradewindError as problem:
            passing = isinstance(problem, Temporary)
            status = HTTPStatus.SERVICE_UNAVAILABLE if passing else HTTPStatus.INTERNAL_SERVER_ERROR
            body, kind = _error(status, str(problem))
        except ValueError as problem:
            status = HTTPStatus.BAD_REQUEST
            body, kind = _error(status, str(problem))
        if status >= HTTPStatus.BAD_REQUEST and self.command not in ("GET", "HEAD"):
            self.close_connection = True  # a body may be left that nobody read
        self.send_response(status)
        for name, value in {**_HEADERS, **headers, "Content-Type": kind}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _check_method(self, path: str) -> None:
        allowed = "GET, HEAD" if path in _PAGES or path in ("/api/studies", "/api/study") else ""
        allowed = "POST" if path == "/api/kill" else allowed
        if not allowed:
            raise Refused(HTTPStatus.NOT_FOUND, f"there is nothing at {path}")
        if self.command not in allowed.split(", "):
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes {allowed}", Allow=allowed)

    def _got(self, path: str, query: dict[str, list[str]]) -> tuple[bytes, str]:
        console = self.server.console
        if path in _PAGES:
            name, kind = _PAGES[path]
            return files("tradewind.console").joinpath(name).read_bytes(), kind
        if path == "/api/studies":
            return _json(console.studies())
        after = query.get("after", ["0"])[-1]
        if not after.isascii() or not after.isdigit() or len(after) > 18:
            raise Refused(HTTPStatus.BAD_REQUEST, f"after={after!r} is no number of an event")
        return _json(console.view(query.get("study", [""])[-1], int(after)))

    def _posted(self, path: str, query: dict[str, list[str]]) -> tuple[bytes, str]:
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send it as application/json")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "say how long it is")
        if int(length) > _LONGEST:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {_LONGEST} bytes")
        try:
            asked = msgspec.json.decode(self.rfile.read(int(length)), type=Killing)
        except msgspec.DecodeError as problem:
            raise Refused(HTTPStatus.BAD_REQUEST, f"this is no order to kill: {problem}") from None
        return _json(self.server.console.kill(asked))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the server itself finds wrong with a request, as JSON too."""
        status = HTTPStatus(code)
        body, kind = _error(status, message or status.phrase)
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged: the page asks every second."""


def watch(
    store: TrialStore | str | os.PathLike[str],
    study: str | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
) -> Console:
    """Show a study live in a browser: the server, which answers until it is closed; see its `link`.

    It reads the store alone, so it does not matter who drives the study, or where.
    """
    console = Console(store, study, host=host, port=port)
    console.start()
    return console


def _opened(store: str | os.PathLike[str]) -> TrialStore:
    """The store there; looking must not make one."""
    text = os.fspath(store)
    if "://" not in text and not os.path.isfile(text):
        raise Misuse("there is no such store", source=text, fix="Give the file that a study is kept in.")
    return TrialStore(store)


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _json(value: Any) -> tuple[bytes, str]:
    return msgspec.json.encode(value), "application/json"


def _error(status: HTTPStatus, message: str) -> tuple[bytes, str]:
    return _json({"error": {"status": int(status), "kind": status.phrase, "message": message}})
