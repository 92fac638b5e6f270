"""What a rule for machines knows of the trials of a study, and how it says which trial runs where.

A rule is a policy of `control.policy`. It takes a lease for a trial by a `Bid` whose purpose names the trial,
puts one on a lease that is idle by `Use`, and moves one away by releasing its lease: the trial is then
checkpointed, and waits for a machine again.
"""

from __future__ import annotations

import re

from msgspec import Struct

from tradewind.estimates.outlook import Outlook
from tradewind.market.demands import Demand
from tradewind.market.instances import Pool
from tradewind.market.leases import Lease, LeaseId
from tradewind.market.views import View

_PURPOSE = re.compile(r"trial (\d+)")


class Queued(Struct, frozen=True):
    """A trial that waits for a machine."""

    trial: int
    left: int
    """Steps to its end."""
    begun: bool = False
    """Whether there is a checkpoint to restore."""


class Placed(Struct, frozen=True):
    """A trial that runs on a lease, or is on its way there."""

    trial: int
    lease: LeaseId
    left: int
    """Steps to its end."""
    since: float
    """The moment at which it was put there."""
    unkept: float = 0.0
    """Seconds of work that a kill at this moment would destroy."""


class TuningView(Struct, frozen=True):
    """All that a rule for machines may know at a moment."""

    market: View
    queued: tuple[Queued, ...]
    """The most urgent first."""
    placed: tuple[Placed, ...]
    demand: Demand
    """What one trial needs; its count is how many may run at once."""
    types: tuple[str, ...]
    """Instance types for which `seconds` speaks."""
    seconds: dict[str, tuple[float, ...]]
    """What a step takes, seconds, by the trial's number as text (a journal's keys are): one a type. Measured
    where it was, else reckoned."""
    boot: float = 0.0
    """Seconds from a lease's start until something runs on it, as seen last."""
    restore: float = 0.0
    """Seconds to load a checkpoint."""
    checkpoint: float = 0.0
    """Seconds to make one."""
    lost: float = 0.0
    """Seconds of work that a revocation is expected to destroy."""
    deadline: float | None = None
    outlook: Outlook | None = None
    idle_since: dict[str, float] = {}
    """The moment since which nothing runs on a lease, for those that are idle."""
    prices: dict[str, float] = {}
    """US dollars that an hour of each lease costs, as seen last: a pool that is full is not on offer."""
    gone: tuple[Pool, ...] = ()
    """Spot pools that a trial could use, that were on offer and are not now."""
    measured: tuple[str, ...] = ()
    """Instance types on which a step of some trial was timed."""
    foretold: tuple[str, ...] = ()
    """Instance types of which earlier runs say what a step takes: `seconds` goes by it until one is timed."""
    doubted: dict[str, float] = {}
    """Instance types on which a trial is believed rather to fail, as for want of memory, by the trials that
    did: with the chance that it ends whole."""

    @property
    def known(self) -> frozenset[str]:
        """Instance types of which it is not only by their vCPUs that `seconds` speaks."""
        return frozenset(self.measured) | frozenset(self.foretold)

    @property
    def leaving(self) -> frozenset[LeaseId]:
        """Leases that were given notice."""
        return frozenset(each.lease for each in self.market.revocations)

    @property
    def idle(self) -> tuple[Lease, ...]:
        """Leases that nothing runs on and that stay ours."""
        used, leaving = {each.lease for each in self.placed}, self.leaving
        return tuple(
            lease for lease in self.market.leases if lease.id not in used and lease.id not in leaving
        )

    def seconds_of(self, trial: int, instance_type: str) -> float:
        """What a step of the trial takes on a type, seconds."""
        return self.seconds[str(trial)][self.types.index(instance_type)]


def purpose_of(trial: int) -> str:
    """The purpose of a lease that is taken for a trial."""
    return f"trial {trial}"


def trial_of(purpose: str) -> int | None:
    """The trial that a lease is for; None where it is for something else."""
    found = _PURPOSE.fullmatch(purpose)
    return None if found is None else int(found.group(1))
