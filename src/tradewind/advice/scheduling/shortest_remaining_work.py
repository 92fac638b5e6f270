"""The job with the least work left goes first.

Schrage, "A proof of the optimality of the shortest remaining processing time discipline", Operations Research
16(3), 1968: the least mean time on one machine. On many executors it gives one job more of them than it can
use well; see `capped_shortest_remaining`.
"""

from __future__ import annotations

from msgspec import Struct

from tradewind.advice.scheduling.interface import Choice, SchedulingView
from tradewind.advice.scheduling.ordering import at_most, runnable_jobs


class ShortestRemainingWork(Struct, frozen=True):
    """All free executors to the job with the least work left, as estimated."""

    name: str = "shortest_remaining_work"

    def choose(self, view: SchedulingView) -> Choice | None:
        """The shortest job's first stage, without a limit."""
        job = min(runnable_jobs(view), key=lambda each: (each.work, each.number))
        return at_most(job, view.executors)
