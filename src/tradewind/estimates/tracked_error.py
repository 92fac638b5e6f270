"""How well what was predicted agreed with what came, over the latest predictions of a kind.

Run times are judged by ratios: the mean absolute percentage error (of what came), and by how much what came
was above what was expected in the geometric mean. Probabilities are judged by Brier's score ("Verification
of forecasts expressed in terms of probability", Monthly Weather Review 78(1), 1950) and by how far they are
above the share that came true.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from tradewind.errors import Misuse
from tradewind.estimates.run_time import Interval

LATEST = 20
"""Outcomes that are looked at: what is older tells of machines and releases that are gone."""
_PRIOR = 0.25
"""Standard deviation that a logarithm of a ratio is believed to have before any came."""


class TrackedError(Struct, frozen=True):
    """Of n predictions whose outcome is known."""

    count: int
    error: float
    """Mean absolute percentage error of run times, as a share; Brier's score of probabilities."""
    bias: float
    """Share by which what came was above what was expected; for probabilities, theirs less what came true."""
    covered: float
    """The share of outcomes that lay within the bounds that were given."""


def ratio_error(expected: Sequence[Interval], came: Sequence[float]) -> TrackedError | None:
    """Of run times, the latest last; None without any. Misuse on unequal lengths and what is not above 0."""
    pairs = _latest(expected, came)
    if not pairs:
        return None
    if any(not (each.expected > 0 and value > 0) for each, value in pairs):
        raise Misuse("a ratio is of numbers above 0", source="predictions", field="came", fix="Mend it.")
    errors = [abs(each.expected - value) / value for each, value in pairs]
    logs = [math.log(value / each.expected) for each, value in pairs]
    covered = [each.covers(value) for each, value in pairs]
    return TrackedError(
        len(pairs), float(np.mean(errors)), math.expm1(float(np.mean(logs))), float(np.mean(covered))
    )


def probability_error(expected: Sequence[Interval], came: Sequence[float]) -> TrackedError | None:
    """Of probabilities, `came` being 1 where it happened and 0 where not; None without any."""
    pairs = _latest(expected, came)
    if not pairs:
        return None
    wrong = np.array([each.expected - value for each, value in pairs])
    covered = [each.covers(value) for each, value in pairs]
    return TrackedError(
        len(pairs), float(np.square(wrong).mean()), float(wrong.mean()), float(np.mean(covered))
    )


def correction(expected: Sequence[Interval], came: Sequence[float]) -> Interval:
    """What to multiply the next run time by, from the ratios of earlier ones; with none, exactly 1.

    The logarithm's mean is shrunk as if one earlier outcome had agreed; the bounds hold nine outcomes in
    ten as far as the spread that was seen goes, one outcome of a standard deviation of a quarter with it.
    """
    pairs = _latest(expected, came)
    if not pairs:
        return Interval(1.0, 1.0, 1.0)
    logs = np.log([value / each.expected for each, value in pairs])
    mean = float(logs.sum()) / (len(logs) + 1)
    spread = math.sqrt((_PRIOR**2 + float(np.square(logs - logs.mean()).sum())) / len(logs))
    reach = 1.6449 * spread
    return Interval(math.exp(mean - reach), math.exp(mean), math.exp(mean + reach))


def _latest(expected: Sequence[Interval], came: Sequence[float]) -> list[tuple[Interval, float]]:
    if len(expected) != len(came):
        raise Misuse(
            f"{len(expected)} predictions of {len(came)} outcomes", source="predictions", field="came",
            fix="Give one for each.",
        )  # fmt: skip
    return list(zip(expected, came, strict=True))[-LATEST:]
