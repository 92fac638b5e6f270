"""The threshold above which a probability means the positive class, chosen for a criterion.

The criteria are those of SageMaker's linear learner (`binary_classifier_model_selection_criteria`). Of the
thresholds that are equally good the one closest to one half is chosen, and where that is the very score of a
row that must stay below, the middle between it and the next score.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.algorithms.linear.metrics import mean_weights
from tradewind.errors import Misuse, suggestion

CRITERIA = (
    "loss_function",
    "cross_entropy_loss",
    "accuracy",
    "f_beta",
    "precision_at_target_recall",
    "recall_at_target_precision",
)
"""What a model of a pack, and the threshold of a classifier, may be chosen by."""


def check_criterion(criterion: str) -> None:
    """Raise Misuse unless `criterion` is known."""
    if criterion not in CRITERIA:
        raise Misuse(
            f"{criterion!r} is no criterion", field="criterion", fix=suggestion(str(criterion), CRITERIA)
        )


def calibrate(
    positive: NDArray[np.bool_],
    probabilities: NDArray[Any],
    criterion: str,
    *,
    weights: NDArray[Any] | None = None,
    beta: float = 1.0,
    target_precision: float = 0.8,
    target_recall: float = 0.8,
) -> tuple[float, float]:
    """The best threshold and the criterion's value there; rows at or above it are positive.

    For the two losses a threshold changes nothing: the answer is one half and NaN. Where no threshold reaches
    the target, the one that comes closest to it is chosen and the value is 0.
    """
    check_criterion(criterion)
    if criterion in ("loss_function", "cross_entropy_loss"):
        return 0.5, float("nan")
    weight = mean_weights(weights, len(positive))
    scores = np.asarray(probabilities, np.float64)
    order = np.argsort(-scores, kind="stable")
    ranked, hit, weight = scores[order], np.asarray(positive, bool)[order], weight[order]
    ends = np.flatnonzero(np.diff(ranked, append=-np.inf) != 0)
    # index 0 of all that follows is the threshold that chooses no row
    right = np.concatenate([[0.0], np.cumsum(np.where(hit, weight, 0.0))[ends]])
    wrong = np.concatenate([[0.0], np.cumsum(np.where(hit, 0.0, weight))[ends]])
    positives, negatives = right[-1], wrong[-1]
    distinct = ranked[ends]
    thresholds = _between(distinct)
    chosen = right + wrong
    precision = np.divide(right, chosen, out=np.zeros_like(right), where=chosen > 0)
    recall = right / positives if positives > 0 else np.zeros_like(right)
    if criterion == "accuracy":
        value = (right + negatives - wrong) / (positives + negatives)
    elif criterion == "f_beta":
        bottom = beta * beta * positives + chosen
        value = np.divide((1 + beta * beta) * right, bottom, out=np.zeros_like(right), where=bottom > 0)
    elif criterion == "precision_at_target_recall":
        value = _reaching(recall, target_recall, precision)
    else:
        value = _reaching(precision, target_precision, recall)
    best = value.max()
    tied = np.flatnonzero(value >= best - 1e-12)
    low, high = thresholds[tied, 0], thresholds[tied, 1]
    nearest = np.clip(0.5, low, high)
    # an interval is open below; where `low` is closest to one half, its middle keeps clear of both ends
    middle = np.where(nearest > low, nearest, (low + high) / 2)
    middle = np.where(middle > low, middle, high)
    return float(middle[np.argmin(np.abs(middle - 0.5))]), float(max(best, 0.0))


def _between(distinct: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each count of distinct scores chosen, from none, the bounds (low, high] of the thresholds."""
    high = np.concatenate([[max(1.0, distinct[0]) + 1e-6], distinct])
    low = np.concatenate([distinct, [min(0.0, distinct[-1]) - 1.0]])
    return np.stack([low, high], axis=1)


def _reaching(held: NDArray[np.float64], target: float, wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """`wanted` where `held` reaches its target; else below zero, the closer to the target the less."""
    return np.where(held >= target - 1e-12, wanted, held - target)
