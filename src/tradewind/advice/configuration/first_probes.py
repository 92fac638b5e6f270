"""Where a search without knowledge begins: points that fill the space, and what is nearest to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from tradewind.advice.configuration.interface import AdvisingView


def sobol_probe(view: AdvisingView, among: NDArray[np.int64]) -> int:
    """The one of `among` nearest the next point of a Sobol sequence, scrambled by the view's seed.

    Which point is next, the number of runs says. O(runs + configurations).
    """
    seen, d = len(view.runs), view.space.rows.shape[1]
    if not d:
        return _any(view, among)
    exponent = max(6, int(seen).bit_length())
    points = qmc.Sobol(d, rng=np.random.default_rng(view.seed)).random_base2(exponent)
    return _nearest(view, among, points[seen])


def latin_probe(view: AdvisingView, among: NDArray[np.int64], many: int) -> int:
    """The one of `among` nearest the next of `many` points of a Latin hypercube; after them, of a new one."""
    seen, d = len(view.runs), view.space.rows.shape[1]
    if not d:
        return _any(view, among)
    chance = np.random.default_rng((view.seed, seen // many))
    return _nearest(view, among, qmc.LatinHypercube(d, rng=chance).random(many)[seen % many])


def _nearest(view: AdvisingView, among: NDArray[np.int64], point: NDArray[np.float64]) -> int:
    return int(among[np.argmin(((view.space.rows[among] - point) ** 2).sum(axis=1))])


def _any(view: AdvisingView, among: NDArray[np.int64]) -> int:
    return int(np.random.default_rng((view.seed, len(view.runs))).choice(among))
