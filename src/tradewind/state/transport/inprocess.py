"""Messages within one process: a call, under a lock, and a queue a client."""

from __future__ import annotations

import queue
import threading

from tradewind.state.messages import Message
from tradewind.state.transport.interface import Handler


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
            for peer, frames in self.server.handle(channel, message):
                assert isinstance(peer, InProcessChannel)
                peer.inbox.put(frames)


class InProcessChannel:
    """A client's side of `InProcess`; used by one thread at a time."""

    def __init__(self, hub: InProcess) -> None:
        self._hub = hub
        self.inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def send(self, message: Message) -> None:
        """Hand the frames to the server; whoever they release is answered before this returns."""
        self._hub.deliver(self, message)

    def receive(self, timeout: float) -> Message | None:
        """The next answer, or None after `timeout` seconds."""
        try:
            return self.inbox.get(timeout=timeout)
        except queue.Empty:
            return None

    def reconnect(self) -> None:
        """Nothing to do: no message is ever lost."""

    def close(self) -> None:
        """Nothing to do."""
