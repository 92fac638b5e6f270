"""Where earlier runs came to their end: what is asked before a machine is chosen, and how runs are kept.

The model is that of advice on configurations, `estimates.completion`: needs of memory as thresholds. It is
introduced to training and tuning as `control.advising.Feasibilities`, and the keeper as `Outcomes`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.control.advising import DOUBTED, Advised, short_of_memory
from tradewind.data.prediction_log import FEASIBILITY, RUN_TIME, PredictionLog
from tradewind.errors import Temporary
from tradewind.estimates.completion import feasibility
from tradewind.estimates.run_time import Interval
from tradewind.estimates.tracked_error import LATEST
from tradewind.market.instances import InstanceType
from tradewind.session.estimation import Estimate
from tradewind.session.known_run_times import KnownRunTimes, by_earlier


class _Where(Struct, frozen=True):
    """What a run had."""

    machine_type: str
    machines: float
    rows: float
    vcpus: float
    memory_gib: float
    """Of one machine; 0 where it is not known."""


class KnownFeasibilities:
    """`control.advising.Feasibilities` over a log of predictions: which of a workload's runs ended whole.

    `types` are those that are sold; what a type had when it was used is in the log.
    """

    def __init__(self, log: PredictionLog, types: Iterable[InstanceType]) -> None:
        self._log, self._types = log, {each.name: each for each in types}

    def probability(self, workload: str, machine_type: str, machines: int, rows: float) -> float | None:
        """By `estimates.completion`, from the workload's latest runs; None where none of them ended.

        What a run may lack is memory: in all, of a machine, for a vCPU and for a row. Of types whose memory
        is not known only their own runs are told. Where runs of no more rows failed on as many of the same
        machines, it is no more than the share that ended whole there, one of each in mind.
        """
        seen = [
            (_where(row.details), row.came == 1)
            for row in self._log.outcomes(FEASIBILITY, workload, latest=LATEST)
        ]
        if not seen:
            return None
        asked = _where(details_at(self._types.get(machine_type), machine_type, machines, rows))
        places = list(dict.fromkeys([*(where for where, _ in seen), asked]))
        safe, kinds = _columns(places)
        believed = feasibility(safe, kinds, np.empty((0, len(places))))
        where = np.array([places.index(each) for each, _ in seen], np.int64)
        fine = np.array([whole for _, whole in seen], np.bool_)
        chance = float(np.clip(believed.given(where, fine)[places.index(asked)], 0.0, 1.0))
        here = [
            whole
            for place, whole in seen
            if (place.machine_type, place.machines) == (machine_type, machines)
            and (whole or place.rows <= rows)
        ]
        return chance if all(here) else min(chance, (sum(here) + 1) / (len(here) + 2))


class KeptOutcomes:
    """`control.advising.Outcomes` in a log of predictions."""

    def __init__(self, log: PredictionLog, types: Iterable[InstanceType]) -> None:
        self._log, self._types = log, {each.name: each for each in types}

    def took(
        self, workload: str, machine_type: str, machines: int, rows: float, seconds: float,
        expected: Interval | None,
    ) -> None:  # fmt: skip
        """Keep it, unless others write for too long."""
        details = details_at(self._types.get(machine_type), machine_type, machines, rows)
        with contextlib.suppress(Temporary):
            self._log.outcome(RUN_TIME, workload, seconds, details, expected)

    def ended(
        self, workload: str, machine_type: str, machines: int, rows: float, whole: bool,
        expected: float | None,
    ) -> None:  # fmt: skip
        """Keep it, unless others write for too long."""
        details = details_at(self._types.get(machine_type), machine_type, machines, rows)
        told = None if expected is None else Interval(expected, expected, expected)
        with contextlib.suppress(Temporary):
            self._log.outcome(FEASIBILITY, workload, float(whole), details, told)


def advised(log: PredictionLog, types: Iterable[InstanceType], workload: str) -> Advised:
    """The log as all three that an area is introduced to, about one workload."""
    shapes = tuple(types)
    return Advised(workload, KnownRunTimes(log), KnownFeasibilities(log, shapes), KeptOutcomes(log, shapes))


def details_at(kind: InstanceType | None, name: str, machines: int, rows: float) -> dict[str, Any]:
    """What is kept of where a run was; without the type's shape where nobody sells it."""
    found: dict[str, Any] = {"machine_type": name, "machines": machines, "rows": rows}
    if kind is not None:
        found |= {"vcpus": kind.resources.vcpus, "memory_gib": kind.resources.memory_gib}
    return found


def weighed(told: Estimate, known: Advised, rows: float) -> Estimate:
    """An estimate by what earlier runs took, which says how likely its run ends whole.

    Where that is doubtful, so does its plan.
    """
    told = by_earlier(told, known.run_times, known.workload, rows)
    ask = known.feasibilities.probability
    found = [ask(known.workload, name, count, rows) for name, count in told.machines.items()]
    chance = min((each for each in found if each is not None), default=None)
    if chance is None:
        return told
    plan = told.plan
    if chance < DOUBTED:
        plan += f"; by earlier runs that failed there it ends whole with probability {chance:.2f} only"
    return msgspec.structs.replace(told, feasible=chance, plan=plan)


def keep_end(known: Advised, told: Estimate, rows: float, failed: str) -> None:
    """Tell how the run of an estimate ended: whole, or broken with the words of `failed`.

    Of a plan of several types it is not told which one did it; what breaks for another reason than want of
    memory says nothing of machines.
    """
    if len(told.machines) == 1 and (not failed or short_of_memory(failed)):
        ((machine_type, machines),) = told.machines.items()
        known.outcomes.ended(known.workload, machine_type, machines, rows, not failed, told.feasible)


def _where(details: Any) -> _Where:
    return _Where(
        str(details["machine_type"]), float(details["machines"]), float(details["rows"]),
        float(details.get("vcpus", 0.0)), float(details.get("memory_gib", 0.0)),
    )  # fmt: skip


def _columns(places: list[_Where]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, 4) logarithms of what a run may lack and (n, 2) what else there is; (n, 0) where shapes lack."""
    if not all(min(each.memory_gib, each.vcpus, each.machines, each.rows) > 0 for each in places):
        return np.zeros((len(places), 0)), np.zeros((len(places), 0))
    table = np.log([[each.memory_gib, each.vcpus, each.machines, each.rows] for each in places])
    memory, vcpus, machines, rows = table.T
    safe = np.column_stack([memory + machines, memory, memory - vcpus, memory + machines - rows])
    others = np.column_stack([vcpus, machines])
    span = np.ptp(others, axis=0)
    return safe, (others - others.min(axis=0)) / np.where(span > 0, span, 1.0)
