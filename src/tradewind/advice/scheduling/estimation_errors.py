"""Errors of run-time estimates, injected: what a scheduler believes a task takes, beside what it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from tradewind.advice.scheduling.jobs import Job
from tradewind.errors import Misuse


class RunTimeErrors(Struct, frozen=True):
    """Estimates are off by a factor of mean 1, half of it common to a job and half of each stage's own.

    The logarithm of the factor is normal with a standard deviation of `share`: at 0.3 two estimates in three
    are off by less than 30 %, at 1.0 by less than a factor of e. At 0 estimates are exact but for chance
    and the effect of parallelism.
    """

    share: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.share < math.inf:
            raise Misuse(
                f"{self.share!r}", source="run-time errors", field="share", fix="Give a share from 0."
            )

    def estimates(self, jobs: Sequence[Job], rng: np.random.Generator) -> list[tuple[float, ...]]:
        """By job and stage, the seconds of a task as a scheduler is told, at the job's lowest level."""
        told = []
        for job in jobs:
            common, own = rng.standard_normal(), rng.standard_normal(len(job.stages))
            factor = np.exp(self.share * (common + own) / math.sqrt(2.0) - self.share**2 / 2)
            true = np.array([stage.rest[0] for stage in job.stages])
            told.append(tuple((true * factor).tolist()))
        return told
