"""A recorded load, asked for again over HTTP: open-loop, by a client in a process of its own.

Open-loop: a request goes out at its moment however long the others take, on a connection of its own where
none is idle, and what it took is counted from that moment, so that a server which stalls is not spared the
requests that would have come meanwhile.

    python -m tradewind.session.replayed_load < load.json > replayed.json
"""

from __future__ import annotations

import asyncio
import math
import re
import subprocess
import sys
from collections import deque
from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind import clock
from tradewind.data.request_traces import RequestTrace
from tradewind.errors import Misuse, Permanent

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_MOST_OPEN = 500
"""Requests in flight; what comes beyond counts as failed, for no client has sockets without end."""


class Question(Struct, frozen=True):
    """A body, and what is to come back."""

    body: str
    """JSON, of the Open Inference Protocol."""
    answer: tuple[float, ...]
    """Of the output that is looked at."""


class Load(Struct, frozen=True, kw_only=True):
    """What is asked, where and when."""

    host: str
    port: int
    model: str
    output: str
    """The output whose values are compared."""
    moments: tuple[float, ...]
    """Seconds from the start, ascending."""
    questions: tuple[Question, ...]
    """Asked in turn."""
    patience: float = 30.0
    """Seconds after which a request has failed."""


class Replayed(Struct, frozen=True, kw_only=True):
    """What came back; times are the client's, from the moment at which a request was due."""

    asked: int
    right: int
    """Answered, and as it should be."""
    wrong: int
    """Answered, but otherwise."""
    failed: int
    """Refused, or not answered."""
    problem: str = ""
    """The first failure, in words."""
    took: tuple[float, ...] = ()
    """Seconds of every answer, ascending."""
    behind: float = 0.0
    """Seconds by which the client was late in sending, at the most."""

    def quantile(self, share: float) -> float | None:
        """The seconds in which that share of the answers came; None where none did."""
        return self.took[max(0, math.ceil(share * len(self.took)) - 1)] if self.took else None

    def in_time(self, latency: float) -> float:
        """The share of all that were asked which was answered rightly within so many seconds."""
        late = sum(each > latency for each in self.took)
        return max(0, self.right - late) / self.asked if self.asked else 1.0


def moments(trace: RequestTrace, seconds: float, requests: float, seed: int = 0) -> NDArray[np.float64]:
    """(n,) when `requests` requests come that follow the trace's course, pressed into `seconds` seconds.

    In each interval they come at random, as they do where many ask who do not know of each other. Misuse for
    a trace without a request.
    """
    total = float(trace.counts.sum())
    if not (seconds > 0 and requests >= 1 and total > 0):
        raise Misuse(
            "there is nothing to ask", source=f"request trace {trace.name}", field="requests",
            fix="Give a trace with requests, a stretch of time, and one request or more.",
        )  # fmt: skip
    edges = np.linspace(0.0, seconds, len(trace.counts) + 1)
    below = np.concatenate(([0.0], np.cumsum(trace.counts))) / total
    drawn = np.sort(np.random.default_rng(seed).uniform(0.0, 1.0, round(requests)))
    found: NDArray[np.float64] = np.interp(drawn, below, edges)
    return found


class Replaying:
    """A client in a process of its own, which begins at once."""

    def __init__(self, load: Load) -> None:
        self._load = load
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=pipe, stdout=pipe, stderr=pipe
        )  # fmt: skip

    def result(self) -> Replayed:
        """Wait until all is over. Permanent where the process fails, or was ended."""
        told, problem = self._process.communicate(msgspec.json.encode(self._load))
        if code := self._process.returncode:
            words = problem.decode(errors="replace").strip().rpartition("\n")[2]
            raise Permanent(f"the client ended with {code}: {words}")
        return msgspec.json.decode(told, type=Replayed)

    def end(self) -> None:
        """End it, whatever it is about; may be called from another thread, and twice."""
        self._process.kill()


def replay(load: Load) -> Replayed:
    """Ask from a process of its own, and wait until all is over. Permanent where that process fails."""
    return Replaying(load).result()


async def ask(load: Load) -> Replayed:
    """Ask from here."""
    return await _Client(load).run()


class _Client:
    """Asks at each moment."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()
        self._questions = [self._wired(each) for each in load.questions]
        self._took: list[float] = []
        self._wrong = self._failed = self._open = 0
        self._behind, self._problem = 0.0, ""

    def _wired(self, question: Question) -> tuple[bytes, tuple[float, ...]]:
        body = question.body.encode()
        head = (
            f"POST /v2/models/{self._load.model}/infer HTTP/1.1\r\nhost: {self._load.host}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body, question.answer

    async def run(self) -> Replayed:
        began = clock.now()
        async with asyncio.TaskGroup() as asking:
            for number, at in enumerate(self._load.moments):
                await clock.sleep_until(began + at)
                self._behind = max(self._behind, clock.now() - began - at)
                asking.create_task(self._ask(number, began + at))
        for _, writer in self._idle:
            writer.close()
        return Replayed(
            asked=len(self._load.moments), right=len(self._took) - self._wrong, wrong=self._wrong,
            failed=self._failed, problem=self._problem, took=tuple(sorted(self._took)), behind=self._behind,
        )  # fmt: skip

    async def _ask(self, number: int, due: float) -> None:
        request, wanted = self._questions[number % len(self._questions)]
        self._open += 1
        try:
            if self._open > _MOST_OPEN:
                raise OSError(f"{_MOST_OPEN} requests are in flight")
            async with asyncio.timeout(self._load.patience):
                answer = await self._exchange(request)
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as problem:
            self._failed += 1
            self._problem = self._problem or str(problem) or type(problem).__name__
        else:
            self._took.append(clock.now() - due)
            self._wrong += not self._is(answer, wanted)
        finally:
            self._open -= 1

    async def _exchange(self, request: bytes) -> bytes:
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection(self._load.host, self._load.port)
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length[1]) if length else 0)
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        if head.split(b" ", 2)[1] != b"200":
            raise OSError(f"{head.splitlines()[0].decode('latin-1')}: {body[:200].decode(errors='replace')}")
        return body

    def _is(self, answer: bytes, wanted: Sequence[float]) -> bool:
        try:
            outputs = {each["name"]: each["data"] for each in msgspec.json.decode(answer)["outputs"]}
            return [float(each) for each in outputs[self._load.output]] == list(wanted)
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
            return False


def main() -> None:
    """Ask what stands on the standard input, and write what came of it to the standard output."""
    load = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
    sys.stdout.buffer.write(msgspec.json.encode(clock.serve(ask(load))))


if __name__ == "__main__":
    main()
