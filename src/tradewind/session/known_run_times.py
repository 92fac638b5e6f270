"""Run times of earlier runs: what the next estimate of an equal workload goes by, and how far off it was.

`session` introduces the record of predictions, as `control.advising.RunTimes`, to training's estimate.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import msgspec

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


class KnownRunTimes:
    """`control.advising.RunTimes` over a log of predictions: what came of earlier runs on a machine type."""

    def __init__(self, log: PredictionLog) -> None:
        self._log = log

    def seconds(self, workload: str, machine_type: str, machines: int, rows: float) -> Interval | None:
        """By the model of run time where two cluster sizes were seen; else by the row on as many machines."""
        runs = [
            (float(row.details["machines"]), float(row.details["rows"]), row.came)
            for row in self._log.rows(RUN_TIME, workload, latest=LATEST)
            if row.details.get("machine_type") == machine_type and row.came is not None and row.came > 0
        ]
        if not runs:
            return None
        counts, sizes, came = (list(each) for each in zip(*runs, strict=True))
        if len(set(counts)) > 1:
            return run_time_model(Timings.of(counts, came, sizes)).seconds(machines, rows)
        if counts[0] != machines:
            return None
        share = sorted(rows / size * time for size, time in zip(sizes, came, strict=True))
        middle = share[len(share) // 2]
        around = correction([Interval(middle, middle, middle)] * len(share), share)
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
