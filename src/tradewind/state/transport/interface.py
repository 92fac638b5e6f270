"""The seam to whatever carries messages between clients and servers of a state."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

from tradewind.state.messages import Message


class Channel(Protocol):
    """A client's way to one server; used by one thread at a time.

    1. A message arrives whole or not at all; it may be lost, late, or there twice.
    2. `send` never waits for the other side.
    3. What was sent may be read by the other side at any later moment: its arrays are not to be changed.
    """

    def send(self, message: Message) -> None:
        """Send the frames."""
        ...

    def receive(self, timeout: float) -> Message | None:
        """The next message, or None after `timeout` seconds of the wall."""
        ...

    def reconnect(self) -> None:
        """Begin anew: what is under way in either direction may be lost."""
        ...

    def close(self) -> None:
        """Let go; may be called twice."""
        ...


class Handler(Protocol):
    """What answers messages, wherever they come from; `state.server.Server` does."""

    def handle(self, peer: Hashable, frames: Message) -> Sequence[tuple[Hashable, Message]]:
        """Take a message in; the answers that can be given now, each with its peer."""
        ...


class Listener(Protocol):
    """A server's side: many clients, told apart by a peer name that `send` takes."""

    address: str
    """Where clients connect."""

    def receive(self, timeout: float, beside: Sequence[Channel] = ()) -> tuple[Hashable, Message] | None:
        """The next message and its peer, or None after `timeout` seconds of the wall.

        None as well as soon as something has come on one of the channels `beside` it.
        """
        ...

    def send(self, peer: Hashable, message: Message) -> None:
        """Answer; without effect if the peer has gone."""
        ...

    def close(self) -> None:
        """Let go of the address; may be called twice."""
        ...
