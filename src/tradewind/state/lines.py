"""A controller's lines to the hosts of a state: one to each shard at each address."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec
from numpy.typing import NDArray

from tradewind.state import messages as says
from tradewind.state.link import Link, Patience
from tradewind.state.routing import StateRouting
from tradewind.state.transport.interface import Channel

Answer = tuple[dict[str, Any], list[NDArray[Any]]]
"""Values and arrays."""


class Lines:
    """Links made as they are needed, from the reliable host's address on."""

    def __init__(self, address: str, connect: Callable[[str], Channel], patience: Patience) -> None:
        self.address = address
        self._connect, self._patience = connect, patience
        self._links: dict[tuple[str, int], Link] = {}

    def to(self, address: str, shard: int) -> Link:
        """The link to a shard at an address."""
        link = self._links.get((address, shard))
        if link is None:
            link = Link(self._connect(address), self._patience, shard=shard, address=address)
            self._links[address, shard] = link
        return link

    def register(self, operation: says.Operation) -> Answer:
        """Ask the reliable host about all shards together."""
        return ask([self.to(self.address, 0)], [operation])[0]

    def routing(self) -> StateRouting:
        """Where the shards are."""
        return msgspec.convert(self.register(says.Route())[0], StateRouting)

    def every(self, places: Sequence[str], operation: says.Operation) -> list[Answer]:
        """Ask each shard at its place."""
        links = [self.to(address, shard) for shard, address in enumerate(places)]
        return ask(links, [operation] * len(links))

    def forget_all_but(self, addresses: Collection[str]) -> None:
        """Close the lines to hosts that play no part any more."""
        for address, shard in list(self._links):
            if address not in addresses:
                self._links.pop((address, shard)).channel.close()

    def pause(self) -> None:
        """Wait a little before asking again."""
        self.to(self.address, 0).pause(0.02)

    def close(self) -> None:
        """Let go of all channels; may be called twice."""
        for link in self._links.values():
            link.channel.close()


def ask(links: Sequence[Link], operations: Sequence[says.Operation]) -> list[Answer]:
    """Ask all, then hear all; raises what the first one refuses. Unreachable names the silent address."""
    for link, operation in zip(links, operations, strict=True):
        link.abandon()
        link.post([operation])
    return [link.answer() for link in links]
