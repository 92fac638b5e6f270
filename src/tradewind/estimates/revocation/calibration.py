"""Probabilities corrected so that what is said to happen seven times in ten does: fitted on data held out."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.errors import Misuse

_TINY = 1e-4
"""Chances nearer to 0 or 1 than this are not told apart."""


class Calibration(Protocol):
    """A rising map from stated chances to corrected ones."""

    def __call__(self, chances: NDArray[np.float64]) -> NDArray[np.float64]:
        """The corrected chances, of the same shape."""
        ...


class Platt(Struct, frozen=True):
    """`sigmoid(slope * logit(chance) + offset)` (Platt, 1999), with a slope that is never negative."""

    slope: float = 1.0
    offset: float = 0.0

    def __call__(self, chances: NDArray[np.float64]) -> NDArray[np.float64]:
        """The corrected chances, of the same shape."""
        return sigmoid(self.slope * logit(chances) + self.offset)


class Isotonic(Struct, frozen=True):
    """The rising steps nearest to what came (Zadrozny and Elkan, 2002), with straight lines between."""

    stated: tuple[float, ...]
    came: tuple[float, ...]

    def __call__(self, chances: NDArray[np.float64]) -> NDArray[np.float64]:
        """The corrected chances, of the same shape."""
        return np.interp(chances, self.stated, self.came)


def platt(
    chances: NDArray[np.float64], came: NDArray[np.float64], *, independent: float = 1.0, lean: float = 20.0
) -> Platt:
    """The map of the least log loss on chances (N,) and what came (N,), of zeros and ones.

    `independent` is the share of the N that is worth an observation of its own: neighbours in time are not.
    `lean` observations' worth holds the map to the identity, so that few data change little.
    """
    _check(chances, came)
    z = logit(np.asarray(chances, np.float64))
    design = np.stack([z, np.ones_like(z)], axis=1)
    truth = np.asarray(came, np.float64)
    start = np.array([1.0, 0.0])
    at = start.copy()

    def loss(theta: NDArray[np.float64]) -> float:
        score = design @ theta
        fit = float((np.logaddexp(0.0, score) - truth * score).sum())
        return independent * fit + 0.5 * lean * float(((theta - start) ** 2).sum())

    best = loss(at)
    for _ in range(50):
        chance = sigmoid(design @ at)
        gradient = independent * (design.T @ (chance - truth)) + lean * (at - start)
        weight = independent * chance * (1 - chance)
        step = np.linalg.solve(design.T @ (design * weight[:, None]) + lean * np.eye(2), gradient)
        size = 1.0
        while loss(at - size * step) > best and size > 1e-6:
            size /= 2
        at = at - size * step
        new = loss(at)
        if best - new < 1e-9 * max(1.0, abs(best)):
            break
        best = new
    return Platt(max(float(at[0]), 0.0), float(at[1]))


def isotonic(chances: NDArray[np.float64], came: NDArray[np.float64]) -> Isotonic:
    """The rising map of the least squared error on chances (N,) and what came (N,), of zeros and ones."""
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415 (slow to import)

    _check(chances, came)
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(chances, came)
    return Isotonic(tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist()))


def logit(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithm of the odds, of chances held away from 0 and 1."""
    held = np.clip(chances, _TINY, 1 - _TINY)
    return np.log(held) - np.log1p(-held)


def sigmoid(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The chance of which `scores` are the logarithm of the odds."""
    return 0.5 * (1.0 + np.tanh(0.5 * scores))


def _check(chances: NDArray[np.float64], came: NDArray[np.float64]) -> None:
    if chances.ndim != 1 or chances.shape != came.shape or not len(chances):
        raise Misuse(
            f"{chances.shape} chances and {came.shape} outcomes", source="calibration", fix="Give one each."
        )
