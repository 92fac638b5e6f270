"""What has come and is not parsed yet, while there is more to do than the processor can.

Where a request is answered as soon as it is read, those that have come meanwhile lie in their sockets, nobody
knows for how long; if there are more than can be answered, all are answered late alike. So, once a turn of
the event loop takes long, what comes is only read, which costs a twentieth of an answer, and noted with the
moment. Between two looks at the sockets a slice of time goes to what was noted:

- The oldest first, while it is young. Once it has waited for half its time, the newest first: the ones are
  in time, where else nobody would be (adaptive LIFO: Maurer, "Fail at Scale", ACM Queue 13(8), 2015).
- What cannot be in time any more is refused, by an answer that is ready and without its being parsed where it
  is whole and plain. That takes a small share of the time, while others can be in time: whoever offers five
  times what can be answered gets less done if all of the rest is refused at once.

A connection whose request waits here sends no other; so the fewer are refused, the less is there to be read.
Only what is asked with POST waits: whether a server is up is told at once.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import Protocol

from msgspec import Struct

from tradewind import clock

_SLICE = 0.005
"""Seconds that a turn of the loop may take before others are kept waiting."""
_LOOKED = 8
"""One of as many requests has it looked at how long its turn of the loop lasts, which costs a microsecond."""
_REFUSING = 0.02
"""The share of the time that refusals may take while others can be in time; to send them, and to read what
their callers send next, takes twice as long again, which is not seen here."""
_BOUND = 256
"""Heads of requests that are remembered."""


class Reader(Protocol):
    """A connection, as far as it waits here."""

    def take(self, data: bytes, came: float) -> None:
        """Parse and answer what came at that moment."""
        ...

    def turn_away(self, data: bytes, came: float) -> None:
        """Refuse what came at that moment."""
        ...


class Waiting:
    """Bytes that came over one connection, the first of them at `came`."""

    __slots__ = ("came", "data", "reader")

    def __init__(self, reader: Reader, data: bytes, came: float) -> None:
        self.reader: Reader | None = reader
        """None once the client is gone."""
        self.data, self.came = data, came


class Backlog:
    """Who waits for the processor. `patience`: seconds within which a request must be begun."""

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: float) -> None:
        self._loop, self._patience = loop, patience
        self._slice = min(_SLICE, patience / 8)
        self._waiting: deque[Waiting] = deque()
        """In the order in which they came."""
        self._turn, self._count, self._credit = 0.0, 0, 0.0
        self.heads = Heads()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def defers(self, now: float) -> bool:
        """Whether a request that is read now has to wait."""
        if self._waiting:
            return True
        if self._turn:
            return now - self._turn > self._slice
        self._count += 1
        if self._count == _LOOKED:
            self._count, self._turn = 0, now
            self._loop.call_soon(self._turned)
        return False

    def _turned(self) -> None:
        self._turn = 0.0

    def add(self, reader: Reader, data: bytes, now: float) -> Waiting:
        """Have it wait."""
        waiting = Waiting(reader, data, now)
        if not self._waiting:
            self._credit = 0.0
            self._loop.call_soon(self._work)
        self._waiting.append(waiting)
        return waiting

    def _work(self) -> None:
        """A slice of the work; the next one when the sockets have been looked at."""
        waiting = self._waiting
        now = clock.now()
        until = now + self._slice
        while waiting:
            if now >= until:
                self._loop.call_soon(self._work)
                return
            stale = now - self._patience
            refuses = waiting[0].came < stale and (self._credit > 0.0 or waiting[-1].came < stale)
            oldest = refuses or waiting[0].came >= now - self._patience / 2
            first = waiting.popleft() if oldest else waiting.pop()
            if first.reader is None:
                continue
            try:
                (first.reader.turn_away if refuses else first.reader.take)(first.data, first.came)
            except Exception as error:
                # As a loop does that calls data_received.
                self._loop.call_exception_handler({"message": "reading failed", "exception": error})
            spent, now = now, clock.now()
            spent = now - spent
            self._credit = self._credit - spent if refuses else min(
                self._credit + _REFUSING * spent, self._slice
            )  # fmt: skip


class Head(Struct):
    """What is known of the requests with one head, which says how long their bodies are."""

    target: str
    size: int
    """Bytes of body."""
    status: int = 0
    """Of the answer that refuses them."""
    date: bytes = b""
    answer: bytes = b""
    """As it is sent, with that date."""


_HEAD = re.compile(rb"POST (/[!-~]*) HTTP/1\.1\r\n(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~]*\r\n)+\Z")
_LENGTH = re.compile(rb"^content-length:[ \t]*([0-9]{1,9})[ \t]*\r$", re.MULTILINE)
_OTHERWISE = re.compile(
    rb"^(?:transfer-encoding|upgrade|expect|connection:(?![ \t]*keep-alive[ \t]*\r))", re.MULTILINE
)


class Heads:
    """The heads of requests of late that are plain, with the answers that refuse them."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def of(self, data: bytes) -> Head | None:
        """What is known of a request if it is one whole, plain POST and nothing else; else None.

        Plain is what every reader of HTTP/1.1 takes to end at the same byte: one Content-Length, one line a
        header, nothing that is said of the connection but that it be kept.
        """
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return None
        text = data[:end]
        head = self._known.get(text)
        if head is None:
            head = _plain(text + b"\r\n")
            if head is None:
                return None
            if len(self._known) >= _BOUND:
                self._known.clear()
            self._known[text] = head
        return head if len(data) == end + 4 + head.size else None


def _plain(lines: bytes) -> Head | None:
    whole, lower = _HEAD.match(lines), lines.lower()
    lengths = _LENGTH.findall(lower)
    if (
        whole is None
        or len(lengths) != 1
        or lower.count(b"content-length") != 1
        or lower.count(b"\r\nhost:") != 1
        or _OTHERWISE.search(lower)
    ):
        return None
    return Head(whole[1].decode("latin-1"), int(lengths[0]))
