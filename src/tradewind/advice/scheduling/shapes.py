"""Jobs made up in the shapes of TPC-H's queries on Spark.

Made up, not recorded: 2 to 18 stages of mostly 1 to 3 or 200 tasks, joined as queries join tables, seven
sizes of input with mean work from about 200 s to about 2200 s, first waves several times slower than later
ones, and tasks that slow down as more executors work on their job. The form is that of the profiles which
Decima's authors published (Mao et al., SIGCOMM 2019, section 7.2); the constants are rounded medians.
"""

from __future__ import annotations

import numpy as np

from tradewind.advice.scheduling.jobs import Job, Stage
from tradewind.errors import Misuse

LEVELS = (2, 5, 10, 20, 40, 50, 60, 80, 100)
"""Executors at the job."""
SIZES = (70.0, 120.0, 200.0, 380.0, 910.0, 1480.0, 1920.0)
"""Mean seconds of later tasks of a query's seven sizes of input, at 10 executors; first waves come on top."""
WORK = 920.0
"""Mean seconds of a job's work with ten executors at it, first waves included."""
_REST = np.array((0.83, 0.92, 1.0, 1.15, 1.55, 1.7, 1.9, 2.25, 2.6))
"""A later task's seconds by level, as a share of those at 10 executors; the next likewise of a first task."""
_FIRST = np.array((2.8, 3.0, 3.2, 3.6, 4.7, 5.1, 5.9, 6.9, 8.2))
_STAGES = (2, 4, 4, 4, 6, 6, 6, 6, 7, 7, 8, 8, 9, 9, 11, 12, 13, 14, 14, 16, 18, 18)
"""Stages of the 22 queries."""
_SPREAD = 0.6
"""Of the work of queries of one size: the standard deviation of its logarithm."""


def tpch_shaped(count: int, *, interval: float, seed: int) -> tuple[Job, ...]:
    """`count` jobs in TPC-H's shapes, that arrive one by one, `interval` seconds apart in the mean.

    Intervals are exponential and the first job comes at 0; with an interval of 0 all do. Equal arguments
    give equal jobs, and a greater count the same jobs and more. Raises Misuse for a count below 1 or an
    interval that is no duration.
    """
    if count < 1:
        raise Misuse(f"{count!r} jobs", field="count", fix="Ask for at least one.")
    if not 0 <= interval < np.inf:
        raise Misuse(f"{interval!r} is no duration", field="interval", fix="Give seconds, from 0.")
    rng = np.random.default_rng([seed, 0x7C])
    jobs, moment = [], 0.0
    for number in range(count):
        if number:
            moment += float(rng.exponential(interval)) if interval else 0.0
        jobs.append(_query(f"query-{number}", moment, rng))
    return tuple(jobs)


def interval_for(load: float, executors: int) -> float:
    """Seconds between jobs at which their work keeps a share `load` of the executors busy in the mean.

    The work is that with ten executors at a job: more of them on each take longer, and the cluster is busier.
    Raises Misuse for a load that is not above 0 or fewer than one executor.
    """
    if not load > 0 or executors < 1:
        raise Misuse(
            f"a load of {load!r} on {executors!r} executors", field="load",
            fix="Give a share above 0 and at least one executor.",
        )  # fmt: skip
    return WORK / (load * executors)


def _query(name: str, arrival: float, rng: np.random.Generator) -> Job:
    count = int(rng.choice(_STAGES))
    parents = _joined(count, rng)
    work = float(rng.choice(SIZES)) * float(np.exp(rng.normal(-(_SPREAD**2) / 2, _SPREAD)))
    kind = rng.random(count)
    few, many = rng.integers(1, 4, count), np.exp(rng.uniform(np.log(4.0), np.log(600.0), count))
    tasks = np.where(kind < 0.25, few, np.where(kind < 0.85, 200, many.astype(np.int64)))
    # Tasks of small stages are longer, and so a stage's work is spread less than its tasks are.
    share = np.sqrt(tasks) * np.exp(rng.normal(0.0, 0.8, count))
    seconds = work * share / share.sum() / tasks
    stages = tuple(
        Stage(
            int(tasks[at]),
            rest=tuple((seconds[at] * _REST).tolist()),
            first=tuple((seconds[at] * _FIRST).tolist()),
            parents=parents[at],
        )
        for at in range(count)
    )
    return Job(name, arrival, stages, LEVELS)


def _joined(count: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """By stage, its parents: scans, steps on one result and joins of two, with one result at the end."""
    open_ends: list[int] = []
    parents: list[tuple[int, ...]] = []
    for at in range(count):
        left = count - at
        if open_ends and len(open_ends) - 1 >= left:
            taken = 2
        elif not open_ends or (len(open_ends) < left and rng.random() < 0.4):
            taken = 0
        else:
            taken = 1 + int(len(open_ends) > 1 and rng.random() < 0.5)
        chosen = sorted(open_ends.pop(int(rng.integers(len(open_ends)))) for _ in range(taken))
        parents.append(tuple(chosen))
        open_ends.append(at)
    return parents
