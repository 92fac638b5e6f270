"""How load moves after a moment like this one: by its last moves, and by those of yesterday and last week.

For each horizon h a ridge regression (Hoerl and Kennard, Technometrics 12(1), 1970) says by how much the load
will differ from that of now, relative to its level:

    (x[t+h] - x[t]) / l[t]  from  (x[t] - x[t-1]) / l, (x[t] - mean of the last 5, 15, 60) / l,
                                  the move of the level over the last 15,
                                  the relative move from t to t+h one day, and one week, before

It is fitted anew at every forecast on the moments known so far, each weighed by the square of its level (so
that the error in requests is small, not the relative one) and by its age. The older half of them is
fitted apart and judged by the newer: what it says of these is multiplied by the factor in [0, 1] that would
have been the best, and so is the forecast (a stack of it and persistence, as in Breiman, "Stacked
regressions", Machine Learning 24, 1996, with one weight). Without anything to learn from it is persistence,
towards which the ridge draws it too.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradewind.estimates.load.interface import LoadForecast
from tradewind.estimates.load.past_errors import (
    DAY,
    LEVELS,
    checked,
    likeness,
    nodes_of,
    of_errors,
    told,
)

_RECENT = 5
"""Features of the last moves; two more are the seasons'."""
_HALF = 7 * DAY
"""Seconds after which a moment counts for half in the fit."""
_REACH = 13 * DAY
"""Seconds that are learned from."""
_MOMENTS = 1000
"""Past moments, evenly spread, that are learned from."""
_RIDGE = 0.3
"""Share of a feature's own weight that is added to it."""
_JUDGED = 40
"""Moments from which on the older half of them is judged by the newer."""
_SPAN = 5
"""Steps to either side over which a move of a season ago is smoothed."""
_QUARTER = 15
"""Steps over which a move of the level is looked at."""
_ALIKE = 0.3
"""Difference of two such moves, one today and one a season ago, at which that season counts for 1/e."""
_WILD = 0.5
"""Relative moves of the last steps are held within this as features."""
_LARGEST = 2.0
"""Relative moves are held within this, so that the start of a record from nothing teaches little."""


class SeasonalRegression:
    """Ours: on either half of WorldCup98 better than persistence and the season at a minute to an hour."""

    name = "seasonal_regression"

    def forecast(self, rates: NDArray[np.float64], at: float, interval: float, steps: int) -> LoadForecast:
        """The next `steps` intervals after `at`. Raises Misuse for rates that are none."""
        known = checked(rates, interval, steps)
        last, reach = len(known) - 1, int(_REACH / interval)
        stride = max(1, min(last, reach) // _MOMENTS)
        # Early moments have no past of their own to be judged by.
        origins = np.arange(last, max(last - reach, min(60, last // 2)) - 1, -stride)
        sums = np.concatenate(([0.0], np.cumsum(known)))
        floor = 0.02 * float(sums[-1]) / len(known) + 1e-9
        level = _means(sums, origins, 15) + floor
        recent = _recent(known, sums, origins, level)
        weights = level**2 * np.exp2(-(last - origins) * interval / _HALF)
        alike = likeness(level, np.asarray((last - origins) * interval, np.float64))
        seasons = np.array([round(DAY / interval), round(7 * DAY / interval)], np.int64)
        mean, quantiles = np.empty(steps), np.empty((len(LEVELS), steps))
        nodes = nodes_of(steps)
        for ahead in nodes:
            # Origins fall from the newest on, of which the first few do not know yet what came.
            first = int(np.searchsorted(-origins, ahead - last))
            errors, move = _fitted(origins, first, ahead, known, sums, floor, level, recent, seasons, weights)
            mean[ahead - 1] = known[last] + level[0] * move
            quantiles[:, ahead - 1] = mean[ahead - 1] + level[0] * of_errors(errors, alike[first:])
        return told(mean, quantiles, nodes, at, interval)


def _means(sums: NDArray[np.float64], at: NDArray[np.int64], span: int) -> NDArray[np.float64]:
    """The mean of the `span` rates up to each of the moments, or of as many as there are."""
    low = np.maximum(at + 1 - span, 0)
    return np.asarray((sums[at + 1] - sums[low]) / (at + 1 - low), np.float64)


def _recent(
    rates: NDArray[np.float64],
    sums: NDArray[np.float64],
    at: NDArray[np.int64],
    level: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(N, 5) the features of the last moves at each of the moments."""
    here = rates[at]
    quarter = _means(sums, at, 15)
    columns = (
        here - rates[np.maximum(at - 1, 0)],
        here - _means(sums, at, 5),
        here - quarter,
        here - _means(sums, at, 60),
        quarter - _means(sums, np.maximum(at - 15, 0), 15),
    )
    return np.clip(np.stack(columns, axis=1) / level[:, None], -_WILD, _WILD)


@njit(cache=True, nogil=True)
def _around(sums: NDArray[np.float64], at: int, floor: float) -> float:
    """The mean over _SPAN rates to either side of a moment; never 0."""
    low, high = max(at - _SPAN, 0), min(at + _SPAN + 1, len(sums) - 1)
    return float((sums[high] - sums[low]) / (high - low) + floor)


@njit(cache=True, nogil=True)
def _season(
    sums: NDArray[np.float64], here: int, ahead: int, season: int, floor: float, move: float
) -> float:
    """The relative move from `here` to so many steps ahead, one season before; 0 where it is not known.

    It counts the less, the less the last `move` of the level was like that of a season before: an event that
    begins earlier today, or is over later, makes yesterday a bad guide.
    """
    back = here - season
    # A mean that reached past the moment would know what is to come.
    if back < 2 * _SPAN or back + ahead + _SPAN > here:
        return 0.0
    now = _around(sums, back, floor)
    lately = now / _around(sums, max(back - _QUARTER, 0), floor) - 1.0
    moved = _around(sums, back + ahead, floor) / now - 1.0
    return float(min(max(moved, -1.0), 1.0) * np.exp(-abs(lately - move) / _ALIKE))


@njit(cache=True, nogil=True)
def _slopes(
    gram: NDArray[np.float64], right: NDArray[np.float64], total: float, many: int
) -> NDArray[np.float64]:
    """The ridge's solution from the upper half of the weighted sums over so many moments."""
    width = len(right)
    if many == 0 or total <= 0.0:
        return np.zeros(width)
    whole = np.empty((width, width))
    # Few moments teach little: the penalty grows as they become fewer.
    for one in range(width):
        for other in range(width):
            whole[one, other] = gram[min(one, other), max(one, other)]
        whole[one, one] += (_RIDGE + width / many) * whole[one, one] + 1e-9 * total
    found: NDArray[np.float64] = np.linalg.solve(whole, right).astype(np.float64)
    return found


@njit(cache=True, nogil=True)
def _fitted(
    origins: NDArray[np.int64],
    first: int,
    ahead: int,
    rates: NDArray[np.float64],
    sums: NDArray[np.float64],
    floor: float,
    level: NDArray[np.float64],
    recent: NDArray[np.float64],
    seasons: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float]:
    """The errors (N - first,) of the fit at the origins from `first` on, and the relative move expected at
    origin 0."""
    many, short = len(origins) - first, recent.shape[1]
    width = short + len(seasons)
    rows, moves = np.empty((many + 1, width)), np.empty(many)
    gram, right, total = np.zeros((width, width)), np.zeros(width), 0.0
    trust, early = 1.0, np.zeros(width)
    # From the oldest moment on, so that halfway the newer ones judge what the older ones teach.
    for row in range(many, -1, -1):
        at = first + row if row < many else 0
        here = origins[at]
        for column in range(short):
            rows[row, column] = recent[at, column]
        for column in range(len(seasons)):
            rows[row, short + column] = _season(
                sums, here, ahead, seasons[column], floor, recent[at, short - 1]
            )
        if row == many:
            continue
        moves[row] = min(max((rates[here + ahead] - rates[here]) / level[at], -_LARGEST), _LARGEST)
        weight = weights[at]
        total += weight
        for one in range(width):
            scaled = weight * rows[row, one]
            right[one] += scaled * moves[row]
            for other in range(one, width):
                gram[one, other] += scaled * rows[row, other]
        if row == many // 2 and many >= _JUDGED:
            early = _slopes(gram, right, total, many - row)
    if many >= _JUDGED:
        both, alone = 0.0, 0.0
        for row in range(many // 2):
            said = 0.0
            for one in range(width):
                said += rows[row, one] * early[one]
            both += weights[first + row] * said * moves[row]
            alone += weights[first + row] * said * said
        trust = min(max(both / alone, 0.0), 1.0) if alone > 0.0 else 0.0
    slopes = _slopes(gram, right, total, many)
    for one in range(width):
        slopes[one] *= trust
    move = 0.0
    for one in range(width):
        move += rows[many, one] * slopes[one]
        for row in range(many):
            moves[row] -= rows[row, one] * slopes[one]
    return moves, move
