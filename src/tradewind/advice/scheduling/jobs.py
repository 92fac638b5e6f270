"""Jobs that are graphs of stages, and what a task of a stage takes: the model of Decima's simulator.

Mao, Schwarzkopf, Venkatakrishnan, Meng and Alizadeh, "Learning scheduling algorithms for data processing
clusters", SIGCOMM 2019, sections 2 and 6.2. What a task takes depends on its wave (the first of an executor
that is new to the job, the first of an executor in the stage, any later one) and on how many executors work
on the job, for they get in each other's way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from tradewind.errors import Misuse


class Stage(Struct, frozen=True):
    """Tasks of one kind, which may run side by side once the stages before are over."""

    tasks: int
    rest: tuple[float, ...]
    """Seconds of a task that follows another of its stage on its executor, one a level of the job."""
    first: tuple[float, ...] = ()
    """Seconds of an executor's first task in the stage, one a level; as `rest` where empty."""
    fresh: tuple[float, ...] = ()
    """Seconds of the first task of an executor that is new to the job, one a level; where empty, `first`
    and the cluster's warm-up."""
    parents: tuple[int, ...] = ()
    """Numbers of the stages that must be over before; each less than the stage's own."""

    @property
    def later(self) -> tuple[float, ...]:
        """What a first task takes, whether said or not."""
        return self.first or self.rest


class Job(Struct, frozen=True):
    """A graph of stages that arrives at a moment."""

    name: str
    arrival: float
    """Seconds."""
    stages: tuple[Stage, ...]
    levels: tuple[int, ...] = (1,)
    """Ascending numbers of executors at the job for which durations are given; between them they are
    interpolated, beyond them they stay."""

    @property
    def tasks(self) -> int:
        """Of all stages."""
        return sum(stage.tasks for stage in self.stages)

    @property
    def work(self) -> float:
        """Seconds of one executor alone, were every task one of those that follow another."""
        return sum(stage.tasks * stage.rest[0] for stage in self.stages)

    @property
    def parents(self) -> tuple[tuple[int, ...], ...]:
        """By stage, the stages before it."""
        return tuple(stage.parents for stage in self.stages)

    def moved(self, arrival: float) -> Job:
        """The same job, come at another moment."""
        return Job(self.name, arrival, self.stages, self.levels)


def checked(jobs: Sequence[Job]) -> tuple[Job, ...]:
    """The jobs, if they can be run. Raises Misuse that names the job, the stage and the field."""
    if not jobs:
        raise Misuse("no job", field="jobs", fix="Give at least one.")
    for number, job in enumerate(jobs):
        source = f"job {job.name or number}"
        if not (math.isfinite(job.arrival) and job.arrival >= 0):
            raise Misuse(
                f"{job.arrival!r} is no moment", source=source, field="arrival", fix="Give seconds, from 0."
            )
        levels = job.levels
        if not levels or levels[0] < 1 or any(b <= a for a, b in pairwise(levels)):
            raise Misuse(
                f"{levels!r} does not ascend from 1 or more", source=source, field="levels",
                fix="Give the numbers of executors for which durations are known.",
            )  # fmt: skip
        if not job.stages:
            raise Misuse("no stage", source=source, field="stages", fix="Give at least one.")
        for at, stage in enumerate(job.stages):
            _check_stage(f"{source}, stage {at}", at, stage, len(levels))
    return tuple(jobs)


def _check_stage(source: str, at: int, stage: Stage, levels: int) -> None:
    if stage.tasks < 1:
        raise Misuse(f"{stage.tasks} tasks", source=source, field="tasks", fix="Give at least one.")
    for name, seconds in (("rest", stage.rest), ("first", stage.first), ("fresh", stage.fresh)):
        if len(seconds) != levels and (seconds or name == "rest"):
            raise Misuse(
                f"{len(seconds)} durations for {levels} levels", source=source, field=name,
                fix="Give one a level of the job.",
            )  # fmt: skip
        if not all(math.isfinite(each) and each > 0 for each in seconds):
            raise Misuse(f"{seconds!r}", source=source, field=name, fix="Give seconds above 0.")
    if len(set(stage.parents)) != len(stage.parents) or not all(0 <= each < at for each in stage.parents):
        raise Misuse(
            f"{stage.parents!r} are not stages before this one, each once", source=source, field="parents",
            fix="Number the stages so that each comes after those that it needs.",
        )  # fmt: skip
