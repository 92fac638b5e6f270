"""How long a task will run, from those that ended: several predictors, of which the recently best is used.

`History` follows JVuPredict (Tumanov et al., "JamaisVu: robust scheduling with auto-estimated job runtimes",
CMU-PDL-16-104, 2016), which Stratus uses (Chung et al., SoCC 2018): a task's features (user, name, what it
asks for) each point to earlier tasks; for each, a few predictors (mean, median, moving average) are kept with
their recent errors, and the one with the least error answers. A task of which no feature was seen gets the
median of all.

The others say what a simulation knows: `Injected` the truth with an error of a stated size, `Shuffled` the
run times of the same tasks dealt out anew.
"""

from __future__ import annotations

import bisect
import math
import zlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.special import ndtri

from tradewind.advice.renting.interface import Estimate
from tradewind.advice.renting.tasks import Task
from tradewind.errors import Misuse

Features = tuple[tuple[str, str], ...]

_RECENT = 20
"""Run times and errors that each predictor looks at."""
_DECAY = 0.5
"""The weight of the newest run time in the moving average."""
_UNKNOWN = 1.5
"""The spread (of the logarithm) that is believed before three errors are known."""
_FIRST = 600.0
"""Seconds believed before any task has ended."""
_FEW = 3


class PastErrors:
    """The logarithms of run time over estimate of the last tasks, and their spread."""

    def __init__(self) -> None:
        self._logs: deque[float] = deque(maxlen=10 * _RECENT)

    def add(self, believed: float, seconds: float) -> None:
        """A task ended after `seconds`, and `believed` was estimated."""
        self._logs.append(math.log(max(seconds, 1e-3) / max(believed, 1e-3)))

    @property
    def spread(self) -> float:
        """The root of the mean square; `_UNKNOWN` before three are known."""
        if len(self._logs) < _FEW:
            return _UNKNOWN
        return math.sqrt(sum(each * each for each in self._logs) / len(self._logs))


class _Past:
    """What is known of the earlier tasks that a feature points to."""

    __slots__ = ("errors", "mean", "moving", "recent")

    def __init__(self) -> None:
        self.recent: deque[float] = deque(maxlen=_RECENT)
        """Logarithms of run times."""
        self.moving = math.nan
        self.errors: tuple[deque[float], ...] = tuple(deque(maxlen=_RECENT) for _ in range(3))
        """Of the mean, the median and the moving average: recent errors of the logarithm."""

    def predictions(self) -> tuple[float, float, float]:
        logs = sorted(self.recent)
        mean = math.log(sum(map(math.exp, logs)) / len(logs))
        return mean, logs[len(logs) // 2], self.moving

    def learn(self, log: float) -> None:
        if self.recent:
            for errors, said in zip(self.errors, self.predictions(), strict=True):
                errors.append(log - said)
            self.moving += _DECAY * (log - self.moving)
        else:
            self.moving = log
        self.recent.append(log)

    def best(self) -> tuple[float, float, float]:
        """(mean absolute error, prediction, spread) of the best of the three."""
        found = []
        for errors, said in zip(self.errors, self.predictions(), strict=True):
            if len(errors) < _FEW:
                found.append((math.inf, said, _UNKNOWN))
            else:
                size = sum(map(abs, errors)) / len(errors)
                found.append((size, said, math.sqrt(sum(each * each for each in errors) / len(errors))))
        return min(found)


class History:
    """Learns from tasks that ended; see the module.

    O(features) an estimate. Beside each feature, all of a task's features together are one too.
    """

    def __init__(self) -> None:
        self._past: dict[object, _Past] = {}
        self._all: list[float] = []

    def estimate(self, task: str, features: Features) -> Estimate:
        """What is believed of a task that arrives."""
        known = [self._past[key].best() for key in _keys(features) if key in self._past]
        if known:
            error, said, spread = min(known)
            if error < math.inf:
                return Estimate(math.exp(said), spread)
        if not self._all:
            return Estimate(_FIRST, _UNKNOWN)
        middle = len(self._all) // 2
        quarter = len(self._all) // 4
        # Half of a normal law lies within 0.674 deviations of its middle.
        spread = (self._all[-1 - quarter] - self._all[quarter]) / (2 * 0.6745)
        return Estimate(math.exp(self._all[middle]), spread if len(self._all) >= 4 * _FEW else _UNKNOWN)

    def observe(self, task: str, features: Features, seconds: float) -> None:
        """A task ended after `seconds` of work."""
        log = math.log(max(seconds, 1.0))
        bisect.insort(self._all, log)
        for key in _keys(features):
            self._past.setdefault(key, _Past()).learn(log)


def _keys(features: Features) -> Iterable[object]:
    yield from features
    if len(features) > 1:
        yield features


class Injected:
    """The truth times `(1 + error) ** z`, z standard normal and a task's own: error 0 is an oracle, error 1
    is off by a factor of two in one deviation. The spread is what past errors show."""

    def __init__(self, tasks: Sequence[Task], error: float, *, seed: int = 0) -> None:
        if not 0 <= error < math.inf:
            raise Misuse(f"{error!r} is no error", field="error", fix="Give 0.3 for 30 %.")
        self._said = {task.id: task.run_time * (1 + error) ** _normal(task.id, seed) for task in tasks}
        self._errors = PastErrors()
        self._sure = not error

    def estimate(self, task: str, features: Features) -> Estimate:
        """What is believed of a task that arrives."""
        return Estimate(self._said[task], 0.0 if self._sure else self._errors.spread)

    def observe(self, task: str, features: Features, seconds: float) -> None:
        """A task ended after `seconds` of work."""
        self._errors.add(self._said[task], seconds)


class Shuffled:
    """The true run times, dealt out to the tasks by chance: what is left of a policy when its estimates say
    nothing of a single task. It passes itself off as sure, as an oracle does."""

    def __init__(self, tasks: Sequence[Task], *, seed: int = 0) -> None:
        dealt = np.random.default_rng(seed).permutation([task.run_time for task in tasks])
        self._said: Mapping[str, float] = {
            task.id: float(seconds) for task, seconds in zip(tasks, dealt, strict=True)
        }

    def estimate(self, task: str, features: Features) -> Estimate:
        """What is believed of a task that arrives."""
        return Estimate(self._said[task])

    def observe(self, task: str, features: Features, seconds: float) -> None:
        """It learns nothing."""


def _normal(name: str, seed: int) -> float:
    """A standard normal number of a task's own, bounded to three deviations."""
    drawn = np.random.default_rng([seed, zlib.crc32(name.encode())]).uniform()
    return float(np.clip(ndtri(drawn), -3.0, 3.0))
