"""First come, first served: Spark's default order of jobs."""

from __future__ import annotations

from msgspec import Struct

from tradewind.advice.scheduling.interface import Choice, SchedulingView
from tradewind.advice.scheduling.ordering import at_most, runnable_jobs


class Fifo(Struct, frozen=True):
    """All free executors to the job that came first among those with a runnable stage."""

    name: str = "fifo"

    def choose(self, view: SchedulingView) -> Choice | None:
        """The first job's first stage, without a limit."""
        return at_most(runnable_jobs(view)[0], view.executors)
