"""Recorded jobs as jobs for the simulation: one stage each, a task for every GPU that the job held."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tradewind.advice.scheduling.jobs import Job, Stage
from tradewind.errors import Misuse


def recorded_jobs(
    arrivals: ArrayLike, durations: ArrayLike, gpus: ArrayLike, *, first: int = 0, count: int = 100,
    executors: int, load: float, longest: float = np.inf,
) -> tuple[Job, ...]:  # fmt: skip
    """`count` jobs from the one numbered `first`, so far apart that they load the cluster.

    `arrivals`, `durations` (seconds) and `gpus` are (n,), in order of arrival, as `data.job_traces` reads
    them. Intervals are the recorded ones times one factor, such that the jobs' work is a share `load` of what
    `executors` could do from the first arrival to the last; durations are cut off at `longest` seconds. A
    trace says nothing of stages, and GPUs that were held together are tasks that may run one by one here:
    both are assumed. Raises Misuse where there are fewer jobs, or they all came at one moment.
    """
    came, lasted = np.asarray(arrivals, np.float64), np.asarray(durations, np.float64)
    held = np.asarray(gpus, np.int64)
    if not 0 <= first < first + count <= len(came) or count < 2:
        raise Misuse(
            f"jobs {first} to {first + count - 1} of {len(came)}", source="recorded jobs", field="count",
            fix="Ask for two or more that there are.",
        )  # fmt: skip
    if not (load > 0 and longest > 0 and executors >= 1):
        raise Misuse(
            f"load {load!r}, longest {longest!r}, executors {executors!r}", source="recorded jobs",
            field="load", fix="Give numbers above 0.",
        )  # fmt: skip
    chosen = slice(first, first + count)
    seconds = np.minimum(lasted[chosen], longest)
    arrival = came[chosen] - came[first]
    if arrival[-1] <= 0:
        raise Misuse("all came at one moment", source="recorded jobs", field="arrivals", fix="Take others.")
    factor = float((seconds * held[chosen]).sum()) / (load * executors * arrival[-1])
    return tuple(
        Job(f"job-{first + at}", float(arrival[at] * factor), (Stage(int(many), (float(seconds[at]),)),))
        for at, many in enumerate(held[chosen])
    )
