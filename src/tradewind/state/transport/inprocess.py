"""Messages within one process: a call, under a lock, and a queue a client."""

from __future__ import annotations

import queue
import threading
from collections.abc import Hashable, Sequence
from typing import Protocol

from tradewind.state.messages import Message
from tradewind.state.transport.interface import Handler


class Background(Handler, Protocol):
    """A handler that may go on by itself; `state.shard_host.ShardHost` does."""

    def background(self) -> Sequence[tuple[Hashable, Message]]:
        """Go on with what needs no request; the answers that this sets free."""
        ...


class InProcess:
    """A server that its clients' threads drive themselves: there is none of its own."""

    def __init__(self, server: Handler) -> None:
        self.server = server
        self._lock = threading.Lock()

    def channel(self) -> InProcessChannel:
        """A new client's channel."""
        return InProcessChannel(self)

    def deliver(self, channel: InProcessChannel, message: Message) -> None:
        """Have the server take a message in, and its answers go out."""
        with self._lock:
            _answer(self.server.handle(channel, message))


class InProcessHosts:
    """Hosts by address, driven by whoever sends one of them a message: none has a thread of its own."""

    def __init__(self) -> None:
        self.hosts: dict[str, Background] = {}
        """Take one out, and it is dead: what is sent to it is lost."""
        self._lock = threading.RLock()
        self._deep, self._moved = False, 0

    def connect(self, address: str) -> InProcessChannel:
        """A new channel to whoever is at that address."""
        return InProcessChannel(_Way(self, address))

    def deliver(self, address: str, channel: InProcessChannel, message: Message) -> None:
        """Have a host take a message in, and all of them go on until nothing moves any more."""
        with self._lock:
            self._moved += 1
            host = self.hosts.get(address)
            if host is not None:
                self._moved += _answer(host.handle(channel, message))
            if self._deep:
                return
            self._deep, before = True, -1
            try:
                while before != self._moved:
                    before = self._moved
                    for each in list(self.hosts.values()):
                        self._moved += _answer(each.background())
            finally:
                self._deep = False


class _Way:
    """One address of `InProcessHosts`."""

    def __init__(self, hosts: InProcessHosts, address: str) -> None:
        self._hosts, self._address = hosts, address

    def deliver(self, channel: InProcessChannel, message: Message) -> None:
        """Have the host there take a message in."""
        self._hosts.deliver(self._address, channel, message)


def _answer(answers: Sequence[tuple[Hashable, Message]]) -> int:
    for peer, frames in answers:
        assert isinstance(peer, InProcessChannel)
        peer.inbox.put(frames)
    return len(answers)


class InProcessChannel:
    """A client's side of `InProcess`; used by one thread at a time."""

    def __init__(self, hub: InProcess | _Way) -> None:
        self._hub = hub
        self.inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def send(self, message: Message) -> None:
        """Hand the frames to the server; whoever they release is answered before this returns."""
        self._hub.deliver(self, message)

    def receive(self, timeout: float) -> Message | None:
        """The next answer, or None after `timeout` seconds."""
        try:
            return self.inbox.get(timeout=timeout) if timeout > 0 else self.inbox.get_nowait()
        except queue.Empty:
            return None

    def reconnect(self) -> None:
        """Nothing to do: no message is ever lost."""

    def close(self) -> None:
        """Nothing to do."""
