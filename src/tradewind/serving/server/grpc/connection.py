"""One connection that speaks gRPC over HTTP/2 (RFC 9113; gRPC, "gRPC over HTTP2").

Frames are read as they come, and answers written as one piece each. A client that is to move on is told so as
gRPC's clients understand it, without a call that fails: by GOAWAY with the largest number, and once that has
arrived (an answered PING says so) by another with the last call that is answered here.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import Any

from msgspec import Struct

from tradewind import clock
from tradewind.serving.server.grpc import frames
from tradewind.serving.server.grpc.call import STREAM_WINDOW, OpenCall
from tradewind.serving.server.grpc.household import Household, Method
from tradewind.serving.server.grpc.hpack import HeaderBlocks, Undecodable
from tradewind.serving.server.http.authentication import is_permitted
from tradewind.serving.server.stepping import resumed

CONNECTION_WINDOW, LARGEST_FRAME = 1 << 24, 1 << 18
"""Bytes that a client may send on a connection before it is told to go on, and of one frame."""
_REMEMBERED = 64
"""Blocks of headers whose meaning is kept."""
_WRITTEN_AT_MOST = 1 << 20
"""Bytes that wait to be sent, from which on the connection is read no further."""
_LINGER = 0.5
"""Seconds for a client that is to move on to say that it knows, and then to close the connection itself."""
_MOVE_ON, _ALIVE = b"move on.", b"alive?.."
"""What our PINGs carry."""
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_CODINGS = ("", "identity", "gzip", "deflate")


class Head(Struct, gc=False):
    """What a call's headers say."""

    method: Method | None = None
    coding: str = ""
    seconds: float | None = None
    """That the caller waits."""
    refusal: tuple[str, str] | None = None
    """gRPC's status, and why."""
    status: int = 0
    """Of HTTP, for what is no call at all."""


class GrpcConnection(asyncio.Protocol):
    """Reads calls and has them answered by `house`."""

    def __init__(self, house: Household) -> None:
        self.house = house
        self.calls: dict[int, OpenCall] = {}
        self.window, self.stream_window, self.largest = (
            frames.USUAL_WINDOW, frames.USUAL_WINDOW, frames.USUAL_FRAME,
        )  # fmt: skip
        """Bytes that may be sent now, to a new stream, and in a frame."""
        self.blocked: dict[int, OpenCall] = {}
        """Calls with something to send that waits for a window."""
        self.paused = False
        self._transport: Any = None
        self._blocks = HeaderBlocks(house.limits.header_bytes)
        self._heads: dict[bytes, Head] = {}
        self._changes = 0
        self._rest, self._need = bytearray(), 1
        """What came of a frame that is not whole, and the bytes from which on it is worth a look."""
        self._begun = False
        self._block: tuple[int, int, bytearray] | None = None
        self._last = 0
        self._final: int | None = None
        self._allowed, self._taken = CONNECTION_WINDOW, 0
        self._abandoned, self._counted = 0, clock.now()
        self._retiring = math.inf
        self._heard = self._moved = clock.now()
        self._asked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say what may be sent here, unless there are too many connections."""
        house, limits = self.house, self.house.limits
        self._transport = transport
        tls = transport.get_extra_info("ssl_object")
        if len(house.clients) >= limits.connections or (
            tls is not None and tls.selected_alpn_protocol() != "h2"
        ):
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(_WRITTEN_AT_MOST)
        house.clients.add(self)
        self.write(
            frames.settings(
                streams=limits.connection_calls,
                window=STREAM_WINDOW,
                frame=LARGEST_FRAME,
                headers=limits.header_bytes,
            )
            + frames.window(0, CONNECTION_WINDOW - frames.USUAL_WINDOW)
        )
        if house.draining:
            self.retire()

    def connection_lost(self, error: Exception | None) -> None:
        """Cancel what is being done for it."""
        self.house.clients.discard(self)
        for call in list(self.calls.values()):
            call.leave()

    def pause_writing(self) -> None:
        """Read no further while the client takes nothing."""
        self.paused = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self.paused = False
        self._moved = clock.now()
        self._transport.resume_reading()
        self.pump()

    def write(self, data: bytes) -> None:
        """Send bytes, which are whole frames."""
        self._transport.write(data)

    def abort(self) -> None:
        """Cut it."""
        self._transport.abort()

    def retire(self) -> None:
        """Ask the client to begin no further call on it; what is in progress is answered."""
        if self._retiring == math.inf and not self._transport.is_closing():
            self._retiring = clock.now()
            self.write(
                frames.goaway(frames.WHOLE, frames.NO_ERROR) + frames.frame(frames.PING, 0, 0, _MOVE_ON)
            )

    def look(self, now: float) -> None:
        """Act on what is late."""
        limits = self.house.limits
        if now >= self._counted + 1.0:
            self._abandoned, self._counted = 0, now
        for call in list(self.calls.values()):
            call.look(now)
        if not self._begun:
            if now >= self._heard + limits.begin_seconds:
                self.abort()
        elif self.paused or self.blocked:
            if now >= self._moved + limits.send_seconds:
                self.abort()
        elif self.calls and now >= self._heard + limits.keepalive_seconds:
            if self._asked:
                if now >= self._heard + 1.5 * limits.keepalive_seconds:
                    self.abort()
            else:
                self._asked = True
                self.write(frames.frame(frames.PING, 0, 0, _ALIVE))
        elif not self.calls and now >= self._heard + limits.idle_seconds:
            self.retire()
        if now >= self._retiring + _LINGER:
            if self._final is None:
                self._finalize()
            elif not self.calls:
                self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        self._heard, self._asked = clock.now(), False
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return
            data = bytes(self._rest)
            self._rest.clear()
        try:
            self._read(data)
        except frames.Broken as broken:
            self._end(broken.code, str(broken))
        except Undecodable as problem:
            self._end(frames.COMPRESSION, str(problem))
        except Exception as error:
            self.house.told(error)
            self._end(frames.INTERNAL, "the server failed")

    def _end(self, code: int, text: str) -> None:
        self.write(frames.goaway(self._last, code, text.encode()))
        for call in list(self.calls.values()):
            call.leave()
        self._transport.close()

    def _read(self, data: bytes) -> None:
        at, end = 0, len(data)
        if not self._begun:
            preface = frames.PREFACE
            if data[: len(preface)] != preface[:end]:
                raise frames.Broken(frames.PROTOCOL, "this is no HTTP/2")
            if end < len(preface):
                self._wait_for(data, len(preface))
                return
            self._begun = True
            at = len(preface)
        while end - at >= frames.HEAD:
            length, kind, flags, stream = frames.parsed(data, at)
            if length > LARGEST_FRAME:
                raise frames.Broken(frames.FRAME_SIZE, "a frame is larger than was settled")
            begin = at + frames.HEAD
            if end - begin < length:
                self._wait_for(data[at:], frames.HEAD + length)
                return
            at = begin + length
            if self._block is not None and (kind != frames.CONTINUATION or stream != self._block[0]):
                raise frames.Broken(frames.PROTOCOL, "headers are cut apart by another frame")
            if kind == frames.DATA:
                self._data(stream, flags, data[begin:at])
            elif kind == frames.HEADERS:
                self._headers(stream, flags, data[begin:at])
            else:
                self._other(kind, stream, flags, data[begin:at])
            if self._transport.is_closing():
                return
        if at < end:
            self._wait_for(data[at:], frames.HEAD)

    def _wait_for(self, rest: bytes, need: int) -> None:
        self._rest += rest
        self._need = need

    def _other(self, kind: int, stream: int, flags: int, content: bytes) -> None:
        if kind == frames.WINDOW:
            self._widen(stream, _number(content))
        elif kind == frames.PING:
            self._ping(flags, content)
        elif kind == frames.SETTINGS:
            self._settle(stream, flags, content)
        elif kind == frames.RESET:
            _number(content)
            if stream == 0 or stream > self._last:
                raise frames.Broken(frames.PROTOCOL, "a stream that never began is reset")
            call = self.calls.get(stream)
            if call is not None:
                self._abandoned += 1
                if self._abandoned > self.house.limits.abandoned:
                    raise frames.Broken(frames.CALM, "too many calls are given up at once")
                call.leave()
        elif kind == frames.CONTINUATION:
            if self._block is None:
                raise frames.Broken(frames.PROTOCOL, "headers go on that never began")
            if not content and not flags & frames.END_HEADERS:
                raise frames.Broken(frames.CALM, "headers go on with nothing")
            self._block[2].extend(content)
            self._gather(flags)
        elif kind == frames.PROMISE:
            raise frames.Broken(frames.PROTOCOL, "a client cannot push")
        # PRIORITY, a client's GOAWAY, and types that are not known, ask for nothing.

    def _ping(self, flags: int, content: bytes) -> None:
        if len(content) != 8:
            raise frames.Broken(frames.FRAME_SIZE, "a PING has 8 bytes")
        if not flags & frames.ACK:
            self.write(frames.frame(frames.PING, frames.ACK, 0, content))
        elif content == _MOVE_ON:
            self._finalize()

    def _finalize(self) -> None:
        """No call that came after this is answered; its client begins it anew elsewhere."""
        if self._final is None:
            self._final = self._last
            self.write(frames.goaway(self._last, frames.NO_ERROR))
            self._retiring = clock.now()

    def _settle(self, stream: int, flags: int, content: bytes) -> None:
        if stream or len(content) % 6 or (flags & frames.ACK and content):
            raise frames.Broken(frames.FRAME_SIZE, "SETTINGS are of the wrong length")
        if flags & frames.ACK:
            return
        for number, value in frames.settled(content):
            if number == 4:
                if value > frames.WHOLE:
                    raise frames.Broken(frames.FLOW, "a window is too large")
                more, self.stream_window = value - self.stream_window, value
                for call in self.calls.values():
                    call.window += more
            elif number == 5:
                if not frames.USUAL_FRAME <= value < 1 << 24:
                    raise frames.Broken(frames.PROTOCOL, "a frame's size is out of range")
                self.largest = min(value, LARGEST_FRAME)
        self.write(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self.pump()

    def _widen(self, stream: int, more: int) -> None:
        more &= frames.WHOLE
        if stream:
            call = self.calls.get(stream)
            if call is None:
                if stream > self._last:
                    raise frames.Broken(frames.PROTOCOL, "a stream that never began has a window")
                return
            call.window += more
            if not more or call.window > frames.WHOLE:
                self.write(frames.reset(stream, frames.FLOW if more else frames.PROTOCOL))
                call.leave()
                return
        else:
            self.window += more
            if not more or self.window > frames.WHOLE:
                raise frames.Broken(frames.FLOW if more else frames.PROTOCOL, "a window grows out of range")
        self._moved = self._heard
        self.pump()

    def pump(self) -> None:
        """Send what waited, as far as the windows allow; each call a frame in its turn."""
        while self.blocked and not self.paused:
            moved = False
            for call in list(self.blocked.values()):
                moved = call.push() or moved
                if self.paused:
                    return
            if not moved:
                return

    # Calls

    def _headers(self, stream: int, flags: int, content: bytes) -> None:
        if flags & (frames.PADDED | frames.PRIORITIZED):
            content = _unpadded(content, flags)
            if flags & frames.PRIORITIZED:
                content = content[5:]
        if not stream & 1:
            raise frames.Broken(frames.PROTOCOL, "a client's streams have odd numbers")
        if flags & frames.END_HEADERS:
            self._begin(stream, flags, content)
        else:
            self._block = (stream, flags, bytearray(content))
            self._gather(0)

    def _gather(self, flags: int) -> None:
        assert self._block is not None
        stream, first, block = self._block
        if len(block) > self.house.limits.header_bytes:
            raise frames.Broken(frames.CALM, "the headers are too large")
        if flags & frames.END_HEADERS:
            self._block = None
            self._begin(stream, first, bytes(block))

    def _begin(self, stream: int, flags: int, block: bytes) -> None:
        head = self._heads.get(block)
        if head is None:
            head = self._head(block)
        house = self.house
        if stream <= self._last:
            call = self.calls.get(stream)
            if call is not None:  # trailers, which say nothing; what is whole already refuses them
                if not flags & frames.END_STREAM:
                    raise frames.Broken(frames.PROTOCOL, "headers come in the middle of a call")
                call.complete()
            return
        if self._final is not None:
            return
        self._last = stream
        if len(self.calls) >= house.limits.connection_calls:
            self.write(frames.reset(stream, frames.REFUSED))
            return
        ended = bool(flags & frames.END_STREAM)
        if head.refusal is None and house.calls >= house.limits.calls:
            head = Head(refusal=("RESOURCE_EXHAUSTED", "the server has as many calls as it takes"))
        if head.refusal is not None or head.status or head.method is None:
            told = (
                frames.unmet(stream, head.status)
                if head.status
                else frames.failed(stream, *(head.refusal or ("INTERNAL", "")))
            )
            self.write(told if ended else told + frames.reset(stream, frames.NO_ERROR))
            return
        call = OpenCall(self, stream, head.method, head.coding, head.seconds, self._heard)
        self.calls[stream] = call
        house.calls += 1
        if head.method.several is not None:
            call.begin()
        if ended:
            call.complete()

    def _head(self, block: bytes) -> Head:
        """What a block says; kept while the same bytes mean the same."""
        before = self._blocks.changes
        head = self._said(self._blocks.read(block))
        if self._blocks.changes != self._changes:
            self._changes = self._blocks.changes
            self._heads.clear()
        if self._blocks.changes == before and len(self._heads) < _REMEMBERED:
            self._heads[block] = head
        return head

    def _said(self, headers: list[tuple[str, str]]) -> Head:
        said: dict[str, str] = {}
        authorization: list[str] = []
        for name, value in headers:
            if name == "authorization":
                authorization.append(value)
            else:
                said[name] = value
        if said.get(":method") != "POST":
            return Head(status=405)
        if not said.get("content-type", "").startswith("application/grpc"):
            return Head(status=415)
        path = said.get(":path", "")
        method = self.house.methods.get(path)
        if method is None:
            return Head(refusal=("UNIMPLEMENTED", f"there is no method {path[:200]}"))
        token = self.house.token
        shown = len(authorization) == 1 and is_permitted(authorization[0], token or "")
        if token is not None and not method.open_to_all and not shown:
            told = "give the token as metadata, authorization: Bearer TOKEN"
            return Head(refusal=("UNAUTHENTICATED", told))
        coding = said.get("grpc-encoding", "")
        if coding not in _CODINGS:
            return Head(refusal=("UNIMPLEMENTED", f"messages in {coding[:40]} are not read here; use gzip"))
        timeout = said.get("grpc-timeout")
        seconds = None
        if timeout is not None:
            unit = _UNITS.get(timeout[-1:])
            if unit is None or not timeout[:-1].isdigit() or len(timeout) > 9:
                return Head(refusal=("INVALID_ARGUMENT", f"grpc-timeout: {timeout[:20]!r} is no time"))
            seconds = int(timeout[:-1]) * unit
        return Head(method, coding, seconds)

    def _data(self, stream: int, flags: int, content: bytes) -> None:
        length = len(content)
        self._allowed -= length
        if self._allowed < 0:
            raise frames.Broken(frames.FLOW, "more is sent than the connection's window allows")
        self._taken += length
        if self._taken >= CONNECTION_WINDOW // 4:
            self.write(frames.window(0, self._taken))
            self._allowed += self._taken
            self._taken = 0
        if flags & frames.PADDED:
            content = _unpadded(content, flags)
        call = self.calls.get(stream)
        if call is None:
            if stream == 0 or (stream > self._last and self._final is None):
                raise frames.Broken(frames.PROTOCOL, "data for a stream that never began")
            return
        call.take(content, length, bool(flags & frames.END_STREAM))

    def run(self, call: OpenCall, work: Coroutine[Any, Any, None]) -> None:
        """Run a call's work, in a task only where it waits."""
        try:
            waits_for = work.send(None)
        except StopIteration:
            return
        call.task = self.house.loop.create_task(_rest_of(work, waits_for))

    def over(self, call: OpenCall) -> None:
        """A call needs nothing any more."""
        if self.calls.pop(call.id, None) is not None:
            self.blocked.pop(call.id, None)
            self.house.calls -= 1


async def _rest_of(work: Coroutine[Any, Any, None], waits_for: Any) -> None:
    await resumed(work, waits_for)


def _number(content: bytes) -> int:
    if len(content) != 4:
        raise frames.Broken(frames.FRAME_SIZE, "a frame is of the wrong length")
    return int.from_bytes(content, "big")


def _unpadded(content: bytes, flags: int) -> bytes:
    if not flags & frames.PADDED:
        return content
    padding = content[0] if content else 0
    if not content or padding >= len(content):
        raise frames.Broken(frames.PROTOCOL, "a frame is all padding")
    return content[1 : len(content) - padding]
