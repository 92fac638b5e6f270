"""What a step of each trial takes on each type of machine, as far as that was seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tradewind.estimates.step_seconds import Measured, step_seconds

_CHANGED = 0.1
"""By what share a measurement differs from the one before that is worth a decision."""


class Speeds:
    """Measurements of one study, and the completion of what was not measured (`estimates.step_seconds`)."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, int, float]] = []
        self._last: dict[tuple[str, int], float] = {}
        self._completed: tuple[object, dict[int, tuple[float, ...]], tuple[float, ...]] | None = None

    def measured(self, instance_type: str, trial: int, seconds: float) -> bool:
        """Take a measurement in; whether it is news."""
        before = self._last.get((instance_type, trial))
        self._last[instance_type, trial] = seconds
        self._seen.append((instance_type, trial, seconds))
        self._completed = None
        return before is None or abs(seconds / before - 1.0) > _CHANGED

    @property
    def types(self) -> tuple[str, ...]:
        """The types that were measured, by name."""
        return tuple(sorted({name for name, _ in self._last}))

    def of(
        self,
        vcpus: Sequence[float],
        types: Sequence[str],
        trials: Sequence[int],
        earlier: Mapping[str, float] | None = None,
    ) -> dict[int, tuple[float, ...]]:
        """Seconds a step by trial, one a type; `vcpus` are the types'.

        `earlier` says what a step took on some of the types in earlier runs: they are reckoned by that, until
        they are measured, and the others by their vCPUs in relation to them.
        """
        if not types:
            return dict.fromkeys(trials, ())
        vcpus = _sizes(vcpus, types, earlier or {})
        key = (tuple(vcpus), tuple(types))
        if self._completed is None or self._completed[0] != key:
            at = {name: index for index, name in enumerate(types)}
            known = sorted({trial for name, trial, _ in self._seen if name in at})
            column = {trial: index for index, trial in enumerate(known)}
            measured = [
                Measured(at[name], column[trial], seconds)
                for name, trial, seconds in self._seen
                if name in at
            ]
            # one column more, for those of which nothing was seen
            found = step_seconds(vcpus, len(known) + 1, measured)
            columns = [tuple(row) for row in found.T.tolist()]
            self._completed = key, dict(zip(known, columns, strict=False)), columns[-1]
        _, seen, unseen = self._completed
        return {trial: seen.get(trial, unseen) for trial in trials}


def _sizes(vcpus: Sequence[float], types: Sequence[str], earlier: Mapping[str, float]) -> Sequence[float]:
    """What stands for the sizes of machines: of those known from earlier runs, steps a second.

    Of the others their vCPUs times the steps a second that one vCPU of the known ones does in the geometric
    mean.
    """
    known = {at: 1 / earlier[name] for at, name in enumerate(types) if name in earlier}
    if not known:
        return vcpus
    each = math.exp(sum(math.log(rate / vcpus[at]) for at, rate in known.items()) / len(known))
    return [known.get(at, size * each) for at, size in enumerate(vcpus)]
