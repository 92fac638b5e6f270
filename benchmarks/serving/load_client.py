"""A client that costs little: the same prebuilt bytes again and again over connections that are kept.

Closed loop: a connection sends its next request as soon as it has its answer. Open loop: requests are due at
random moments (Poisson), whether or not the server keeps up, and latency counts from the moment due. Where
every connection is taken a request waits for one; or it is lost, as at a load balancer that has no more
connections to the server, if `queues` says so.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import deque
from dataclasses import dataclass

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


@dataclass
class Load:
    """What came of one burst."""

    seconds: float
    failed: int
    latencies: list[float]
    """Seconds, of each request answered with 200."""
    lost: int
    """Requests, among those that failed, that found every connection taken."""
    busy: float
    """The client's own share of its core."""

    @property
    def answered(self) -> int:
        return len(self.latencies)


def load(
    port: int,
    request: bytes,
    *,
    connections: int,
    seconds: float,
    rate: float = 0.0,
    seed: int = 0,
    queues: bool = True,
    greeting: bytes = b"",
) -> Load:
    """Ask for `seconds`, then wait for what is due; `rate` a second in an open loop, 0 for a closed one.

    `greeting` is a request that is asked first over every connection, so that all are open.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Burst(port, request, connections, seconds, rate, seed, queues, greeting).run())


class _Burst:
    def __init__(
        self,
        port: int,
        request: bytes,
        connections: int,
        seconds: float,
        rate: float,
        seed: int,
        queues: bool,
        greeting: bytes,
    ) -> None:
        self.request, self.closed = request, rate == 0.0
        self.latencies: list[float] = []
        self.failed = self.lost = 0
        self._queues, self._greeting = queues, greeting
        self.until = 0.0
        self.idle: list[_Caller] = []
        self.due: deque[float] = deque()
        self._port, self._connections = port, connections
        self._seconds, self._rate, self._chance = seconds, rate, random.Random(seed)

    async def run(self) -> Load:
        callers = [_Caller(self) for _ in range(self._connections)]
        for each in callers:
            await self.connect(each)
        if self._greeting:
            await self._accepted(callers)
        start, spent = time.perf_counter(), time.process_time()
        self.until = start + self._seconds
        if self.closed:
            for each in callers:
                each.send(time.perf_counter())
            await asyncio.sleep(self._seconds)
        else:
            await self._open(start)
        patience = time.perf_counter() + 30.0
        while (self.due or any(each.since for each in callers)) and time.perf_counter() < patience:
            await asyncio.sleep(0.002)
        seconds, busy = time.perf_counter() - start, time.process_time() - spent
        self.failed += len(self.due) + sum(1 for each in callers if each.since)
        self.until = 0.0
        for each in callers:
            each.transport.abort()
        self.failed += self.lost
        return Load(seconds, self.failed, self.latencies, self.lost, busy / seconds)

    async def _accepted(self, callers: list[_Caller]) -> None:
        """Ask over every connection: a server may accept it long after the kernel has said that it is."""
        asking, self.request = self.request, self._greeting
        for each in callers:
            each.send(time.perf_counter())
        while any(each.since for each in callers):
            await asyncio.sleep(0.002)
        self.request, self.idle = asking, list(callers)
        self.latencies, self.failed = [], 0

    async def _open(self, start: float) -> None:
        moment = start
        while (moment := moment + self._chance.expovariate(self._rate)) < self.until:
            if (wait := moment - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if self.idle:
                self.idle.pop().send(moment)
            elif self._queues:
                self.due.append(moment)
            else:
                self.lost += 1

    async def connect(self, caller: _Caller) -> None:
        await asyncio.get_running_loop().create_connection(lambda: caller, "127.0.0.1", self._port)
        self.idle.append(caller)

    def answered(self, caller: _Caller, since: float, well: bool) -> None:
        now = time.perf_counter()
        if well:
            self.latencies.append(now - since)
        else:
            self.failed += 1
        if self.closed:
            if now < self.until:
                caller.send(now)
        elif self.due:
            caller.send(self.due.popleft())
        else:
            self.idle.append(caller)


class _Caller(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self, burst: _Burst) -> None:
        self._burst = burst
        self._came = b""
        self.since = 0.0
        """The moment at which the request in flight was due; 0 if none is."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def send(self, moment: float) -> None:
        self.since = moment
        self.transport.write(self._burst.request)

    def data_received(self, data: bytes) -> None:
        came = self._came = self._came + data
        head = came.find(b"\r\n\r\n")
        if head < 0:
            return
        if length := _LENGTH.search(came, 0, head):
            if len(came) < head + 4 + int(length[1]):
                return
        elif _CHUNKED.search(came, 0, head) and not came.endswith(b"0\r\n\r\n"):
            return
        since, self.since, self._came = self.since, 0.0, b""
        self._burst.answered(self, since, came[9:12] == b"200")

    def connection_lost(self, exc: Exception | None) -> None:
        """Connect anew; what was in flight has failed."""
        burst = self._burst
        if self.since:
            burst.failed += 1
            self.since, self._came = 0.0, b""
        if burst.until > time.perf_counter():
            self._again = asyncio.get_running_loop().create_task(self._reconnect())

    async def _reconnect(self) -> None:
        await asyncio.sleep(0.01)
        await self._burst.connect(self)
        if self._burst.closed:
            self._burst.idle.clear()
            self.send(time.perf_counter())
