"""Numbers for how good answers are, each weighted by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import Misuse

Array = NDArray[np.float64]


def log_loss(truth: NDArray[np.int64], likely: Array, weights: Array) -> float:
    """Mean negative log-likelihood of class numbers under probabilities (n, k), clipped 1e-15 from zero."""
    p = np.clip(likely[np.arange(len(truth)), truth], 1e-15, 1.0)
    return float(np.average(-np.log(p), weights=weights))


def auc(positive: NDArray[np.bool_], scores: Array, weights: Array) -> float:
    """Area under the receiver operating curve; ties count half. NaN where one class is missing."""
    order = np.argsort(scores, kind="stable")
    ranked, hit, weight = scores[order], positive[order], weights[order]
    edges = np.flatnonzero(np.diff(ranked, prepend=np.nan) != 0)
    if not len(edges):
        return float("nan")
    good = np.add.reduceat(np.where(hit, weight, 0.0), edges)
    bad = np.add.reduceat(np.where(hit, 0.0, weight), edges)
    total = good.sum() * bad.sum()
    below = np.cumsum(bad) - bad
    return float((good * (below + bad / 2)).sum() / total) if total > 0 else float("nan")


def counts(positive: NDArray[np.bool_], chosen: NDArray[np.bool_], weights: Array) -> tuple[float, ...]:
    """Weights of the true positive, false positive, false negative and true negative rows."""
    return tuple(
        float(weights[both].sum())
        for both in (positive & chosen, ~positive & chosen, positive & ~chosen, ~positive & ~chosen)
    )


def precision(right: float, wrong: float) -> float:
    """Share of the chosen that are right; 0 where none is chosen."""
    return right / (right + wrong) if right + wrong > 0 else 0.0


def f_beta(right: float, wrong: float, missed: float, beta: float) -> float:
    """Harmonic mean of precision and recall with recall counted `beta` times; 0 where nothing is right."""
    squared = beta * beta
    bottom = (1 + squared) * right + squared * missed + wrong
    return (1 + squared) * right / bottom if bottom > 0 else 0.0


def _mse(y: Array, z: Array, weights: Array) -> float:
    return float(np.average((z - y) ** 2, weights=weights))


def _rmse(y: Array, z: Array, weights: Array) -> float:
    return float(np.sqrt(_mse(y, z, weights)))


def _mae(y: Array, z: Array, weights: Array) -> float:
    return float(np.average(np.abs(z - y), weights=weights))


def _r2(y: Array, z: Array, weights: Array) -> float:
    spread = float(np.average((y - np.average(y, weights=weights)) ** 2, weights=weights))
    return 1.0 - _mse(y, z, weights) / spread if spread > 0 else float("nan")


REGRESSION: dict[str, Callable[[Array, Array, Array], float]] = {
    "mse": _mse, "rmse": _rmse, "mae": _mae, "r2": _r2,
}  # fmt: skip
"""Metrics of values."""

CLASSIFICATION = ("accuracy", "log_loss", "cross_entropy_loss", "loss_function")
"""Metrics of classes."""

TWO_CLASSES = (
    "auc", "f_beta", "precision", "recall", "precision_at_target_recall", "recall_at_target_precision",
)  # fmt: skip
"""Further metrics where there are two classes."""

MORE_CLASSES = ("top_k_accuracy", "macro_f_beta")
"""Further metrics where there are more."""

LOWER_IS_BETTER = frozenset({"loss_function", "log_loss", "cross_entropy_loss", "mse", "rmse", "mae"})
"""Metrics of which less is better."""


def mean_weights(weights: NDArray[Any] | None, rows: int) -> Array:
    """The weights, ones where there are none; Misuse where no row counts."""
    if not rows:
        raise Misuse("there is no row to score", field="batch", fix="Give at least one row with its label.")
    given = np.ones(rows) if weights is None else np.asarray(weights, np.float64)
    if not given.sum() > 0:
        raise Misuse("all rows have weight zero", field="weights", fix="Give a positive weight to some row.")
    return given
