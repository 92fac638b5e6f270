"""The simulated cluster between two decisions: arrays of stages, jobs and executors, and how time moves them.

Compiled, for a job has a thousand tasks and a decision is asked for once in twenty. An executor's event is
the end of its task: the move to the job and the wave are fixed when the task is assigned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradewind.advice.scheduling.jobs import Job

FRESH, FIRST, REST = 0, 1, 2
"""Waves of a task: its executor is new to the job, new to the stage, or neither."""
DECIDE, OVER, STUCK = 0, 1, 2
"""What `advance` comes back with."""
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Board(NamedTuple):
    """The cluster at a moment; `advance` and `assign` alter it in place."""

    clock: Floats
    """(3,) the moment, the length of a move in seconds, and job-seconds: the time that jobs have spent in the
    cluster so far, all together."""
    counts: Ints
    """(4,) jobs that arrived, jobs that are over, runnable stages, tasks assigned."""
    arrival: Floats
    """(jobs,) ascending."""
    over: Floats
    """(jobs,) when the last task ended; infinity before."""
    stages_left: Ints
    """(jobs,)"""
    at_work: Ints
    """(jobs,) executors at work or on their way."""
    changed: NDArray[np.bool_]
    """(jobs,) since somebody set it to false."""
    first_stage: Ints
    """(jobs + 1,) where a job's stages begin."""
    job_of: Ints
    """(stages,)"""
    waiting: Ints
    """(stages,) tasks not assigned."""
    unfinished: Ints
    """(stages,) tasks not ended."""
    blocked: Ints
    """(stages,) parents not over."""
    child_at: Ints
    """(stages + 1,) where a stage's children begin in `child`."""
    child: Ints
    seconds: Floats
    """(3, stages, executors + 1) of a task by wave and executors at its job."""
    noise_at: Ints
    """(stages,) where a stage's tasks begin in `noise`."""
    noise: Floats
    """(tasks,) factors of the tasks' durations, in the order of stages and of tasks within."""
    until: Floats
    """(executors,) when the task in hand ends; infinity where there is none."""
    home: Ints
    """(executors,) the job it last worked for; -1 for none."""
    last_stage: Ints
    """(executors,)"""
    asked: NDArray[np.bool_]
    """(executors,) left idle by a decision, and nothing has happened since."""
    record: Ints
    """(tasks, 4) by task in the order of assignment: executor, job, stage within it, wave."""
    times: Floats
    """(tasks, 3) likewise: when it was assigned, began and ended."""


def board_of(jobs: Sequence[Job], executors: int, moving: float, warm_up: float, noise: Floats) -> Board:
    """The board at moment 0 for jobs in order of arrival. `noise` is (tasks,)."""
    stages = [(number, at, stage) for number, job in enumerate(jobs) for at, stage in enumerate(job.stages)]
    first = np.cumsum([0] + [len(job.stages) for job in jobs])
    tasks = np.array([stage.tasks for _, _, stage in stages], np.int64)
    children: list[list[int]] = [[] for _ in stages]
    for number, at, stage in stages:
        for parent in stage.parents:
            children[first[number] + parent].append(int(first[number]) + at)
    levels = np.arange(executors + 1)
    seconds = np.empty((3, len(stages), executors + 1))
    for row, (number, _, stage) in enumerate(stages):
        known = jobs[number].levels
        seconds[REST, row] = np.interp(levels, known, stage.rest)
        seconds[FIRST, row] = np.interp(levels, known, stage.later)
        seconds[FRESH, row] = (
            np.interp(levels, known, stage.fresh) if stage.fresh else seconds[FIRST, row] + warm_up
        )
    return Board(
        clock=np.array([0.0, moving, 0.0]),
        counts=np.zeros(4, np.int64),
        arrival=np.array([job.arrival for job in jobs]),
        over=np.full(len(jobs), np.inf),
        stages_left=np.diff(first),
        at_work=np.zeros(len(jobs), np.int64),
        changed=np.ones(len(jobs), np.bool_),
        first_stage=first.astype(np.int64),
        job_of=np.array([number for number, _, _ in stages], np.int64),
        waiting=tasks.copy(),
        unfinished=tasks.copy(),
        blocked=np.array([len(stage.parents) for _, _, stage in stages], np.int64),
        child_at=np.cumsum([0] + [len(each) for each in children]).astype(np.int64),
        child=np.array([each for some in children for each in some], np.int64),
        seconds=seconds,
        noise_at=(np.cumsum(tasks) - tasks).astype(np.int64),
        noise=noise,
        until=np.full(executors, np.inf),
        home=np.full(executors, -1, np.int64),
        last_stage=np.full(executors, -1, np.int64),
        asked=np.zeros(executors, np.bool_),
        record=np.zeros((int(tasks.sum()), 4), np.int64),
        times=np.zeros((int(tasks.sum()), 3)),
    )


def compiled(function: Any) -> Any:
    """The function compiled, with its machine code kept on disk; results are the same on every run."""
    return njit(cache=True, nogil=True)(function)


@compiled
def _begin(board: Board, executor: int, stage: int) -> None:
    """The executor takes the stage's next task, after a move if it comes from elsewhere."""
    job, moment = board.job_of[stage], board.clock[0]
    moved = board.home[executor] != job
    wave = FRESH if moved else (REST if board.last_stage[executor] == stage else FIRST)
    total = board.noise_at[stage + 1] if stage + 1 < len(board.noise_at) else len(board.noise)
    task = total - board.waiting[stage]
    board.waiting[stage] -= 1
    if board.waiting[stage] == 0:
        board.counts[2] -= 1
    board.at_work[job] += 1
    start = moment + (board.clock[1] if moved else 0.0)
    end = start + board.seconds[wave, stage, board.at_work[job]] * board.noise[task]
    board.until[executor], board.home[executor], board.last_stage[executor] = end, job, stage
    board.changed[job] = True
    row = board.counts[3]
    board.record[row, 0], board.record[row, 1] = executor, job
    board.record[row, 2], board.record[row, 3] = stage - board.first_stage[job], wave
    board.times[row, 0], board.times[row, 1], board.times[row, 2] = moment, start, end
    board.counts[3] += 1


@compiled
def _open(board: Board, stage: int) -> None:
    """The stage's parents are over and its job is here."""
    if board.waiting[stage] > 0:
        board.counts[2] += 1


@compiled
def _end(board: Board, executor: int) -> None:
    """The executor's task ends; it goes on with its stage while tasks wait there."""
    job, stage = board.home[executor], board.last_stage[executor]
    board.until[executor] = np.inf
    board.at_work[job] -= 1
    board.unfinished[stage] -= 1
    board.changed[job] = True
    if board.unfinished[stage] == 0:
        for at in range(board.child_at[stage], board.child_at[stage + 1]):
            board.blocked[board.child[at]] -= 1
            if board.blocked[board.child[at]] == 0:
                _open(board, board.child[at])
        board.stages_left[job] -= 1
        if board.stages_left[job] == 0:
            board.over[job] = board.clock[0]
            board.counts[1] += 1
    elif board.waiting[stage] > 0:
        _begin(board, executor, stage)


@compiled
def offered(board: Board) -> tuple[int, int]:
    """The job that the free executors to be assigned next come from (-1: none or over), and their number.

    They are those not yet left idle: the lowest number's and all others of the same home.
    """
    source, free = -1, 0
    for executor in range(len(board.until)):
        if board.until[executor] == np.inf and not board.asked[executor]:
            home = board.home[executor]
            if home >= 0 and board.stages_left[home] == 0:
                home = -1
            if free == 0:
                source = home
            if home == source:
                free += 1
    return source, free


@compiled
def advance(board: Board) -> int:
    """Let time pass until a decision is owed (DECIDE), all jobs are over, or nothing will happen (STUCK)."""
    jobs = len(board.arrival)
    while True:
        if board.counts[2] > 0:
            for executor in range(len(board.until)):
                if board.until[executor] == np.inf and not board.asked[executor]:
                    return DECIDE
        if board.counts[1] == jobs:
            return OVER
        moment = board.arrival[board.counts[0]] if board.counts[0] < jobs else np.inf
        for executor in range(len(board.until)):
            moment = min(moment, board.until[executor])
        if moment == np.inf:
            return STUCK
        board.clock[2] += (board.counts[0] - board.counts[1]) * (moment - board.clock[0])
        board.clock[0] = moment
        board.asked[:] = False
        for executor in range(len(board.until)):
            if board.until[executor] == moment:
                _end(board, executor)
        while board.counts[0] < jobs and board.arrival[board.counts[0]] == moment:
            job = board.counts[0]
            board.counts[0] += 1
            for stage in range(board.first_stage[job], board.first_stage[job + 1]):
                if board.blocked[stage] == 0:
                    _open(board, stage)


@compiled
def assign(board: Board, job: int, stage: int, limit: int) -> int:
    """Send free executors of the home offered to the stage (its number in the job); how many went."""
    at, sent = board.first_stage[job] + stage, 0
    source, _ = offered(board)
    for executor in range(len(board.until)):
        if board.waiting[at] == 0 or (sent > 0 and board.at_work[job] >= limit):
            break
        if board.until[executor] == np.inf and not board.asked[executor]:
            home = board.home[executor]
            if home >= 0 and board.stages_left[home] == 0:
                home = -1
            if home == source:
                _begin(board, executor, at)
                sent += 1
    return sent


@compiled
def leave_idle(board: Board) -> None:
    """The executors offered stay idle until something happens."""
    source, _ = offered(board)
    for executor in range(len(board.until)):
        if board.until[executor] == np.inf and not board.asked[executor]:
            home = board.home[executor]
            if home >= 0 and board.stages_left[home] == 0:
                home = -1
            if home == source:
                board.asked[executor] = True
