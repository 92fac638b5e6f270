"""Jobs, executors and a scheduler in simulated time: the model of Decima's simulator, without its defects.

Mao et al., SIGCOMM 2019, section 6.2: executors are slots that run one task at a time and go on with their
stage while tasks wait there; a decision is owed when executors are free and a stage is runnable; an executor
takes a while to move to another job, is slower on its first task there and on its first in a stage; tasks
slow down with the executors at their job. All chance comes from the seed: a task's luck belongs to the task,
so that two schedulers meet the same. Simulated are the machines and the work; schedulers are the real ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.advice.scheduling import board as boards
from tradewind.advice.scheduling.estimation_errors import RunTimeErrors
from tradewind.advice.scheduling.interface import Choice, JobView, Scheduler, SchedulingView
from tradewind.advice.scheduling.jobs import Job, checked
from tradewind.errors import Misuse


class Cluster(Struct, frozen=True):
    """Executors, and what it costs to use them."""

    executors: int
    moving: float = 2.0
    """Seconds that an executor takes to another job."""
    warm_up: float = 1.0
    """Seconds that its first task there takes longer, where the job does not say."""
    spread: float = 0.3
    """Standard deviation of the logarithm of a task's duration around its stage's, whose mean it keeps."""

    def __post_init__(self) -> None:
        if self.executors < 1:
            raise Misuse(f"{self.executors!r}", source="cluster", field="executors", fix="Have at least one.")
        for name in ("moving", "warm_up", "spread"):
            if not 0 <= getattr(self, name) < math.inf:
                raise Misuse(
                    f"{getattr(self, name)!r}", source="cluster", field=name, fix="Give a number from 0."
                )


class Timeline(Struct, frozen=True, eq=False):
    """What executors did, one row a task, in order of assignment."""

    executor: NDArray[np.int64]
    job: NDArray[np.int64]
    stage: NDArray[np.int64]
    """Number within its job."""
    wave: NDArray[np.int64]
    """0 where the executor was new to the job, 1 to the stage, 2 otherwise."""
    assigned: NDArray[np.float64]
    """When the executor set out; it moves until `start`."""
    start: NDArray[np.float64]
    end: NDArray[np.float64]

    def parts(self, executors: int, whole: float) -> dict[str, NDArray[np.float64]]:
        """(executors,) seconds each was `moving`, `working` and `idle` up to `whole`; they add up to it."""
        moving, working = np.zeros(executors), np.zeros(executors)
        np.add.at(moving, self.executor, self.start - self.assigned)
        np.add.at(working, self.executor, self.end - self.start)
        return {"moving": moving, "working": working, "idle": whole - moving - working}


class Outcome(Struct, frozen=True, eq=False):
    """How a simulated run went."""

    scheduler: str
    arrivals: NDArray[np.float64]
    completions: NDArray[np.float64]
    """(jobs,) when each was over, in the order given."""
    decisions: int
    timeline: Timeline

    @property
    def times(self) -> NDArray[np.float64]:
        """(jobs,) seconds from arrival to completion."""
        return self.completions - self.arrivals

    @property
    def average(self) -> float:
        """Average job completion time, seconds."""
        return float(self.times.mean())

    @property
    def makespan(self) -> float:
        """When the last job was over."""
        return float(self.completions.max())


class Simulation:
    """A run, decision by decision: `advance`, then `view`, then `apply`, until `advance` says no.

    `jobs` are taken in order of arrival (the order given decides between equals) and numbered in it.
    """

    def __init__(
        self, jobs: Sequence[Job], cluster: Cluster, seed: int, errors: RunTimeErrors = RunTimeErrors(),  # noqa: B008
    ) -> None:  # fmt: skip
        given = checked(jobs)
        self.order = sorted(range(len(given)), key=lambda at: given[at].arrival)
        self.jobs = tuple(given[at] for at in self.order)
        self.cluster = cluster
        self._told = errors.estimates(self.jobs, np.random.default_rng([seed, 0xE57]))
        normal = np.random.default_rng([seed, 0xD0]).standard_normal(sum(job.tasks for job in self.jobs))
        noise = np.exp(cluster.spread * normal - cluster.spread**2 / 2)
        self.board = boards.board_of(self.jobs, cluster.executors, cluster.moving, cluster.warm_up, noise)
        self._parents = [job.parents for job in self.jobs]
        self._views: dict[int, JobView] = {}

    @property
    def moment(self) -> float:
        """Seconds since the start."""
        return float(self.board.clock[0])

    @property
    def job_seconds(self) -> float:
        """What jobs have spent in the cluster so far, all together: at the end, the sum of their times."""
        return float(self.board.clock[2])

    def advance(self) -> bool:
        """Let time pass until a decision is owed; False when all jobs are over.

        Raises Misuse where the scheduler left executors idle for good.
        """
        answer = boards.advance(self.board)
        if answer == boards.STUCK:
            raise Misuse(
                "all executors are left idle, jobs are not over, and nothing will happen any more",
                source="scheduler", field="choose", fix="Choose a stage while nothing is at work.",
            )  # fmt: skip
        return bool(answer == boards.DECIDE)

    def view(self) -> SchedulingView:
        """What a scheduler may know now. Views of jobs that did not change are the same objects."""
        board = self.board
        source, free = boards.offered(board)
        arrived = int(board.counts[0])
        for number in np.flatnonzero(board.changed[:arrived]).tolist():
            board.changed[number] = False
            if board.stages_left[number] == 0:
                self._views.pop(number, None)
            else:
                self._views[number] = self._job_view(number)
        jobs = tuple(self._views[number] for number in sorted(self._views))
        return SchedulingView(self.moment, self.cluster.executors, int(free), int(source), jobs)

    def _job_view(self, number: int) -> JobView:
        board = self.board
        begin, end = board.first_stage[number], board.first_stage[number + 1]
        waiting = tuple(board.waiting[begin:end].tolist())
        blocked = board.blocked[begin:end].tolist()
        return JobView(
            number,
            self.jobs[number].arrival,
            int(board.at_work[number]),
            waiting,
            tuple([at for at, tasks in enumerate(waiting) if tasks and not blocked[at]]),
            tuple([left > 0 for left in board.unfinished[begin:end].tolist()]),
            self._told[number],
            self._parents[number],
        )

    def apply(self, choice: Choice | None) -> int:
        """Carry a choice out, None leaving the free executors idle; how many executors went.

        Raises Misuse for a stage that is not runnable or a limit below 1.
        """
        if choice is None:
            boards.leave_idle(self.board)
            return 0
        job, board = choice.job, self.board
        known = 0 <= job < int(board.counts[0]) and 0 <= choice.stage < len(self.jobs[job].stages)
        at = int(board.first_stage[job]) + choice.stage if known else 0
        if not known or board.waiting[at] == 0 or board.blocked[at] > 0:
            raise Misuse(
                f"stage {choice.stage!r} of job {job!r} is not runnable", source="scheduler", field="choose",
                fix="Choose among the runnable stages of the view's jobs.",
            )  # fmt: skip
        if choice.limit < 1:
            raise Misuse(
                f"{choice.limit!r} executors", source="scheduler", field="limit", fix="Allow at least one."
            )
        return int(boards.assign(board, job, choice.stage, choice.limit))

    def outcome(self, scheduler: str, decisions: int) -> Outcome:
        """How it went, once `advance` has said no; jobs in the order in which they were given."""
        completions, arrivals = np.empty(len(self.jobs)), np.empty(len(self.jobs))
        completions[self.order], arrivals[self.order] = self.board.over, self.board.arrival
        record, times = self.board.record, self.board.times
        return Outcome(
            scheduler,
            arrivals,
            completions,
            decisions,
            Timeline(
                record[:, 0], np.array(self.order)[record[:, 1]], record[:, 2], record[:, 3],
                times[:, 0], times[:, 1], times[:, 2],
            ),
        )  # fmt: skip


def simulate(
    scheduler: Scheduler, jobs: Sequence[Job], cluster: Cluster, seed: int,
    errors: RunTimeErrors = RunTimeErrors(),  # noqa: B008
) -> Outcome:  # fmt: skip
    """Run the jobs to their end under the scheduler. Equal arguments give equal outcomes.

    Raises Misuse for jobs that cannot be run, a choice that is not possible, or a scheduler that never goes
    on.
    """
    run, decisions = Simulation(jobs, cluster, seed, errors), 0
    while run.advance():
        run.apply(scheduler.choose(run.view()))
        decisions += 1
    return run.outcome(scheduler.name, decisions)
