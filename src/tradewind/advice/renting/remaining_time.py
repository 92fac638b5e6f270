"""How long tasks have left, as equally likely scenarios in which each keeps its rank of luck.

A task's run time is lognormal about its estimate; given that it has run for a while and is not done, what is
left follows that law cut off there. Each task meets every stratum of its law once over the scenarios, in an
order of its own, so that tasks are independent and few scenarios do (Latin hypercube sampling, McKay, Beckman
and Conover, Technometrics 21(2), 1979).
"""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from tradewind.advice.renting.interface import Asked, Placed
from tradewind.errors import Misuse

_SURE = 1e-9


class RemainingTimes:
    """Scenarios of what tasks have left: `count` of them, drawn by `seed`."""

    def __init__(self, count: int = 32, seed: int = 0) -> None:
        if count < 1:
            raise Misuse(f"{count!r} scenarios", field="count", fix="Draw 1 or more.")
        self.count, self.seed = count, seed

    def of(self, task: Asked, age: float = 0.0) -> NDArray[np.float64]:
        """(count,) seconds that a task has left after it has worked for `age`.

        One who is sure of an estimate that has passed takes it that the task runs as long again.
        """
        seconds, spread = task.estimate.seconds, task.estimate.spread
        if spread < _SURE:
            return np.full(self.count, seconds - age if seconds > age else max(age, 1.0))
        chances = _chances(task.id, self.count, self.seed)
        if age > 0:
            chances = chances * ndtr(-np.log(age / seconds) / spread)
        left = seconds * np.exp(-spread * ndtri(np.maximum(chances, 1e-300))) - age
        found: NDArray[np.float64] = np.maximum(left, 0.0)
        return found

    def of_placed(self, placed: Placed, ready: float, now: float) -> NDArray[np.float64]:
        """(count,) seconds until a placed task ends, on an instance that is ready at `ready`."""
        left = self.of(placed.task, placed.age(now))
        start = placed.started if placed.started < np.inf else max(ready, now)
        return left + max(0.0, start - now)


@lru_cache(maxsize=8192)
def _chances(name: str, count: int, seed: int) -> NDArray[np.float64]:
    """A task's strata, in its order; never altered."""
    order = np.random.default_rng([seed, zlib.crc32(name.encode())]).permutation(count)
    chances: NDArray[np.float64] = (order + 0.5) / count
    chances.setflags(write=False)
    return chances
