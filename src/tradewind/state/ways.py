"""How a client gets to the shards of a state: by channels that it is given, or by the routing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from tradewind.errors import Misuse
from tradewind.state.link import Link, Patience
from tradewind.state.routing import Finder, StateRouting
from tradewind.state.transport.interface import Channel


class Ways(Protocol):
    """The links of one client, one a shard."""

    lasting: bool
    """Whether shards are always where they are, so that a refusal is final for a reader."""

    def find(self) -> list[Link]:
        """The links to use from now on; those of the last call may be among them."""
        ...

    def pause(self) -> None:
        """Wait a little before looking again."""
        ...

    def close(self) -> None:
        """Let go of all channels; may be called twice."""
        ...


class GivenWays:
    """One channel a server, and they stay."""

    lasting = True

    def __init__(self, channels: Sequence[Channel], patience: Patience) -> None:
        if not channels:
            raise Misuse("no channels", field="channels", fix="Give one to each server.")
        self._links = [Link(channel, patience) for channel in channels]

    def find(self) -> list[Link]:
        """Always the same."""
        return self._links

    def pause(self) -> None:
        """Wait a twentieth of a second."""
        threading.Event().wait(0.05)

    def close(self) -> None:
        """Let go of all channels; may be called twice."""
        for link in self._links:
            link.channel.close()


class FoundWays:
    """A channel a shard, to wherever the routing at `address` says that it is served."""

    lasting = False

    def __init__(self, address: str, connect: Callable[[str], Channel], patience: Patience) -> None:
        self._finder = Finder(address, connect, patience)
        self._connect, self._patience = connect, patience
        self._routing = StateRouting(-1, -1, (), ())
        self._links: list[Link] = []

    def find(self) -> list[Link]:
        """By the routing as it is now. Unreachable if nobody tells it."""
        self._routing = self._finder.ask()
        kept = {(link.shard, link.address): link for link in self._links}
        self._links = []
        for shard, address in enumerate(self._routing.serving):
            link = kept.pop((shard, address), None)
            if link is None:
                channel = self._connect(address)
                link = Link(channel, self._patience, shard=shard, address=address, doubt=self._doubt)
            self._links.append(link)
        for link in kept.values():
            link.channel.close()
        return self._links

    def pause(self) -> None:
        """Wait a fiftieth of a second."""
        self._finder.pause()

    def close(self) -> None:
        """Let go of all channels; may be called twice."""
        self._finder.close()
        for link in self._links:
            link.channel.close()

    def _doubt(self) -> None:
        self._finder.check(self._routing)
