"""Messages between processes and machines over ZeroMQ: ROUTER at the server, a DEALER a client.

Only frames travel, the header and one an array, without a copy on the way where ZeroMQ can do without.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import zmq

from tradewind.errors import Misuse
from tradewind.state.messages import Message
from tradewind.state.transport.interface import Channel

_UNCOPIED = 65536
"""Bytes from which on it is cheaper to share a frame with ZeroMQ's thread than to copy it."""


def _send(socket: zmq.Socket[bytes], frames: Message) -> None:
    for frame in frames[:-1]:
        socket.send(frame, zmq.SNDMORE | zmq.DONTWAIT, copy=len(frame) < _UNCOPIED)
    socket.send(frames[-1], zmq.DONTWAIT, copy=len(frames[-1]) < _UNCOPIED)


def _receive(socket: zmq.Socket[bytes], timeout: float) -> list[memoryview] | None:
    socket.setsockopt(zmq.RCVTIMEO, max(0, round(timeout * 1000)))
    try:
        frame = socket.recv(copy=False)
    except zmq.Again:
        return None
    frames = [frame.buffer]
    while frame.more:
        frame = socket.recv(copy=False)
        frames.append(frame.buffer)
    return frames


class ZeroMQListener:
    """A server's socket at `tcp://HOST:PORT` (port 0 or `*`: any that is free) or `ipc://PATH`."""

    def __init__(self, address: str) -> None:
        if not address.startswith(("tcp://", "ipc://")):
            raise Misuse(
                f"{address!r} is no address", field="address", fix="Write tcp://HOST:PORT or ipc://PATH."
            )
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 200)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        try:
            self._socket.bind(address)
        except zmq.ZMQError as problem:
            self._socket.close(0)
            raise Misuse(
                f"cannot listen: {problem}",
                field=address,
                fix="Choose an address of this machine that is free.",
            ) from problem
        self.address: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def receive(self, timeout: float, beside: Sequence[Channel] = ()) -> tuple[Hashable, Message] | None:
        """The next message and its peer, or None after `timeout` seconds or at an answer `beside` it."""
        if beside:
            poller = zmq.Poller()
            poller.register(self._socket, zmq.POLLIN)
            for channel in beside:
                assert isinstance(channel, ZeroMQChannel)
                channel.watch(poller)
            if self._socket not in dict(poller.poll(round(timeout * 1000))):
                return None
        frames = _receive(self._socket, timeout)
        return None if frames is None else (bytes(frames[0]), frames[1:])

    def send(self, peer: Hashable, message: Message) -> None:
        """Answer; a peer that has gone is not an error."""
        assert isinstance(peer, bytes)
        try:
            _send(self._socket, [peer, *message])
        except zmq.ZMQError:
            return

    def close(self) -> None:
        """Let go of the address; may be called twice."""
        if not self._socket.closed:
            self._socket.close()


class ZeroMQChannel:
    """A client's socket to one server. One thread a channel."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = self._connected()

    def _connected(self) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 250)
        try:
            socket.connect(self.address)
        except zmq.ZMQError as problem:
            socket.close(0)
            raise Misuse(
                f"cannot connect: {problem}", field=self.address, fix="Check the address."
            ) from problem
        return socket

    def send(self, message: Message) -> None:
        """Queue the frames; ZeroMQ's thread sends them when it can."""
        _send(self._socket, message)

    def receive(self, timeout: float) -> Message | None:
        """The next message, or None after `timeout` seconds."""
        return _receive(self._socket, timeout)

    def watch(self, poller: zmq.Poller) -> None:
        """Have `poller` tell when something has come."""
        poller.register(self._socket, zmq.POLLIN)

    def reconnect(self) -> None:
        """Throw the connection and what is queued on it away, and make another."""
        self._socket.close(0)
        self._socket = self._connected()

    def close(self) -> None:
        """Let go; may be called twice."""
        if not self._socket.closed:
            self._socket.close(0)
