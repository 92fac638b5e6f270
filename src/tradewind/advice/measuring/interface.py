"""What makes a probe: something that runs a command within a candidate's size, and tells how that went."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

INTERRUPTED = "interrupted"
"""A run that neither ended nor met a limit: its driver was asked to stop, or is gone. It is made again."""


class Room(Struct, frozen=True):
    """What one candidate gives to a run, all its machines together."""

    cores: float | None = None
    """Processors; a part of one is kept by holding the run back. None for all that there are."""
    memory: int | None = None
    """Bytes; a run that holds more is killed and has failed. None for no limit."""


class Order(Struct, frozen=True):
    """One run to be made."""

    name: str
    """Of this attempt, unlike any other's in the run's folder."""
    command: tuple[str, ...]
    folder: str
    """The working directory of the command."""
    environment: Mapping[str, str]
    """Variables beside those that this process has."""
    room: Room
    limit: float | None
    """Seconds after which it is killed."""
    at_limit: str
    """How it has ended then: `stopped` or `timed_out`."""


class Measured(Struct, frozen=True):
    """How a run went."""

    seconds: float
    """From its start to its end; what getting ready took is not counted."""
    status: str
    """One of `tradewind.market.measured_runs.ENDS`, or `interrupted`."""
    words: str = ""
    """Why, and the end of what the command said, where it did not end well."""
    seen: Mapping[str, float] = msgspec.field(default_factory=dict)
    """`cpu_user` and `cpu_system` as shares of the cores that it had; `held_gib`, the most memory it held."""


class Measurer(Protocol):
    """Where probes are made.

    1. `check` raises Misuse for what cannot be run there, before anything is.
    2. `measure` returns once nothing that the command started runs any more, however it ended. What it
       returns is in the folder before, so that a driver that is killed meanwhile finds it.
    3. A driver that is killed leaves nothing running; `recover` sees to that, and says what is known.
    """

    @property
    def told(self) -> str:
        """In words: where runs are made, how they are limited, and what of a candidate is not imitated."""
        ...

    def check(self, name: str, room: Room, machines: float) -> None:
        """Raise Misuse if a candidate cannot be had there."""
        ...

    def measure(self, order: Order, work: Path, stop: Callable[[], bool]) -> Measured:
        """Make the run; `stop` is asked often, and ends it as `interrupted`."""
        ...

    def recover(self, order: Order, work: Path) -> Measured | None:
        """How an attempt went whose driver is gone, once nothing of it runs; None if it never began."""
        ...

    def close(self) -> None:
        """Let go of whatever was connected."""
        ...
