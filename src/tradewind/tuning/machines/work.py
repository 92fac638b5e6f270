"""The seam between who rents the machines and who trains trials on them."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.tuning.attempt import Asked


class Off(Struct, frozen=True, tag=True):
    """A trial runs no more on the lease where it was; its record in the store says how far it is."""

    trial: int
    attempt: int
    """That of its claim."""
    lease: LeaseId
    crashed: str = ""
    """Why, where what ran it broke; empty where it ended, was stopped, paused, or left as it was asked to."""


class Timed(Struct, frozen=True, tag=True):
    """What a step takes was measured: told for the first steps on a lease, and where it has changed."""

    trial: int
    attempt: int
    lease: LeaseId
    seconds: float


class Stranded(Struct, frozen=True, tag=True):
    """The lease of a trial cannot be reached, and nobody has told it lost; nothing runs there any more."""

    trial: int
    attempt: int
    lease: LeaseId
    reason: str


Change = Off | Timed | Stranded


class TrialWork(Protocol):
    """Trials of a study, each training on the lease that it is given.

    1. `start`, `warn` and `lost` return at once; what they set going runs in the background.
    2. What a trial reports, its checkpoints and its end go into the study's store, by whoever trains it,
       before they are told here.
    3. Warned of a revocation, a trial is checkpointed and leaves; `Off` tells when.
    4. `leave` returns when the lease can be taken away, the trial being checkpointed, or after a bound that
       the work states. `Off` is not told for it.
    5. After `lost` the lease is never touched again, and `Off` is not told for its trial.
    6. Every change is told by `next_change` once, in order. Cancelling it loses none.
    """

    checkpoint: float
    """Seconds to make a checkpoint."""
    restore: float
    """Seconds to load one."""

    async def open(self) -> None:
        """Make ready; raises Misuse if something needed is missing or wrong."""
        ...

    def start(self, asked: Asked, lease: Lease, per_hour: float) -> None:
        """Train a trial on a lease, which costs `per_hour` US dollars."""
        ...

    def warn(self, revocation: Revocation) -> None:
        """A lease will be revoked: get its trial off before it is due."""
        ...

    async def leave(self, lease: LeaseId) -> None:
        """Get the trial off a lease that is about to be released."""
        ...

    def lost(self, lease: LeaseId) -> None:
        """A lease is gone."""
        ...

    def unkept(self, lease: LeaseId) -> float:
        """Seconds of work that the loss of the lease would destroy, as far as is known."""
        ...

    async def next_change(self) -> Change:
        """Wait for the next change."""
        ...

    async def close(self) -> None:
        """Stop everything and let go; may be called twice."""
        ...
