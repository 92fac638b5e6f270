"""The seam between who rents the machines and who learns on them."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.training.view import Progress

STATE = "state"
"""The purpose of a lease that hosts the servers of the state."""
WORK = "work"
"""The purpose of a lease that hosts workers."""


class Finished(Struct, frozen=True, tag=True):
    """All the work is done, and the state is whole."""


class Joined(Struct, frozen=True, tag=True):
    """What was started on a lease works now."""

    lease: LeaseId


class Saved(Struct, frozen=True, tag=True):
    """A snapshot is whole: `done` units would outlast the loss of every lease."""

    done: float
    problem: str = ""
    """Why it was not copied to the object store; empty if it was, or need not be."""


class Restaged(Struct, frozen=True, tag=True):
    """Other machines serve the state than before."""

    stage: int
    """AgileML's stage, see `training.elastic.stages`."""
    active: tuple[LeaseId, ...]
    """The leases that serve it; none of them in stage 1, where the reliable machine does."""
    clocks_lost: int = 0
    """Clocks that have to be done again, where a server was lost unwarned."""


class Stranded(Struct, frozen=True, tag=True):
    """A lease that is still ours does no work: what ran there failed, or never answered.

    Told for what is certain (a task that ended, a lost connection), never for one probe that failed.
    """

    lease: LeaseId
    reason: str


class Broken(Struct, frozen=True, tag=True):
    """The work cannot go on, on whatever lease: the same would fail again."""

    reason: str


Change = Finished | Joined | Saved | Restaged | Stranded | Broken


class Work(Protocol):
    """A job's learning, carried by the leases that it is given.

    1. `join`, `warn` and `lost` return at once; what they set going runs in the background.
    2. A lease is given by `join` once, by its purpose: `state` leases host the servers of the state, `work`
       leases host workers. Work goes on as soon as it has what it needs, and waits without one.
    3. After `lost` the lease is never touched again. It is called for every lease that ended otherwise than
       by our wish, warned or not, and is silent for one that never joined.
    4. `drain` returns when the lease can be taken away without losing anything, or after a bound that the
       work states, whichever is earlier. The lease is released next; `lost` is not called for it.
    5. `progress` and `loss` are the latest known, at once and without waiting.
    6. Every change is told by `next_change` once, in order. Cancelling it loses none.
    7. `pause` leaves a snapshot from which the job goes on, stops what runs and returns; then only
       `progress`, `loss` and `close` may be called.
    """

    async def open(self) -> None:
        """Make ready; raises Misuse if something needed is missing or wrong."""
        ...

    def join(self, lease: Lease) -> None:
        """Use this lease from now on."""
        ...

    def warn(self, revocation: Revocation) -> None:
        """A lease will be revoked: get off it before it is due."""
        ...

    async def drain(self, lease: LeaseId) -> None:
        """Get off a lease that is about to be released."""
        ...

    def lost(self, lease: LeaseId) -> None:
        """A lease is gone."""
        ...

    def progress(self) -> Progress:
        """How far the job is."""
        ...

    def loss(self) -> float | None:
        """The mean loss of the rows read lately; None before the first, or where nothing is measured."""
        ...

    async def next_change(self) -> Change:
        """Wait for the next change."""
        ...

    async def pause(self) -> None:
        """Take a snapshot and stop."""
        ...

    async def close(self) -> None:
        """Let go of everything; may be called twice."""
        ...
