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
    candidate: str = ""
    """The candidate's name."""


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
    charged: float | None = None
    """US dollars that its lease came to, by our reckoning, getting ready included; None where nothing was
    leased."""


class Quote(Struct, frozen=True, kw_only=True):
    """What would be booked for one probe of a candidate, and what that may cost."""

    candidate: str
    type: str
    zone: str
    terms: str
    per_hour: float
    """US dollars for an hour, now."""
    most_per_hour: float
    """What an hour may come to: a spot bid's limit, the list price on demand."""
    seconds: float
    """The longest that a probe holds it, whatever the probe does."""
    most: float
    """US dollars for so long at that price."""


class Measurer(Protocol):
    """Where probes are made.

    1. `check` raises Misuse for what cannot be run there, before anything is.
    2. `measure` returns once nothing that the command started runs any more, however it ended. What it
       returns is in the folder before, so that a driver that is killed meanwhile finds it.
    3. A driver that is killed leaves nothing that runs on for ever; `recover` sees to the rest, and says what
       is known. Where a probe outlives its driver, on a machine of its own, `recover` waits for its end and
       nothing is paid for twice.
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

    def recover(self, order: Order, work: Path, stop: Callable[[], bool]) -> Measured | None:
        """How an attempt went whose driver is gone, once nothing of it runs; None if it never began."""
        ...

    def close(self) -> None:
        """Let go of whatever was connected."""
        ...
