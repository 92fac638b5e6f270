"""What earlier runs say of the types of machines that a study may use, and what this one adds to them.

Asked once of a type, so that what is believed changes within a study only by what the study itself sees.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from tradewind.control.advising import DOUBTED, Advised, short_of_memory
from tradewind.errors import Temporary
from tradewind.estimates.run_time import Interval

_MACHINES, _ROWS = 1, 1.0
"""A trial runs on one machine, and a step is what is counted."""


class EarlierRuns:
    """Asks and tells for one drive of a study; without `advised` it knows nothing and tells nobody."""

    def __init__(self, advised: Advised | None = None) -> None:
        self._advised = advised
        self._seconds: dict[str, Interval | None] = {}
        self._chances: dict[str, float | None] = {}
        self._ended: set[str] = set()
        """Types of which it is on record that a trial ended whole there."""

    def seconds(self, instance_type: str) -> Interval | None:
        """What a step takes on a type, by earlier runs; None where they do not tell."""
        if self._advised is not None and instance_type not in self._seconds:
            self._seconds[instance_type] = None
            with contextlib.suppress(Temporary):  # what cannot be read now is not known in this drive
                ask = self._advised.run_times.seconds
                self._seconds[instance_type] = ask(self._advised.workload, instance_type, _MACHINES, _ROWS)
        return self._seconds.get(instance_type)

    def foretold(self, types: Iterable[str]) -> dict[str, float]:
        """Seconds of a step on those of the types of which earlier runs tell."""
        found = ((name, self.seconds(name)) for name in types)
        return {name: each.expected for name, each in found if each is not None}

    def doubted(self, types: Iterable[str]) -> dict[str, float]:
        """Those of the types on which a trial is believed rather to fail, with the chance that it ends."""
        found = ((name, self._chance(name)) for name in types)
        return {name: chance for name, chance in found if chance is not None and chance < DOUBTED}

    def timed(self, instance_type: str, seconds: float) -> None:
        """A step was timed on a type, for the first time in this drive."""
        if self._advised is not None:
            expected = self.seconds(instance_type)
            self._advised.outcomes.took(
                self._advised.workload, instance_type, _MACHINES, _ROWS, seconds, expected
            )

    def ended(self, instance_type: str, failed: str) -> bool:
        """A trial ended on a type, whole where `failed` is empty; whether that changes what is believed.

        Only failures for want of memory speak against a machine: what else breaks would break elsewhere.
        """
        if self._advised is None or (failed and not short_of_memory(failed)):
            return False
        if not failed and instance_type in self._ended:
            return False  # one says what all the others would
        expected = self._chance(instance_type)
        self._advised.outcomes.ended(
            self._advised.workload, instance_type, _MACHINES, _ROWS, not failed, expected
        )
        if not failed:
            self._ended.add(instance_type)
        self._chances.clear()
        return True

    def _chance(self, instance_type: str) -> float | None:
        if self._advised is not None and instance_type not in self._chances:
            self._chances[instance_type] = None
            with contextlib.suppress(Temporary):
                ask = self._advised.feasibilities.probability
                self._chances[instance_type] = ask(self._advised.workload, instance_type, _MACHINES, _ROWS)
        return self._chances.get(instance_type)
