"""Estimates that areas ask for when they choose machines, by whoever has them.

Training's choice of a machine, tuning's placement and serving's profiles know how long something takes only
once it ran. Whoever has kept earlier runs answers these protocols, and `session` introduces the two: areas
import nothing of each other.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from tradewind.estimates.run_time import Interval

DOUBTED = 0.5
"""The probability of a whole run below which a machine is proposed only with a word about it."""
_SHORT = ("MemoryError", "OutOfMemory", "out of memory", "Cannot allocate memory", "killed by SIGKILL")
"""What is read where memory ran out: of Python, torch, kernels, and of a process that was killed for it."""


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


class Outcomes(Protocol):
    """Keeps what came, beside what had been expected: by that it is known how far to believe the next answer.

    1. `expected` is what the asker went by before; None where it had nothing, and then nobody is judged.
    2. Whoever answers the two protocols above may go by what is kept here from the next question on.
    3. What cannot be kept at the moment is left out: no work ever ends for want of its record.
    """

    def took(
        self, workload: str, machine_type: str, machines: int, rows: float, seconds: float,
        expected: Interval | None,
    ) -> None:  # fmt: skip
        """`rows` rows took so many seconds."""
        ...

    def ended(
        self, workload: str, machine_type: str, machines: int, rows: float, whole: bool,
        expected: float | None,
    ) -> None:  # fmt: skip
        """A run ended whole, or for want of something of the machine's, such as memory or time."""
        ...


class Advised(Struct, frozen=True):
    """Who is asked about one workload, and who is told what came."""

    workload: str
    run_times: RunTimes
    feasibilities: Feasibilities
    outcomes: Outcomes


def short_of_memory(reason: str) -> bool:
    """Whether the words with which something broke say that memory ran out.

    A kill that nobody had announced counts: it is how systems take memory back.

    >>> short_of_memory("MemoryError: "), short_of_memory("ValueError: no such column")
    (True, False)
    """
    return any(words.lower() in reason.lower() for words in _SHORT)
