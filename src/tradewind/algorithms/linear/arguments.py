"""The arguments of a linear learner, checked before anything is done with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tradewind.algorithms.linear.calibration import check_criterion
from tradewind.algorithms.linear.losses import CLASSIFYING, code_of
from tradewind.errors import Misuse, suggestion

OPTIMIZERS = {"adagrad": 0.3, "adam": 0.01, "sgd": 0.5, "ftrl": 0.3}
"""Aggregations that take a gradient, and the learning rate where none is given."""


def several(value: Any) -> Sequence[Any]:
    """`value` as a sequence of settings."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def check_arguments(learner: Any) -> None:
    """Raise Misuse for the first argument of a linear learner that cannot be meant."""
    for loss in several(learner.loss):
        code_of(loss)
    check_criterion(learner.criterion)
    if learner.optimizer not in (*OPTIMIZERS, "auto"):
        fix = suggestion(str(learner.optimizer), [*OPTIMIZERS, "auto"])
        raise Misuse(f"{learner.optimizer!r} is no optimizer", field="optimizer", fix=fix)
    if learner.task not in ("auto", "classification", "regression"):
        raise Misuse(
            f"{learner.task!r} is no task", field="task", fix="Give classification, regression or auto."
        )
    if learner.task == "regression" and any(each in CLASSIFYING for each in several(learner.loss)):
        raise Misuse(
            f"{learner.loss!r} learns classes", field="loss", fix="Use squared or another of values."
        )
    kinds = {each in CLASSIFYING for each in several(learner.loss)}
    if learner.task == "auto" and len(kinds) > 1:
        raise Misuse(
            "losses of classes and of values together",
            field="loss",
            fix="Say which task it is: task='classification'.",
        )
    for field, low in (("rate", 1e-300), ("l1", 0.0), ("l2", 0.0)):
        for value in several(getattr(learner, field)):
            if value is not None and not _number(value, low):
                raise Misuse(f"{value!r} is no {field}", field=field, fix="Give a number that is positive.")
    for field in ("huber_delta", "margin", "f_beta"):
        if not _number(getattr(learner, field), 1e-300):
            raise Misuse(
                f"{getattr(learner, field)!r} is not positive", field=field, fix="Give a positive number."
            )
    for field in ("loss_insensitivity", "initial_scale"):
        if not _number(getattr(learner, field), 0.0):
            raise Misuse(f"{getattr(learner, field)!r} is negative", field=field, fix="Give 0 or more.")
    for field in ("quantile", "target_precision", "target_recall"):
        value = getattr(learner, field)
        if not (_number(value, 0.0) and 0 < value < 1):
            raise Misuse(f"{value!r} is not between 0 and 1", field=field, fix="Give such as 0.5.")
    weight = learner.positive_weight
    if weight not in ("balanced", "auto") and not _number(weight, 1e-300):
        raise Misuse(
            f"{weight!r} is no weight",
            field="positive_weight",
            fix="Give a number, 'balanced' or 'auto'.",
        )
    for field in ("sample_size", "num_calibration_samples", "num_models"):
        value = getattr(learner, field)
        if field == "num_models" and value in (None, "auto"):
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise Misuse(f"{value!r} is no count", field=field, fix="Give 1 or more.")


def _number(value: Any, low: float) -> bool:
    fits = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return fits and math.isfinite(value) and value >= low
