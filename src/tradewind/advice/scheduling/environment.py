"""The simulated cluster as a Gymnasium environment, for those who train a scheduler of their own.

Needs the package gymnasium, which the extra `tuning` brings. An episode is a stream of jobs; a step is a
decision; the reward is minus the seconds that jobs spend in the cluster until the next, so that the rewards
of an episode add up to minus the sum of its completion times (Mao et al., SIGCOMM 2019, section 5.3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.advice.scheduling.estimation_errors import RunTimeErrors
from tradewind.advice.scheduling.interface import Choice, JobView, SchedulingView
from tradewind.advice.scheduling.jobs import Job
from tradewind.advice.scheduling.shapes import interval_for, tpch_shaped
from tradewind.advice.scheduling.simulation import Cluster, Simulation
from tradewind.errors import MissingExtra, Misuse

try:
    import gymnasium
    from gymnasium import spaces
except ImportError:
    raise MissingExtra("gymnasium", "tuning", "the scheduling environment") from None

COLUMNS = (
    "the job's work left, per executor of the cluster, seconds",
    "the stage's work left, likewise",
    "tasks waiting in the stage, per executor",
    "seconds of a task, as estimated",
    "executors at the job, as a share of the cluster's",
    "whether the free executors are the job's own",
    "free executors, as a share of the cluster's",
    "seconds since the job came",
)
"""What a row of an observation says of a runnable stage."""
_MOST = 1e9
"""Of any number in an observation; what is more is cut off."""
Observation = dict[str, NDArray[Any]]


class SchedulingEnvironment(gymnasium.Env[Observation, NDArray[np.int64]]):
    """Choose a stage and a limit of parallelism at each decision.

    An observation has `stages`, (most, 8) float32, a row for each runnable stage in order of arrival of its
    job (the first `most` of them), see COLUMNS, rows of zeros after them; and `mask`, (most,) int8, 1 where
    a row is a stage. An action is a row and one less than the executors to send; a row without a stage
    stands for one with (the remainder after division by their number), and more executors than are free or
    find a task for as many as do. `info["view"]` is the whole view, graphs included. A policy's own chance
    aside, `reset(seed=...)` decides everything.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self, cluster: Cluster = Cluster(10), *, jobs: int = 20, load: float = 0.85, most: int = 64,  # noqa: B008
        errors: RunTimeErrors = RunTimeErrors(),  # noqa: B008
        streams: Callable[[int], tuple[Job, ...]] | None = None,
    ) -> None:  # fmt: skip
        """`streams` makes the jobs of an episode from a number; if not given, they are made up in TPC-H's
        shapes at the load given."""
        if most < 1:
            raise Misuse(f"{most!r} rows", source="environment", field="most", fix="Have at least one.")
        interval = interval_for(load, cluster.executors)
        self._streams = streams or (lambda seed: tpch_shaped(jobs, interval=interval, seed=seed))
        self._cluster, self._errors, self._most = cluster, errors, most
        self.observation_space = spaces.Dict(  # type: ignore[assignment]
            {
                "stages": spaces.Box(0.0, _MOST, (most, len(COLUMNS)), np.float32),
                "mask": spaces.MultiBinary(most),
            }
        )
        self.action_space = spaces.MultiDiscrete([most, cluster.executors])
        self._run: Simulation | None = None
        self._candidates: list[tuple[JobView, int]] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """A new stream of jobs, at the first decision."""
        super().reset(seed=seed)
        number = int(self.np_random.integers(2**32))
        self._run = Simulation(self._streams(number), self._cluster, number, self._errors)
        self._run.advance()
        return self._observed(self._run.view())

    def step(self, action: NDArray[np.int64]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Carry an action out, and go on to the next decision; over when all jobs are."""
        if self._run is None or not self._candidates:
            raise Misuse("the episode is over", source="environment", field="step", fix="Call reset first.")
        if not self.action_space.contains(np.asarray(action, np.int64)):
            raise Misuse(
                f"{action!r} is no action", source="environment", field="action",
                fix=f"Give a row and executors within {self.action_space}.",
            )  # fmt: skip
        row, more = (int(each) for each in action)
        job, stage = self._candidates[row % len(self._candidates)]
        before = self._run.job_seconds
        self._run.apply(Choice(job.number, stage, job.executors + 1 + more))
        going = self._run.advance()
        if going:
            observation, info = self._observed(self._run.view())
        else:
            self._candidates = []
            observation, info = self._empty(), {}
        return observation, before - self._run.job_seconds, not going, False, info

    def _empty(self) -> Observation:
        return {
            "stages": np.zeros((self._most, len(COLUMNS)), np.float32),
            "mask": np.zeros(self._most, np.int8),
        }

    def _observed(self, view: SchedulingView) -> tuple[Observation, dict[str, Any]]:
        self._candidates = [(job, stage) for job in view.jobs for stage in job.runnable][: self._most]
        observation = self._empty()
        rows = observation["stages"]
        for at, (job, stage) in enumerate(self._candidates):
            rows[at] = (
                job.work / view.executors,
                job.waiting[stage] * job.seconds[stage] / view.executors,
                job.waiting[stage] / view.executors,
                job.seconds[stage],
                job.executors / view.executors,
                float(job.number == view.source),
                view.free / view.executors,
                view.moment - job.arrival,
            )
        np.minimum(rows, _MOST, out=rows)
        observation["mask"][: len(self._candidates)] = 1
        return observation, {"view": view}
