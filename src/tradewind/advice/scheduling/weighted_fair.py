"""Executors in proportion to a power of each job's work.

The strongest baseline of Mao et al., SIGCOMM 2019, section 7.1 (5 and 6): shares in proportion to T^alpha,
T a job's work; 0 is fair, 1 in proportion to the work, below 0 in favour of small jobs.
"""

from __future__ import annotations

import math

from msgspec import Struct

from tradewind.advice.scheduling.interface import Choice, SchedulingView
from tradewind.advice.scheduling.ordering import by_shares
from tradewind.errors import Misuse


class WeightedFair(Struct, frozen=True):
    """Shares in proportion to the work that is left to the power of `alpha`, at least one executor each."""

    alpha: float = -1.0
    name: str = "weighted_fair"

    def __post_init__(self) -> None:
        if not math.isfinite(self.alpha):
            raise Misuse(f"{self.alpha!r}", source="weighted_fair", field="alpha", fix="Give a number.")

    def choose(self, view: SchedulingView) -> Choice | None:
        """The free executors' own job up to its share, or the job that is furthest below its own."""
        weights = {job.number: max(job.work, 1e-3) ** self.alpha for job in view.jobs}
        whole = sum(weights.values())
        return by_shares(
            view, {number: max(1.0, view.executors * each / whole) for number, each in weights.items()}
        )
