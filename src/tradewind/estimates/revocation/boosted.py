"""Gradient-boosted trees: one model for every pool, bid and horizon, monotone in the last two.

The features are those of Tributary (Harlap et al., ATC 2018), the model scikit-learn's histogram boosting; it
learns beside them from the frequencies that `base_rate` and `empirical` count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.estimates.revocation.calibration import Calibration, Platt, logit, platt, sigmoid
from tradewind.estimates.revocation.experience import Experience
from tradewind.estimates.revocation.lessons import Usual, drawn, tail, trust, worth
from tradewind.estimates.revocation.sights import FEATURES, Sights, Situations

ROWS = 40_000
"""Rows drawn to learn from."""
_TAIL = 0.2
"""The last share of the span that the calibration is fitted on, by trees that have not seen it."""
_RISES = np.array([0] * len(FEATURES) + [-1, -1, -1, -1, 1, 1, 1])
"""Which way the chance goes with each column."""
_HALF_WAY = 14.0
"""Days of learning after which the trees are followed half of the way."""
_NONE = -1.0
"""Stands for what a pool does not have, prices or capacity; trees tell it apart."""


class Boosted:
    """Trees (None where there were too few rows), how far they are followed, and their calibration."""

    name = "boosted"

    def __init__(
        self,
        trees: Any,
        used: NDArray[np.bool_],
        calibration: Calibration,
        trust: float,
        usual: Usual,
        experience: Experience,
    ) -> None:
        self._trees, self._used, self._calibration = trees, used, calibration
        self._trust, self._usual = trust, usual
        self._deltas, self._horizons = experience.deltas, experience.horizons
        self._priced = experience.columns.has_prices

    def probabilities(self, cases: Situations, sights: Sights) -> NDArray[np.float64]:
        """(N, D, H)"""
        if self._trees is None or not len(cases):
            return self._usual.chances(cases, sights)
        shape = len(cases), len(self._deltas), len(self._horizons)
        at, delta, horizon = (each.ravel() for each in np.indices(shape))
        # Where a bid has no effect, all are asked as the first, the one that was learned.
        delta = np.where(self._priced[cases.pools[at]], delta, 0)
        usual = self._usual.odds(cases, sights)[at, delta, horizon]
        design = _design(
            cases.prices[at],
            sights.features[at],
            np.stack([sights.above[at, delta], sights.risen[at, delta]], axis=1),
            self._deltas[delta],
            self._horizons[horizon],
            usual,
        )
        chances = _trusted(self._trees, design[:, self._used], usual[:, 1], self._trust)
        return self._calibration(chances).reshape(shape)


def learn(experience: Experience, rows: NDArray[np.int64], *, seed: int = 0, many: int = ROWS) -> Boosted:
    """Learned from `many` rows drawn from those of the grid; `empirical` where there are too few."""
    usual = Usual(experience, rows)
    found = drawn(experience, rows, many, seed)
    if found is None:
        return Boosted(None, np.empty(0, np.bool_), Platt(), 0.0, usual, experience)
    at = np.arange(len(found.came))
    design = _design(
        found.cases.prices,
        found.sights.features,
        np.stack([found.sights.above[at, found.deltas], found.sights.risen[at, found.deltas]], axis=1),
        experience.deltas[found.deltas],
        experience.horizons[found.horizons],
        found.usual,
    )
    used = np.ptp(design, axis=0) > 0
    design = design[:, used]
    late = tail(found, _TAIL)
    calibration: Calibration = Platt()
    if late.sum() >= 50 and 0 < found.came[~late].mean() < 1:
        early = _trees(used, seed).fit(design[~late], found.came[~late])
        stated = _trusted(early, design[late], found.usual[late, 1], trust(found.chosen(~late), _HALF_WAY))
        calibration = platt(stated, found.came[late], independent=worth(found.chosen(late)))
    trees = _trees(used, seed).fit(design, found.came)
    return Boosted(trees, used, calibration, trust(found, _HALF_WAY), usual, experience)


def _trusted(
    trees: Any,
    design: NDArray[np.float64],
    usual: NDArray[np.float64],
    trust: float,
) -> NDArray[np.float64]:
    """The chances (M,) between the odds of the frequencies and those of the trees."""
    odds: NDArray[np.float64] = logit(trees.predict_proba(design)[:, 1])
    return sigmoid(trust * odds + (1 - trust) * usual)


def _trees(used: NDArray[np.bool_], seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 (a second to import)

    return HistGradientBoostingClassifier(
        learning_rate=0.06,
        max_iter=100,
        max_leaf_nodes=15,
        min_samples_leaf=100,
        l2_regularization=10.0,
        monotonic_cst=_RISES[used],
        early_stopping=False,
        random_state=seed,
    )


def _design(
    prices: NDArray[np.float64],
    features: NDArray[np.float64],
    clocks: NDArray[np.float64],
    deltas: NDArray[np.float64],
    horizons: NDArray[np.float64],
    usual: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(M, F): the features; what falls in the bid; what rises in the horizon, or falls in the bid with it."""
    columns = [features, np.log1p(clocks), np.log(deltas), np.log(deltas / prices), np.log(horizons), usual]
    design: NDArray[np.float64] = np.nan_to_num(np.column_stack(columns), nan=_NONE)
    return design
