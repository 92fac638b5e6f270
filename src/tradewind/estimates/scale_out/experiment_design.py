"""Which small runs tell most about large ones: an A-optimal design for Ernest's model, within a budget.

Venkataraman and others (NSDI 2016), section 4: of the runs that could be made, those are chosen that make
the sum of the variances of the model's terms least, `trace((sum of a a^T)^-1)`, for what they cost. The
authors relax it to a convex program; here runs are added greedily, by what the trace falls for each unit of
cost, the inverse being kept by Sherman and Morrison's formula, and one pass of exchanges follows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tradewind.errors import Misuse
from tradewind.estimates.scale_out.timings import Floats

_RIDGE = 1e-3
"""What the information matrix begins with, so that it has an inverse."""


def designed(rows: ArrayLike, costs: ArrayLike, budget: float) -> tuple[int, ...]:
    """The runs to make, in the order in which they were chosen; none twice.

    `rows` (k, d) are the model's terms at each run that could be made, such as `ernest.columns` gives;
    columns are divided by their means, as the authors do. Costs are above 0; together the chosen ones are at
    most `budget`. O(k d^2) for each run chosen, O(k d^2) for each exchange tried. Raises Misuse on shapes
    that do not match, on costs that cannot be and on a budget that no run fits.
    """
    terms, prices = np.array(rows, np.float64), np.asarray(costs, np.float64)
    if terms.ndim != 2 or prices.shape != terms.shape[:1] or not (prices > 0).all():
        raise Misuse(
            f"rows of shape {terms.shape} with costs of shape {prices.shape}", source="design",
            field="costs", fix="Give a row of terms and a cost above 0 for each run that could be made.",
        )  # fmt: skip
    if not len(prices) or prices.min() > budget:
        raise Misuse(f"no run fits a budget of {budget!r}", source="design", field="budget", fix="Raise it.")
    means = np.abs(terms).mean(axis=0)
    terms /= np.where(means > 0, means, 1.0)
    inverse = np.eye(terms.shape[1]) / _RIDGE
    chosen: list[int] = []
    left = float(budget)
    while True:
        fall = _falls(inverse, terms) / prices
        fall[chosen] = -1.0
        fall[prices > left] = -1.0
        best = int(np.argmax(fall))
        if fall[best] <= 0:
            break
        chosen.append(best)
        left -= float(prices[best])
        inverse = _with(inverse, terms[best], 1.0)
    for place, old in enumerate(chosen):
        without = _with(inverse, terms[old], -1.0)
        fall = _falls(without, terms)
        fall[[each for each in chosen if each != old]] = -1.0
        fall[prices > left + prices[old]] = -1.0
        new = int(np.argmax(fall))
        if fall[new] > fall[old] * (1 + 1e-9):
            chosen[place] = new
            left += float(prices[old] - prices[new])
            inverse = _with(without, terms[new], 1.0)
    return tuple(chosen)


def variance(rows: ArrayLike, chosen: tuple[int, ...]) -> float:
    """What a design makes least: the trace of the inverse information of the chosen rows (k, d)."""
    terms = np.array(rows, np.float64)
    means = np.abs(terms).mean(axis=0)
    picked = (terms / np.where(means > 0, means, 1.0))[list(chosen)]
    return float(np.trace(np.linalg.inv(picked.T @ picked + _RIDGE * np.eye(picked.shape[1]))))


def _falls(inverse: Floats, terms: Floats) -> Floats:
    """(k,) by how much the trace of the inverse falls if a row is added."""
    across = terms @ inverse
    found: Floats = (across**2).sum(axis=1) / (1 + (across * terms).sum(axis=1))
    return found


def _with(inverse: Floats, row: Floats, sign: float) -> Floats:
    """The inverse after a row came to the information, or left it."""
    across = inverse @ row
    found: Floats = inverse - sign * np.outer(across, across) / (1 + sign * float(row @ across))
    return found
