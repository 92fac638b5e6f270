"""The seam to wherever work runs."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Protocol

from msgspec import Struct

from tradewind.market.leases import Lease


class Task(Struct, frozen=True):
    """A program to run on a lease."""

    id: str
    """Unique in the run."""
    module: str
    """A module of ours with a function `main(arguments: dict, leaving: Callable[[], bool]) -> None`.

    `leaving()` becomes true when the task was asked to stop or its lease was given notice: `main` then
    finishes what it has in hand and returns.
    """
    arguments: dict[str, Any]
    """Plain JSON values."""


class TaskState(StrEnum):
    """Where a task is in its life."""

    RUNNING = "running"
    DONE = "done"
    """Returned from `main`."""
    FAILED = "failed"
    """Raised, or was killed; the reason is in `TaskEnd.reason`."""
    LOST = "lost"
    """Its instance is gone."""


class TaskEnd(Struct, frozen=True):
    """A task that runs no more."""

    task: str
    state: TaskState
    reason: str = ""


class Runtime(Protocol):
    """Starts and stops tasks on leases.

    1. `start` returns once the instance has accepted the task; it raises Unreachable if the address does not
       answer within `patience` seconds of the wall's time, and then the task was not started.
    2. Every task that was started is told once by `next_end`, in the order of the ends seen.
    3. `stop` asks; `next_end` tells. A task that outlasts `grace` seconds of the wall's time is killed.
    4. A silent instance is not lost: LOST is told only when its connection broke or its group is gone.
    """

    async def start(self, lease: Lease, task: Task) -> None:
        """Run `task` on `lease`."""
        ...

    async def stop(self, task: str, grace: float) -> None:
        """Ask a task to leave; silent if it has ended."""
        ...

    async def next_end(self) -> TaskEnd:
        """Wait for the next task that ends. Cancelling loses none."""
        ...

    async def close(self) -> None:
        """Kill every task and let go of everything; may be called twice."""
        ...
