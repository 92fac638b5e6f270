"""How many requests a fleet is expected to miss, and how large it must be to miss no more than a share.

Within an interval of mean rate r the work that arrives is taken for a Brownian motion of drift r - C and
variance I r, held between an empty queue and one as long as can still be answered in time, B = C s requests
for a slack of s seconds. What is lost at the upper bound is, a second,

    L(C) = (C - r) / (exp(2 B (C - r) / (I r)) - 1)

(Harrison, "Brownian Motion and Stochastic Flow Systems", 1985, chapter 5), which is r - C far above the
capacity and falls exponentially below it. The rate itself is as uncertain as its forecast says.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradewind.estimates.load.interface import LoadForecast
from tradewind.serving.provisioning.interface import Traffic

_SHARES = np.array([0.1] * 9 + [0.04, 0.03, 0.02, 0.01])
"""What each point of a forecast stands for."""
_POINTS = np.array([0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.92, 0.955, 0.98, 0.995])
_LARGEST_OF_12 = 1.63
"""Standard deviations by which the largest of twelve normal variates exceeds their mean on average: an
interval of a minute has twelve stretches of five seconds."""
_STRETCH = 5.0
_HALVINGS = 22


def dispersion(traffic: Traffic) -> float:
    """Variance of the requests over their mean, as the busiest five seconds of each interval show it; 1 or
    more, 1 for a Poisson process."""
    rates, peaks = np.array(traffic.rates), np.array(traffic.peaks)
    some = rates > 0
    if not some.any():
        return 1.0
    above = np.maximum(peaks[some] - rates[some], 0.0)
    found = (above / _LARGEST_OF_12) ** 2 * _STRETCH / rates[some]
    return float(max(1.0, np.median(found)))


def rates_of(forecast: LoadForecast) -> NDArray[np.float64]:
    """(steps, points) the rate in each interval at thirteen points of its distribution."""
    levels = np.array((0.0, *forecast.levels, 1.0))
    table = np.array(forecast.quantiles)
    low = np.maximum(2 * table[:1] - table[1:2], 0.0)
    high = table[-1:] + 0.5 * (table[-1:] - table[-2:-1])
    table = np.concatenate((np.minimum(low, table[:1]), table, high))
    above = np.clip(np.searchsorted(levels, _POINTS), 1, len(levels) - 1)
    part = (_POINTS - levels[above - 1]) / (levels[above] - levels[above - 1])
    return np.asarray((table[above - 1] + part[:, None] * (table[above] - table[above - 1])).T)


def mean_of(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """(steps,) the expected rate in each interval, from `rates_of`."""
    return np.asarray(rates @ _SHARES)


@njit(cache=True, nogil=True)
def _lost(capacity: float, rates: NDArray[np.float64], slack: float, spread: float) -> float:
    """Requests a second expected to be missed in an interval, of rates (points,)."""
    total = 0.0
    buffer = 2 * slack * max(capacity, 1e-9)
    for at in range(len(rates)):
        room = capacity - rates[at]
        variance = spread * max(rates[at], 1e-9)
        power = min(max(buffer * room / variance, -500.0), 500.0)
        total += _SHARES[at] * (variance / buffer if abs(power) < 1e-6 else room / math.expm1(power))
    return total


@njit(cache=True, nogil=True)
def lost(
    capacity: NDArray[np.float64], rates: NDArray[np.float64], slack: float, spread: float
) -> NDArray[np.float64]:
    """(steps,) requests a second expected to be missed with a capacity (steps,) of requests a second.

    `rates` (steps, points) as `rates_of` gives them, `slack` in seconds, `spread` the dispersion.
    """
    found = np.empty(len(rates))
    for step in range(len(rates)):
        found[step] = _lost(capacity[step], rates[step], slack, spread)
    return found


def needed(
    rates: NDArray[np.float64], share: float | NDArray[np.float64], slack: float, spread: float
) -> NDArray[np.float64]:
    """(steps,) the least capacity that is expected to miss no more than that share of the requests."""
    allowed = np.asarray(share * (rates @ _SHARES), np.float64)
    high = 2.0 * rates[:, -1] + 4.0 * np.sqrt(spread * np.maximum(rates[:, -1], 0.0) / slack) + 1e-9
    return np.asarray(_needed(rates, allowed, high, slack, spread))


@njit(cache=True, nogil=True)
def _needed(
    rates: NDArray[np.float64],
    allowed: NDArray[np.float64],
    tops: NDArray[np.float64],
    slack: float,
    spread: float,
) -> NDArray[np.float64]:
    """By halving the stretch from 0 to `tops`."""
    found = np.empty(len(rates))
    for step in range(len(rates)):
        low, high = 0.0, tops[step]
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            if _lost(middle, rates[step], slack, spread) <= allowed[step]:
                high = middle
            else:
                low = middle
        found[step] = high
    return found


def worthwhile(rates: NDArray[np.float64], use: float, slack: float, spread: float) -> float:
    """The capacity whose last bit answers, in the part `use` of all time, what were missed without it.

    It is what a newsvendor orders (Arrow, Harris and Marschak, "Optimal inventory policy", Econometrica
    19(3), 1951) to whom a missed request is worth 1 / `use` times what it costs where nothing idles. `rates`
    (steps, points) as `rates_of` gives them.
    """
    top = 2.0 * float(rates.max(initial=0.0)) + 4.0 * float(np.sqrt(spread / slack)) + 1e-9
    return float(_worthwhile(rates, use, top, slack, spread))


@njit(cache=True, nogil=True)
def _worthwhile(rates: NDArray[np.float64], use: float, top: float, slack: float, spread: float) -> float:
    """By halving the stretch from 0 to `top`."""
    low, high, bit = 0.0, top, 1e-3 * top
    for _ in range(_HALVINGS):
        middle, answered = 0.5 * (low + high), 0.0
        for step in range(len(rates)):
            answered += _lost(middle, rates[step], slack, spread)
            answered -= _lost(middle + bit, rates[step], slack, spread)
        if answered > use * bit * len(rates):
            low = middle
        else:
            high = middle
    return high
