"""The seam between the controller of an endpoint and whatever answers its requests."""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.serving.provisioning.interface import FunctionProfile, Replica, Traffic


class Ready(Struct, frozen=True):
    """A replica answers from now on."""

    lease: LeaseId


class Stranded(Struct, frozen=True):
    """A replica failed, or never answered: its lease is of no use."""

    lease: LeaseId
    reason: str


ServiceChange = Ready | Stranded


class Account(Struct, frozen=True):
    """What became of the requests so far. Those that still wait are in none of these."""

    in_time: float = 0.0
    """Answered within the objective's latency."""
    late: float = 0.0
    """Answered after it."""
    refused: float = 0.0
    """Dropped, for they could not be in time."""
    overflowed: float = 0.0
    """Of all of them, those that went to functions."""
    cold: float = 0.0
    """Of those, the ones that found no warm environment."""
    retried: float = 0.0
    """Lost with a replica and given to another."""
    functions: Decimal = Decimal(0)
    """US dollars owed for functions."""
    begun: float = 0.0
    """All that came in, those included that still wait; 0 where nobody counts them."""
    stays: tuple[int, ...] = ()
    """Of those answered, how many in each bucket of seconds; see `buckets`."""
    buckets: tuple[float, ...] = ()
    """Upper bounds of `stays` in seconds; the last bucket is for what exceeds all."""
    overflows: bool = False
    """Whether there are functions that requests may go to."""
    calls: float = 0.0
    """Of functions, those that keep environments warm among them."""
    gb_seconds: float = 0.0
    """What those calls are billed."""

    @property
    def requests(self) -> float:
        """All that were answered or refused."""
        return self.in_time + self.late + self.refused

    @property
    def share(self) -> float:
        """The share of requests answered in time; 1 before the first."""
        return self.in_time / self.requests if self.requests else 1.0


class Service(Protocol):
    """Answers requests on the leases that it is given. Between `open` and `close`, on one event loop.

    1. A replica that was started is listed until it is drained, lost, or told `Stranded`.
    2. It tells each replica's `Ready` once.
    3. What a lost replica had in hand is given to another one where there is one.
    4. With overflow, what the replicas cannot answer in time goes to functions, request by request.
    """

    async def open(self, overflow: bool) -> None:
        """Begin to answer."""
        ...

    def start(self, lease: Lease) -> None:
        """Start a replica on this lease."""
        ...

    def warn(self, revocation: Revocation) -> None:
        """The replica's instance will be gone: give it nothing that it could not end before."""
        ...

    async def drain(self, lease: LeaseId) -> None:
        """Give it nothing more; return when its last answer is out. Silent for one that is gone."""
        ...

    def lost(self, lease: LeaseId) -> None:
        """Its instance is gone."""
        ...

    def replicas(self) -> tuple[Replica, ...]:
        """Those started, in the order in which they were."""
        ...

    def traffic(self) -> Traffic:
        """The load of the last hour at most, up to the last interval that is over."""
        ...

    def rates(self) -> NDArray[np.float64]:
        """(n,) requests a second in every interval known, the oldest first; the last ends with
        `traffic`'s."""
        ...

    def account(self) -> Account:
        """What became of the requests."""
        ...

    def function(self) -> FunctionProfile | None:
        """What the model does as a function, as known now; None where no request may go to one."""
        ...

    async def next_changes(self) -> tuple[ServiceChange, ...]:
        """Wait until there is something to tell, and tell all of it. Cancelling loses nothing."""
        ...

    async def close(self) -> None:
        """Answer no longer; may be called twice."""
        ...
