"""Run times of earlier runs: what the next estimate of an equal workload goes by, and how far off it was.

`session` introduces the record of predictions, as `control.advising.RunTimes`, to training's estimate.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from tradewind.control.advising import RunTimes
from tradewind.data.prediction_log import RUN_TIME, PredictionLog
from tradewind.data.stored import StoredData
from tradewind.data.streamed import StreamedData
from tradewind.estimates.run_time import Interval
from tradewind.estimates.scale_out.run_time_model import run_time_model
from tradewind.estimates.scale_out.timings import Timings
from tradewind.estimates.tracked_error import LATEST, correction
from tradewind.session.estimation import Estimate
from tradewind.session.spec import TrainSpec

INDEX = "index.sqlite"
"""The metadata store of a folder of runs."""
_LOOKED_AT = 20 * LATEST
"""Outcomes of a workload that are looked at, on all machine types together."""


class KnownRunTimes:
    """`control.advising.RunTimes` over a log of predictions: what came of earlier runs on a machine type."""

    def __init__(self, log: PredictionLog) -> None:
        self._log = log

    def seconds(self, workload: str, machine_type: str, machines: int, rows: float) -> Interval | None:
        """By the model of run time where two cluster sizes were seen; else by the row on as many machines.

        Of a type that the workload never ran on, by the row on another one, times what that one took against
        this one in other workloads of its kind (the first word of its name).
        """
        seen = self._seen(workload)
        runs = [each for each in seen if each.machine_type == machine_type][-LATEST:]
        if not runs:
            return self._by_others(workload, seen, machine_type, machines, rows)
        if len({each.machines for each in runs}) > 1:
            timings = Timings.of(
                [each.machines for each in runs],
                [each.seconds for each in runs],
                [each.rows for each in runs],
            )
            return run_time_model(timings).seconds(machines, rows)
        if runs[0].machines != machines:
            return None
        return _by_the_row([each.per_row for each in runs]).scaled(rows)

    def _seen(self, workload: str) -> list[_Seen]:
        """What came of a workload on one machine type at a time, the latest last."""
        found = []
        for row in self._log.outcomes(RUN_TIME, workload, latest=_LOOKED_AT):
            told = row.details
            if row.came is not None and row.came > 0 and told.get("machine_type") and told["rows"] > 0:
                found.append(
                    _Seen(str(told["machine_type"]), float(told["machines"]), float(told["rows"]), row.came)
                )
        return found

    def _by_others(
        self, workload: str, seen: list[_Seen], machine_type: str, machines: int, rows: float
    ) -> Interval | None:
        own = _per_row(seen, machines)
        if not own:
            return None
        kind = workload.partition(" ")[0]
        others = [
            _per_row(self._seen(each), machines)
            for each in self._log.workloads(RUN_TIME)
            if each != workload and each.partition(" ")[0] == kind
        ]
        ratios = {
            name: [
                _middle(each[machine_type]) / _middle(each[name])
                for each in others
                if {machine_type, name} <= each.keys()
            ]
            for name in own
        }
        # by the type that most workloads ran on beside the one that is asked for
        name = max(sorted(ratios), key=lambda each: len(ratios[each]))
        if not ratios[name]:
            return None
        middle = _middle(ratios[name])
        by = _by_the_row(ratios[name]) if len(ratios[name]) > 1 else Interval(middle / 2, middle, 2 * middle)
        return _by_the_row(own[name]).times(by).scaled(rows)


class _Seen(Struct, frozen=True):
    """What a run took."""

    machine_type: str
    machines: float
    rows: float
    seconds: float

    @property
    def per_row(self) -> float:
        return self.seconds / self.rows


def _per_row(seen: list[_Seen], machines: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for each in seen:
        if each.machines == machines:
            found.setdefault(each.machine_type, []).append(each.per_row)
    return found


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _by_the_row(values: list[float]) -> Interval:
    """The middle one, between bounds by how they spread."""
    middle = _middle(values)
    around = correction([Interval(middle, middle, middle)] * len(values), values)
    return Interval(middle * around.low / around.expected, middle, middle * around.high / around.expected)


def workload_of(spec: TrainSpec, train: StoredData | StreamedData) -> str:
    """What counts as the same workload: equal learners, data of one name and width, one kind of provider."""
    told = {
        "learner": msgspec.to_builtins(spec.learner), "data": train.name,
        "features": train.schema.features, "batch": spec.batch, "parts": spec.parts,
        "consistency": spec.consistency, "staleness": spec.staleness, "provider": spec.provider.kind,
        "speed": spec.provider.speed,
    }  # fmt: skip
    text = json.dumps(told, sort_keys=True, default=str).encode()
    return f"{spec.learner.kind} {hashlib.blake2b(text, digest_size=8).hexdigest()}"


def by_earlier(told: Estimate, known: RunTimes, workload: str, rows: float) -> Estimate:
    """An estimate whose time is that of earlier runs, and its cost in proportion, where they are known.

    Only for a plan of one machine type: what a mix of types takes is not told by its parts.
    """
    if len(told.machines) != 1:
        return told
    ((machine_type, machines),) = told.machines.items()
    seconds = known.seconds(workload, machine_type, machines, rows)
    if seconds is None or not told.seconds.expected > 0:
        return told
    ratio = seconds.scaled(1 / told.seconds.expected)
    return msgspec.structs.replace(
        told, seconds=seconds, cost=_about(told.cost.expected, ratio), by_earlier_runs=True
    )


def details_of(told: Estimate, rows: float) -> Mapping[str, object]:
    """What is kept of an estimate beside its seconds; a plan of several types has no machine type."""
    one = next(iter(told.machines.items())) if len(told.machines) == 1 else ("", sum(told.machines.values()))
    return {"machine_type": one[0], "machines": one[1], "rows": rows, "by_earlier_runs": told.by_earlier_runs}


def log_of(root: Path) -> PredictionLog | None:
    """The log beside the record of runs in a folder; None where no run was recorded yet."""
    return PredictionLog(root / INDEX) if (root / INDEX).exists() else None


def _about(expected: float, ratio: Interval) -> Interval:
    return Interval(expected * ratio.low, expected * ratio.expected, expected * ratio.high)
