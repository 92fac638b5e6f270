"""When a report takes a trial past a step, and what its loss counts for there."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from tradewind.errors import Misuse
from tradewind.tuning.trial import Trial


def reached(trial: Trial) -> int:
    """The furthest step that a trial has reported; 0 before any."""
    return max(trial.steps, default=0)


def crossed(trial: Trial, step: int) -> bool:
    """Whether the trial's last report is the first at or beyond `step`."""
    return bool(trial.steps) and trial.steps[-1] >= step > max(trial.steps[:-1], default=0)


def own(trials: Iterable[Trial]) -> list[Trial]:
    """The study's own trials by their number: their order of arrival is lost on purpose."""
    return sorted((each for each in trials if not each.foreign), key=lambda each: each.number)


def loss_by(trial: Trial, step: int) -> float:
    """The last loss at or before `step`, or else the first; infinite for nan, or where there is none."""
    loss = trial.loss_at(step)
    if loss is None and trial.losses:
        loss = trial.losses[0]
    return math.inf if loss is None or math.isnan(loss) else loss


def curve_until(trial: Trial, step: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Steps and losses at or before `step`, or else the first of them."""
    last = max(1, bisect_right(trial.steps, step))
    return trial.steps[:last], trial.losses[:last]


def checked_steps(max_steps: int, source: str) -> int:
    """`max_steps` as it is; Misuse unless it is a whole number of 1 or more."""
    if isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 1:
        raise Misuse(
            f"{max_steps!r} is no number of steps", source=source, field="max_steps", fix="Give 1 or more."
        )
    return max_steps


def checked_count(value: int, least: int, source: str, field: str) -> int:
    """A count as it is; Misuse if it is below `least` or not whole."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise Misuse(f"{value!r} is too few", source=source, field=field, fix=f"Give {least} or more.")
    return value


def checked_share(value: float, source: str, field: str, *, zero: bool = False) -> float:
    """A share as it is; Misuse unless it is above 0 (or 0, where `zero` allows) and at most 1."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    number = float(value) if real else math.nan
    if not (0 < number <= 1 or (zero and number == 0)):
        raise Misuse(f"{value!r} is no share", source=source, field=field, fix="Give 0.4 for 40 %.")
    return number


def least_first(losses: Sequence[float]) -> list[int]:
    """The places from the least loss to the greatest; nan and infinity last, the first of equals first."""
    keys = [(math.inf if math.isnan(loss) else loss, at) for at, loss in enumerate(losses)]
    return [at for _, at in sorted(keys)]
