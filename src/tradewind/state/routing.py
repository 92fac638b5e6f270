"""Where the shards of a state are, and how a client finds them.

A state is cut into shards, each an engine with partitions of its own, which move between processes whole.
The reliable host at the job's fixed address knows which address serves each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from tradewind.errors import Unreachable
from tradewind.state import messages as says
from tradewind.state.link import Link, Patience, RolledBack
from tradewind.state.transport.interface import Channel

_PAUSE = 0.02
"""Seconds of the wall between two looks at something that is about to change."""
_GLANCES = 8
"""Silences after which a glance at the routing is asked for anew."""


class StateRouting(Struct, frozen=True):
    """Which address serves which shard."""

    version: int
    """Raised by every change of places."""
    epoch: int
    """The epoch that began with it."""
    serving: tuple[str, ...]
    """By shard."""
    backups: tuple[str, ...]
    """By shard; equal to `serving` where one process is both."""


class Finder:
    """Asks the host at `address` where the shards are."""

    def __init__(self, address: str, connect: Callable[[str], Channel], patience: Patience) -> None:
        self.address = address
        self._patience = patience
        self._link = Link(connect(address), patience, address=address)
        self._glances = 0

    def ask(self) -> StateRouting:
        """The routing now; Unreachable if nobody answers."""
        self._ask()
        return _routing(self._link.answer()[0])

    def check(self, known: StateRouting) -> None:
        """RolledBack if the routing is not the one that is known. Silence tells nothing."""
        if not self._link.outstanding or self._glances == _GLANCES:
            self._ask()
        self._glances += 1
        try:
            answer = self._link.poll(self._patience.ask_again)
        except Unreachable:
            return
        if answer is not None and _routing(answer[0]) != known:
            raise RolledBack("the shards are elsewhere now")

    def _ask(self) -> None:
        self._link.abandon()
        self._link.post([says.Route()])
        self._glances = 0

    def pause(self) -> None:
        """Wait a little before asking again."""
        self._link.pause(_PAUSE)

    def close(self) -> None:
        """Let go of the channel; may be called twice."""
        self._link.channel.close()


def _routing(value: dict[str, Any]) -> StateRouting:
    return msgspec.convert(value, StateRouting)
