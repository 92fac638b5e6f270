"""What the heuristics share: whom to prefer among the stages that could run."""

from __future__ import annotations

from tradewind.advice.scheduling.interface import Choice, JobView, SchedulingView


def runnable_jobs(view: SchedulingView) -> list[JobView]:
    """The jobs with a stage that could use an executor, in order of arrival."""
    return [job for job in view.jobs if job.runnable]


def fair_share(view: SchedulingView) -> int:
    """Executors of each job if all had as many, rounded up."""
    return -(-view.executors // len(view.jobs))


def at_most(job: JobView, limit: int) -> Choice:
    """The job's first runnable stage, with a limit of parallelism.

    The first in the numbering, which is a topological order: work that others wait for is begun early.
    """
    return Choice(job.number, job.runnable[0], max(1, limit))


def by_shares(view: SchedulingView, shares: dict[int, float]) -> Choice:
    """Give to the job of the free executors up to its share, or else to the one furthest below its own.

    `shares` holds executors by the number of the job. What nobody is entitled to goes to the job that is
    least above its share, one executor at a time, so that none idles while a task waits.
    """
    jobs = runnable_jobs(view)
    for job in jobs:
        if job.number == view.source and job.executors < shares[job.number]:
            return at_most(job, round(shares[job.number]))
    chosen = min(jobs, key=lambda job: (job.executors - shares[job.number], job.number))
    return at_most(chosen, max(round(shares[chosen.number]), chosen.executors + 1))
