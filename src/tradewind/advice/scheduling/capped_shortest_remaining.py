"""The job with the least work left goes first, up to a multiple of its fair share of the executors.

Between shortest-remaining-work and fair: where parallelism has diminishing returns, executors above the cap
do more for the next job.
"""

from __future__ import annotations

from msgspec import Struct

from tradewind.advice.scheduling.interface import Choice, SchedulingView
from tradewind.advice.scheduling.ordering import at_most, fair_share, runnable_jobs
from tradewind.errors import Misuse


class CappedShortestRemaining(Struct, frozen=True):
    """Free executors to the job with the least work left that has less than `cap` fair shares.

    Where all jobs have that many, to the one with the fewest executors, so that none idles while a task
    waits.
    """

    cap: float = 2.0
    name: str = "capped_shortest_remaining"

    def __post_init__(self) -> None:
        if not self.cap > 0:
            raise Misuse(
                f"{self.cap!r}", source="capped_shortest_remaining", field="cap", fix="Give a number above 0."
            )

    def choose(self, view: SchedulingView) -> Choice | None:
        """The shortest job below the cap, up to it."""
        most = max(1, round(self.cap * fair_share(view)))
        jobs = runnable_jobs(view)
        below = [job for job in jobs if job.executors < most]
        if below:
            return at_most(min(below, key=lambda job: (job.work, job.number)), most)
        chosen = min(jobs, key=lambda job: (job.executors, job.work, job.number))
        return at_most(chosen, chosen.executors + 1)
