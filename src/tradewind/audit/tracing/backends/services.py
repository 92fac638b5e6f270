"""Drives a service: waits until it is ready, replays the recorded requests, stops it.

The service's network is its own; connections to it are made inside and handed over, see `Confined.connect`.
"""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from tradewind.audit.tracing.backends.confinement import Ended
from tradewind.audit.tracing.outcome import Answer
from tradewind.audit.tracing.workload import Request, Workload
from tradewind.clock import stopwatch

PAUSE = 0.02
"""Seconds between two looks at whether a service is ready."""
LARGEST_ANSWER = 64 << 20
MOST_LOGGED = 16 << 20
"""Bytes of a log in which the line that tells of readiness is looked for."""


class Driven(Protocol):
    """A command that runs: a confined one, or one that is not."""

    @property
    def room(self) -> Path:
        """The directory with what it says, `out` and `err`."""
        ...

    def connect(self, port: int) -> socket.socket | Ended | None:
        """A connection to one of its ports; None if it is refused, how it ended if it has."""
        ...

    def terminate(self) -> None:
        """Send it SIGTERM."""
        ...

    def wait(self, seconds: float) -> Ended | None:
        """How it ended; None if it has not within `seconds`."""
        ...


class Stopped(Exception):
    """The service ended on its own while it was to be asked."""

    def __init__(self, ended: Ended) -> None:
        super().__init__("the service ended")
        self.ended = ended


class Client:
    """Asks a confined service, over one connection a port for as long as the service keeps it."""

    def __init__(self, confined: Driven) -> None:
        self._confined = confined
        self._open: dict[int, http.client.HTTPConnection] = {}
        self._answered: set[int] = set()
        """Ports whose open connection has answered already."""

    def ask(self, request: Request, port: int, seconds: float) -> Answer:
        """The answer to one request; of status 0 where none comes. Raises Stopped if it has ended."""
        try:
            return self._asked(request, port, seconds, kept=port in self._open)
        except (http.client.RemoteDisconnected, ConnectionError):
            # A kept connection may have been closed since; on a new one it is the service's own doing.
            was_kept = self._forget(port)
            if not was_kept:
                return Answer(0, problem="the connection was closed without an answer")
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._forget(port)
            return Answer(0, problem=f"{type(error).__name__}: {error}")
        try:
            return self._asked(request, port, seconds, kept=False)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._forget(port)
            return Answer(0, problem=f"{type(error).__name__}: {error}")

    def _asked(self, request: Request, port: int, seconds: float, *, kept: bool) -> Answer:
        if kept:
            connection = self._open[port]
        else:
            endpoint = self._confined.connect(port)
            if isinstance(endpoint, Ended):
                raise Stopped(endpoint)
            if endpoint is None:
                return Answer(0, problem=f"port {port} refuses connections")
            # Head and body are sent apart; the second must not wait for the first to be acknowledged.
            endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.auto_open = 0  # never one to the machine's own loopback
            connection.sock = endpoint
        assert connection.sock is not None
        connection.sock.settimeout(max(seconds, 0.001))
        self._open[port] = connection
        body = request.body.encode() if request.body or request.method in ("POST", "PUT", "PATCH") else None
        connection.request(request.method, request.path, body=body, headers=dict(request.headers))
        answer = connection.getresponse()
        content = answer.read(LARGEST_ANSWER + 1)
        self._answered.add(port)
        problem = (
            "" if len(content) <= LARGEST_ANSWER else f"the answer is longer than {LARGEST_ANSWER} bytes"
        )
        if answer.will_close or problem:
            self._forget(port)
        return Answer(answer.status, tuple(answer.getheaders()), content[:LARGEST_ANSWER], problem)

    def _forget(self, port: int) -> bool:
        """Close the connection to a port; whether it had been used before."""
        connection = self._open.pop(port, None)
        if connection is None:
            return False
        used = port in self._answered
        self._answered.discard(port)
        connection.close()
        return used

    def close(self) -> None:
        """Close all connections."""
        for port in list(self._open):
            self._forget(port)


def wait_until_ready(confined: Driven, client: Client, workload: Workload, limit: float) -> str:
    """Why the service cannot be asked, or "" as soon as it can; raises Stopped if it ends before.

    It is looked at every 20 ms, for as many seconds as `ready.within` and `limit` allow.
    """
    ready, elapsed = workload.ready, stopwatch()
    seconds = min(ready.within, limit)
    line = re.compile(ready.log.encode()) if ready.log else None
    while (left := seconds - elapsed()) > 0:
        if line is None or any(line.search(text) for text in _logs(confined.room)):
            if not ready.port:
                return ""
            if ready.path:
                answer = client.ask(Request(path=ready.path), ready.port, left)
                if 0 < answer.status < 500:
                    return ""
            else:
                endpoint = confined.connect(ready.port)
                if isinstance(endpoint, Ended):
                    raise Stopped(endpoint)
                if endpoint is not None:
                    endpoint.close()
                    return ""
        ended = confined.wait(PAUSE)
        if ended is not None:
            raise Stopped(ended)
    return f"not ready within {seconds:g} s"


def _logs(room: Path) -> Iterator[bytes]:
    for name in ("out", "err"):
        with open(room / name, "rb") as file:
            yield file.read(MOST_LOGGED)


def drive(confined: Driven, workload: Workload) -> tuple[tuple[Answer, ...], Ended | None, str]:
    """Wait for the service, replay its requests, stop it: the answers, how it ended, and what went wrong.

    It is None where it had to be killed, because it did not stop within its grace.
    """
    elapsed = stopwatch()
    answers: list[Answer] = []
    client = Client(confined)
    try:
        problem = wait_until_ready(confined, client, workload, workload.limit)
        if not problem:
            for at, request in enumerate(workload.requests):
                left = workload.limit - elapsed()
                if left <= 0:
                    problem = f"killed at its limit of {workload.limit:g} s, after {at} requests"
                    break
                answers.append(client.ask(request, request.port or workload.ready.port, left))
    except Stopped as stopped:
        when = f"after {len(answers)} requests" if answers else "before it was ready"
        return tuple(answers), stopped.ended, f"it ended on its own {when}"
    finally:
        client.close()
    confined.terminate()
    return tuple(answers), confined.wait(workload.grace), problem
