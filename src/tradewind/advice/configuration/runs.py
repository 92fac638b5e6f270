"""Runs of a workload on configurations, as they were measured; and what other workloads have left."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from tradewind.market.measured_runs import DONE


class Run(Struct, frozen=True):
    """One measurement. What did not end well has burned its seconds and dollars all the same."""

    configuration: int
    """Its number in the space."""
    seconds: float
    """From start to end, however it ended."""
    dollars: float
    status: str = DONE
    """One of `tradewind.market.measured_runs.ENDS`."""
    metrics: Mapping[str, float] = msgspec.field(default_factory=dict)
    """What was seen of the machines meanwhile, by name, such as cpu_user; may be empty."""

    @property
    def whole(self) -> bool:
        """Whether it ran to its end."""
        return self.status == DONE


class Corpus(Struct, frozen=True):
    """Runs of other workloads on the same configurations: what can be learned before anything is run."""

    workloads: Mapping[str, tuple[Run, ...]] = msgspec.field(default_factory=dict)
    """By the workload's name; several runs of one configuration are repeats."""

    def without(self, *names: str) -> Corpus:
        """The same, less the workloads of these names: for instance the one that is asked about."""
        return Corpus({name: runs for name, runs in self.workloads.items() if name not in names})
