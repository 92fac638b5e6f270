"""The laws of schedulers: what must hold of every choice in any view, and of every run.

A test class of `SchedulerLaws` with a `scheduler` of its own runs them all; hypothesis makes the jobs up.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tradewind.advice.scheduling.estimation_errors import RunTimeErrors
from tradewind.advice.scheduling.interface import Scheduler, SchedulingView
from tradewind.advice.scheduling.jobs import Job, Stage
from tradewind.advice.scheduling.simulation import Cluster, Outcome, Simulation, simulate

LAW = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
NUMBERS = st.integers(0, 2**20)
_decoder = msgspec.json.Decoder(SchedulingView)


def jobs_of(number: int) -> tuple[Job, ...]:
    """The jobs of this number: one or several, chains, forks and joins, long tasks and short."""
    drawn = random.Random(number)
    jobs, moment = [], 0.0
    for name in range(drawn.choice((1, 2, 5, 9))):
        stages = []
        for at in range(drawn.choice((1, 2, 3, 7))):
            parents = tuple(sorted(drawn.sample(range(at), drawn.randint(0, min(at, 3)))))
            seconds = drawn.choice((0.05, 1.0, 30.0)) * (0.5 + drawn.random())
            first = (2 * seconds, 3 * seconds) if drawn.random() < 0.5 else ()
            fresh = (5 * seconds, 6 * seconds) if drawn.random() < 0.3 else ()
            stages.append(Stage(drawn.choice((1, 2, 9, 40)), (seconds, 1.5 * seconds), first, fresh, parents))
        jobs.append(Job(f"job-{name}", moment, tuple(stages), (1, 8)))
        moment += drawn.choice((0.0, drawn.uniform(0, 100)))
    return tuple(jobs)


def cluster_of(number: int) -> Cluster:
    """The cluster of this number, of one executor or of up to 40."""
    drawn = random.Random(number)
    return Cluster(
        drawn.choice((1, 2, 7, 40)),
        drawn.choice((0.0, 2.0)),
        drawn.choice((0.0, 1.0)),
        drawn.choice((0.0, 0.3)),
    )


def check_outcome(outcome: Outcome, jobs: tuple[Job, ...], cluster: Cluster) -> None:
    """Work is conserved, parents come first, nobody does two things at once, and time adds up."""
    lines = outcome.timeline
    ran = np.zeros((len(jobs), max(len(job.stages) for job in jobs)), np.int64)
    np.add.at(ran, (lines.job, lines.stage), 1)
    for number, job in enumerate(jobs):
        assert ran[number, : len(job.stages)].tolist() == [stage.tasks for stage in job.stages]
        own = lines.job == number
        assert (lines.assigned[own] >= job.arrival).all()
        assert outcome.completions[number] == lines.end[own].max()
        for at, stage in enumerate(job.stages):
            for parent in stage.parents:
                over = lines.end[own & (lines.stage == parent)].max()
                assert lines.assigned[own & (lines.stage == at)].min() >= over
    assert (lines.assigned <= lines.start).all() and (lines.start < lines.end).all()
    for executor in range(cluster.executors):
        own = np.flatnonzero(lines.executor == executor)
        assert (lines.assigned[own][1:] >= lines.end[own][:-1]).all()
    parts = outcome.timeline.parts(cluster.executors, outcome.makespan)
    assert min(each.min() for each in parts.values()) >= -1e-6
    assert np.allclose(sum(parts.values()), outcome.makespan)


class SchedulerLaws:
    """Subclass it and return a scheduler from `scheduler`; each law is a test."""

    def scheduler(self) -> Scheduler:
        """The scheduler under test, made anew."""
        raise NotImplementedError

    @given(number=NUMBERS)
    @LAW
    def test_runs_end_and_conserve_work(self, number: int) -> None:
        """Every run ends with all tasks done once, each after its parents."""
        jobs, cluster = jobs_of(number), cluster_of(number)
        check_outcome(simulate(self.scheduler(), jobs, cluster, number), jobs, cluster)

    @given(number=NUMBERS)
    @LAW
    def test_choices_are_possible_and_follow_from_the_view(self, number: int) -> None:
        """A choice names a runnable stage and a limit from 1, and a copy of the view gets the same."""
        scheduler, another = self.scheduler(), self.scheduler()
        run = Simulation(jobs_of(number), cluster_of(number), number, RunTimeErrors(1.0))
        views: list[tuple[SchedulingView, Any]] = []
        while run.advance():
            view = run.view()
            choice = scheduler.choose(view)
            if choice is not None:
                job = next(each for each in view.jobs if each.number == choice.job)
                assert choice.stage in job.runnable and choice.limit >= 1
            if len(views) < 50:
                views.append((view, choice))
            run.apply(choice)
        for view, choice in reversed(views):
            same = _decoder.decode(msgspec.json.encode(view))
            assert another.choose(same) == scheduler.choose(same) == choice

    @given(number=NUMBERS)
    @LAW
    def test_equal_runs_are_equal(self, number: int) -> None:
        """The same jobs and seed give the same timeline."""
        one, two = (
            simulate(self.scheduler(), jobs_of(number), cluster_of(number), number, RunTimeErrors(0.3))
            for _ in range(2)
        )
        assert one.timeline.end.tobytes() == two.timeline.end.tobytes()
        assert one.timeline.executor.tobytes() == two.timeline.executor.tobytes()
