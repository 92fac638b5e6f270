"""Losses of a linear score, their slopes, and what a score says under each.

A binary label is -1 or 1; a regression's is a number. `z` is the score. The definitions are those of the
linear learner's documentation (SageMaker developer guide), squared losses halved so that their slope is the
residual. The margin losses of several classes are those of Crammer and Singer (JMLR 2001, section 3): what
the best wrong class lacks of `parameter` below the right one's score.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradewind.errors import Misuse, suggestion

LOSSES = {
    "logistic": 0,
    "hinge": 1,
    "squared": 2,
    "absolute": 3,
    "eps_insensitive_absolute": 4,
    "eps_insensitive_squared": 5,
    "quantile": 6,
    "huber": 7,
    "softmax": 8,
    "squared_hinge": 9,
    "crammer_singer": 10,
    "squared_crammer_singer": 11,
}
"""The losses by name; the numbers are what the kernels know them by."""

MULTICLASS = ("softmax", "crammer_singer", "squared_crammer_singer")
"""Losses of one score a class."""

CLASSIFYING = ("logistic", "hinge", "squared_hinge", *MULTICLASS)
"""Losses that imply classes where the user does not say what the labels are."""

SOFTMAX, SQUARED_MARGIN = LOSSES["softmax"], LOSSES["squared_crammer_singer"]

_F = np.float32


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def exp32(x: Any) -> Any:
    """e**x in float32, to a relative 2e-7 near zero and 6e-6 at the ends: multiplications and additions only.

    The same bits alone and in a vector of many models, which libm does not promise. Clamped to what float32
    holds. As 2**n * 2**f with a polynomial for f from -1/2 to 1/2, summed in pairs to keep it short.
    """
    x = min(max(x, _F(-87.0)), _F(88.0)) * _F(1.4426950408889634)
    # adding 1.5 * 2**23 rounds to the nearest whole number
    n = (x + _F(12582912.0)) - _F(12582912.0)
    f = x - n
    s = f * f
    high = _F(9.6754645763506e-3) + _F(1.3266975146420845e-3) * f
    middle = _F(2.4022121664786542e-1) + _F(5.550742645779661e-2) * f
    p = (_F(1.0) + _F(6.931469491150668e-1) * f) + s * (middle + s * high)
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def slope(code: Any, parameter: Any, y: Any, z: Any) -> Any:
    """d loss / dz in float32 for one label and one score."""
    if code == 0:
        return -y / (_F(1.0) + exp32(y * z))
    if code == 1:
        return -y if y * z < parameter else _F(0.0)
    if code == 9:
        return -y * (parameter - y * z) if y * z < parameter else _F(0.0)
    r = z - y
    if code == 2:
        return r
    if code == 3:
        return _F(1.0) if r > 0 else (_F(-1.0) if r < 0 else _F(0.0))
    if code == 4:
        return _F(1.0) if r > parameter else (_F(-1.0) if r < -parameter else _F(0.0))
    if code == 5:
        return r - parameter if r > parameter else (r + parameter if r < -parameter else _F(0.0))
    if code == 6:
        # label above the score costs `parameter` a unit, below it 1 - parameter
        return _F(1.0) - parameter if r > 0 else (-parameter if r < 0 else _F(0.0))
    return r if abs(r) <= parameter else (parameter if r > 0 else -parameter)


@njit(cache=True, nogil=True, error_model="numpy")
def loss_of(code: Any, parameter: Any, y: Any, z: Any) -> Any:
    """The loss of one label and one score, in float64."""
    y, z, parameter = np.float64(y), np.float64(z), np.float64(parameter)  # float() of a float32 stays one
    if code == 0:
        m = y * z
        return math.log1p(math.exp(-m)) if m > 0 else math.log1p(math.exp(m)) - m
    if code == 1:
        return max(0.0, parameter - y * z)
    if code == 9:
        return 0.5 * max(0.0, parameter - y * z) ** 2
    r = z - y
    a = abs(r)
    if code == 2:
        return 0.5 * r * r
    if code == 3:
        return a
    if code == 4:
        return max(0.0, a - parameter)
    if code == 5:
        return 0.5 * max(0.0, a - parameter) ** 2
    if code == 6:
        return (1.0 - parameter) * r if r > 0 else -parameter * r
    return 0.5 * r * r if a <= parameter else parameter * (a - 0.5 * parameter)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def margin_slopes(code: Any, parameter: Any, scores: Any, first: Any, outputs: Any, target: Any) -> Any:
    """Put d loss / dz of one model's `outputs` scores, from `first` on, in their place; how much is lacking.

    That is `parameter` less what the right score is above the best wrong one, not below zero: the loss, or
    the root of twice the squared one. Of wrong scores that are the same the first counts.
    """
    right = scores[first + target]
    other = -1
    for c in range(first, first + outputs):
        if c != first + target and (other < 0 or scores[c] > scores[other]):
            other = c
    lacking = max(_F(0.0), parameter - (right - scores[other]))
    step = lacking
    if code != SQUARED_MARGIN and lacking > 0:
        step = _F(1.0)
    for c in range(first, first + outputs):
        scores[c] = _F(0.0)
    scores[other] = step
    scores[first + target] = -step
    return lacking


@njit(cache=True, nogil=True, error_model="numpy")
def _losses(code: Any, parameter: Any, labels: Any, scores: Any, out: Any) -> None:
    for i in range(labels.shape[0]):
        out[i] = loss_of(code, parameter, labels[i], scores[i])


def code_of(loss: str) -> int:
    """The number of the loss of that name; Misuse if there is none."""
    if loss not in LOSSES:
        raise Misuse(f"{loss!r} is no loss", field="loss", fix=suggestion(str(loss), LOSSES))
    return LOSSES[loss]


def losses(loss: str, parameter: float, labels: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.float64]:
    """The loss of each row; labels (n,) are -1 and 1 or numbers, scores (n,).

    Under softmax and the losses of Crammer and Singer labels are class numbers and scores (n, k).
    """
    if loss in MULTICLASS:
        scores = np.asarray(scores, np.float64)
    if loss in MULTICLASS and loss != "softmax":
        places = np.asarray(labels, np.int64)[:, None]
        right = np.take_along_axis(scores, places, axis=1)[:, 0]
        wrong = scores.copy()
        np.put_along_axis(wrong, places, -np.inf, axis=1)
        lacking = np.maximum(0.0, parameter - (right - wrong.max(axis=1)))
        return np.asarray(lacking if loss == "crammer_singer" else 0.5 * lacking * lacking)
    if loss == "softmax":
        top = scores.max(axis=1)
        spread = np.log(np.exp(scores - top[:, None]).sum(axis=1)) + top
        return np.asarray(spread - scores[np.arange(len(scores)), np.asarray(labels, np.int64)])
    out = np.empty(len(labels))
    _losses(
        code_of(loss), float(parameter), np.asarray(labels, np.float64), np.asarray(scores, np.float64), out
    )
    return out


def probabilities(loss: str, scores: NDArray[Any]) -> NDArray[np.float64]:
    """How likely the positive class is, (n,), or for losses of one score a class each class, (n, k).

    Only logistic and softmax scores are log-odds. A hinge or regression score is mapped to (z + 1) / 2, held
    between 0 and 1: it orders rows as the score does, no more. So do the scores of Crammer and Singer, mapped
    as those of softmax, with the classes of a row.
    """
    scores = np.asarray(scores, np.float64)
    if loss in MULTICLASS:
        shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
    if loss == "logistic":
        fall = np.exp(-np.abs(scores))
        return np.asarray(np.where(scores >= 0, 1.0, fall) / (1.0 + fall))
    return np.asarray(np.clip((scores + 1.0) / 2.0, 0.0, 1.0))
