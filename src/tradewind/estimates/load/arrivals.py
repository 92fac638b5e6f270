"""Moments at which requests come: drawn from two processes, or a recorded trace played faster.

All are ascending arrays of seconds from 0 on; chance comes from a seed alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import Misuse

_SPARE = 6.0
"""Standard deviations of a Poisson count drawn beforehand, so that a second draw is rare."""


def poisson(rate: float, seconds: float, seed: int) -> NDArray[np.float64]:
    """Arrivals of a Poisson process of `rate` a second during `seconds`.

    At another rate the same seed gives the same moments, closer or wider.
    """
    _check(rate > 0.0 and 0.0 < seconds < math.inf, "rate, seconds", "one of them is not above 0")
    return _unit_poisson(rate * seconds, np.random.default_rng(seed)) / rate


def mmpp(rates: Sequence[float], sojourns: Sequence[float], seconds: float, seed: int) -> NDArray[np.float64]:
    """Arrivals of a Markov-modulated Poisson process during `seconds` (Fischer and Meier-Hellstern, *The
    Markov-modulated Poisson process cookbook*, Performance Evaluation 18, 1993).

    In state i requests come at `rates[i]` a second for an exponential time of mean `sojourns[i]` seconds; the
    states follow one another in their order, round and round. It begins in a state drawn by the share of time
    spent in it. At other rates the same seed gives the same states at the same times.
    """
    _check(
        len(rates) == len(sojourns) >= 2 and min(rates) >= 0.0 and max(rates) > 0.0 and min(sojourns) > 0.0,
        "rates, sojourns",
        "they are not two or more states with rates of 0 or more and sojourns above 0",
    )
    _check(0.0 < seconds < math.inf, "seconds", "the length is not above 0")
    of_states, of_arrivals = np.random.default_rng(seed).spawn(2)
    state = int(of_states.choice(len(rates), p=np.asarray(sojourns) / sum(sojourns)))
    ends, expected = [0.0], [0.0]
    while ends[-1] < seconds:
        stay = min(of_states.exponential(sojourns[state]), seconds - ends[-1])
        expected.append(expected[-1] + rates[state] * stay)
        ends.append(ends[-1] + stay)
        state = (state + 1) % len(rates)
    moments: NDArray[np.float64] = np.interp(_unit_poisson(expected[-1], of_arrivals), expected, ends)
    return moments


def bursty(
    rate: float, seconds: float, seed: int, *, burst: float = 4.0, share: float = 0.2, sojourn: float = 1.0
) -> NDArray[np.float64]:
    """Arrivals of an MMPP of two states with `rate` a second on average.

    For a `share` of the time, `sojourn` seconds at a stretch on average, requests come `burst` times as
    often as in the rest.
    """
    _check(burst >= 1.0 and 0.0 < share < 1.0 and sojourn > 0.0, "burst, share, sojourn",
           "burst is below 1, share not between 0 and 1, or sojourn not above 0")  # fmt: skip
    calm = rate / (1.0 - share + share * burst)
    return mmpp((calm, burst * calm), (sojourn * (1.0 - share) / share, sojourn), seconds, seed)


def replayed(recorded: Sequence[float] | NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """A recorded trace, its time scaled so that its mean rate is `rate` a second; gaps keep their ratios.

    `recorded`: moments in seconds, ascending, of any origin.
    """
    moments = np.asarray(recorded, dtype=np.float64)
    _check(len(moments) >= 2 and bool((np.diff(moments) >= 0.0).all()) and moments[-1] > moments[0],
           "recorded", "they are not two or more ascending moments")  # fmt: skip
    _check(rate > 0.0, "rate", "the rate is not above 0")
    since = moments - moments[0]
    scaled: NDArray[np.float64] = since * ((len(moments) - 1) / (rate * since[-1]))
    return scaled


def _unit_poisson(length: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Moments of a Poisson process of rate 1 before `length`."""
    moments = np.cumsum(random.exponential(1.0, int(length + _SPARE * math.sqrt(length)) + 8))
    while moments[-1] < length:
        moments = np.concatenate((moments, moments[-1] + np.cumsum(random.exponential(1.0, 64))))
    before: NDArray[np.float64] = moments[moments < length]
    return before


def _check(good: bool, field: str, problem: str) -> None:
    if not good:
        raise Misuse(problem, source="arrivals", field=field, fix="Correct them.")
