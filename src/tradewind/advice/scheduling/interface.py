"""The seam between a cluster whose executors run stages of jobs, and the schedulers that assign them."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

from msgspec import Struct


class JobView(Struct, frozen=True, dict=True):
    """What a scheduler may know of a job that is not over."""

    number: int
    arrival: float
    executors: int
    """At work on it, or on their way to it."""
    waiting: tuple[int, ...]
    """By stage, tasks that nobody has begun."""
    runnable: tuple[int, ...]
    """Stages with waiting tasks whose parents are over, ascending."""
    unfinished: tuple[bool, ...]
    """By stage, whether tasks are waiting or at work."""
    seconds: tuple[float, ...]
    """By stage, what a task takes, as estimated."""
    parents: tuple[tuple[int, ...], ...]
    """By stage, the stages before it."""

    @cached_property
    def work(self) -> float:
        """Seconds of one executor in the tasks that wait, as estimated."""
        return sum(tasks * each for tasks, each in zip(self.waiting, self.seconds, strict=True))

    @cached_property
    def startable(self) -> int:
        """Tasks that could begin now."""
        return sum(self.waiting[stage] for stage in self.runnable)


class SchedulingView(Struct, frozen=True):
    """What a scheduler may know when it is asked: some executors are free and some stage could use them."""

    moment: float
    executors: int
    """Of the cluster, all."""
    free: int
    """Executors to assign now, at least one; all come from `source`."""
    source: int
    """Number of the job for which the free executors last worked, which costs them no move; -1 where that
    job is over or there was none."""
    jobs: tuple[JobView, ...]
    """Those that have arrived and are not over, in order of arrival; one at least has a runnable stage."""


class Choice(Struct, frozen=True):
    """A stage to work on, and how many executors its job may have."""

    job: int
    """Its number."""
    stage: int
    limit: int
    """Free executors go to the stage until so many work on the job, or no task waits; one goes in any
    case."""


class Scheduler(Protocol):
    """Decides where free executors go.

    1. `choose` is pure: equal views give equal answers.
    2. It names a runnable stage of a job in the view and a limit of at least 1, or None to leave the free
       executors idle until something happens. A scheduler that leaves all executors idle although nothing
       will happen any more has failed.
    3. It is asked again while executors are free, with those that are left.
    """

    @property
    def name(self) -> str:
        """A word or two, in reports."""
        ...

    def choose(self, view: SchedulingView) -> Choice | None:
        """Where the free executors go."""
        ...
