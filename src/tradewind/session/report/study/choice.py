"""What a picture of many trials shows: not all of them, and not every value at its place."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tradewind.session.report.study.data import StudyData, TrialLine


def better_sign(data: StudyData) -> float:
    """What makes the objective less where it is better: 1, or -1 for one that is maximized."""
    return -1.0 if data.direction == "maximize" else 1.0


def chosen(trials: Sequence[TrialLine], most: int, better: float, best: int | None) -> list[TrialLine]:
    """At most so many: a third the best ones, the others evenly by rank; by number."""
    if len(trials) <= most:
        return list(trials)
    ranked = sorted(
        trials,
        key=lambda each: (each.number != best, math.inf if each.last is None else better * each.last),
    )
    first = most // 3
    left = len(ranked) - first
    kept = ranked[:first] + [ranked[first + left * k // (most - first)] for k in range(most - first)]
    return sorted(kept, key=lambda each: each.number)


def fenced(values: Sequence[float], better: float) -> tuple[float, int]:
    """The loss beyond which values would press all others together, and how many lie there."""
    if not values:
        return math.inf, 0
    losses = sorted(better * value for value in values)
    quarter, three = losses[len(losses) // 4], losses[3 * len(losses) // 4]
    wide = three - quarter or abs(three) * 0.1
    fence = three + 4 * wide
    beyond = [loss for loss in losses if loss > fence]
    # Where they are many or near they belong to the picture.
    if not beyond or len(beyond) > 0.15 * len(losses) or beyond[-1] < three + 12 * wide:
        return math.inf, 0
    return fence, len(beyond)
