"""The same number of executors for each job: Spark's fair scheduler.

The baseline of Mao et al., SIGCOMM 2019, section 7.1 (2).
"""

from __future__ import annotations

from msgspec import Struct

from tradewind.advice.scheduling.interface import Choice, SchedulingView
from tradewind.advice.scheduling.ordering import by_shares, fair_share


class Fair(Struct, frozen=True):
    """Executors go to the job that is furthest below an equal share, and stay with a job below its share."""

    name: str = "fair"

    def choose(self, view: SchedulingView) -> Choice | None:
        """The free executors' own job up to its share, or the job that has least."""
        share = float(fair_share(view))
        return by_shares(view, {job.number: share for job in view.jobs})
