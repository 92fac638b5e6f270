"""Which workers hang: their batch takes far longer than any batch of the job has, and all others wait for it.

A task can live and do nothing, on an instance that answers: a read that never returns, a process that was
stopped. It is ended then, and its worker hosted anew. Who was suspected once gets twice the time, so that a
batch that is only long is done at last.
"""

from __future__ import annotations

from collections.abc import Mapping

LEAST = 60.0
"""Seconds that any batch may take: the first of a host compiles and imports."""
TIMES = 20.0
"""How many times as long as the longest batch so far one may take."""


class Stalls:
    """Watches the clocks of the workers that others may wait for."""

    def __init__(self, least: float = LEAST, times: float = TIMES) -> None:
        self._least, self._times = least, times
        self._patience = 1.0
        self._longest = 0.0
        self._begun: dict[str, tuple[int, float]] = {}
        """By task, the clock of the worker that it hosts, and the moment at which that was first seen."""

    @property
    def bound(self) -> float:
        """Seconds after which a batch is taken to hang."""
        return self._patience * max(self._least, self._times * self._longest)

    def look(self, at_work: Mapping[str, int], now: float) -> list[str]:
        """The tasks to be ended.

        `at_work` gives the clock of each task's worker, of those that are in a batch; `now` is in seconds.
        Only who is furthest behind is suspected: the others may be waiting for it.
        """
        for task, (clock, since) in list(self._begun.items()):
            if at_work.get(task) != clock:
                self._longest = max(self._longest, now - since)
                del self._begun[task]
        for task, clock in at_work.items():
            self._begun.setdefault(task, (clock, now))
        last = min(at_work.values(), default=0)
        hanging = [
            task for task, (clock, since) in self._begun.items() if clock == last and now - since > self.bound
        ]
        for task in hanging:
            del self._begun[task]
        if hanging:
            self._patience *= 2
        return hanging
