"""Estimates that areas ask for when they choose machines, by whoever has them.

Training's choice of a machine, tuning's placement and serving's profiles know how long something takes only
once it ran. Whoever has kept earlier runs answers these protocols, and `session` introduces the two: areas
import nothing of each other.
"""

from __future__ import annotations

from typing import Protocol

from tradewind.estimates.run_time import Interval


class RunTimes(Protocol):
    """Knows how long workloads take, as far as it has seen them.

    An answer is a function of what was recorded before the question; None says that nothing is known, and
    then the asker measures or assumes as it did before.
    """

    def seconds(self, workload: str, machine_type: str, machines: int, rows: float) -> Interval | None:
        """Seconds for `rows` rows on so many machines of a type, between bounds that hold nine in ten."""
        ...


class Feasibilities(Protocol):
    """Knows where workloads come to their end, as far as it has seen them."""

    def probability(self, workload: str, machine_type: str, machines: int, rows: float) -> float | None:
        """The probability that a run ends whole; None where nothing is known."""
        ...
