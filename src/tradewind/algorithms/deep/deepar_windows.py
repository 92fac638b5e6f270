"""What the network sees of series: lags, features and scales of windows, as one array for all of them.

A window is `context` steps before a moment and `prediction` steps from it on. At each step the inputs are, in
this order: the values `lags` steps before, divided by the window's scale; whether the value one step before
was there; the calendar features; the age (how far the series is from its start, log10(2 + t)); the dynamic
features; and the logarithm of the scale. Salinas et al. (2020), sections 3.1, 3.3 and 3.4. A value that is
missing is stood in for by the last one before it in the lags, and never counts in the loss; before its start
a series is zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import NDArray

from tradewind.algorithms.deep.deepar_calendar import Frequency
from tradewind.algorithms.series import SeriesBlock


class WindowPlan(Struct, frozen=True, eq=False):
    """How windows are cut."""

    context: int
    prediction: int
    lags: NDArray[np.int64]
    """Rising, from 1."""
    frequency: Frequency
    fallback: float
    """The scale of windows that hold nothing but zeros or gaps; 1 for all of them if `scaled` is false."""
    scaled: bool = True
    shift: NDArray[np.float32] = np.zeros(0, np.float32)
    """What is taken from the dynamic features, (F,), before they are"""
    spread: NDArray[np.float32] = np.ones(0, np.float32)
    """divided by this, (F,)."""

    @property
    def width(self) -> int:
        """Inputs a step, without those of categories."""
        return len(self.lags) + 1 + len(self.frequency.features) + 1 + len(self.shift) + 1


class Windows(Struct, frozen=True, eq=False):
    """B windows of T = context + prediction steps."""

    inputs: NDArray[np.float32]
    """(T, B, width)"""
    target: NDArray[np.float32]
    """(T, B), zero where there is none."""
    observed: NDArray[np.bool_]
    """(T, B)"""
    scale: NDArray[np.float32]
    """(B,)"""


class History(Struct, frozen=True, eq=False):
    """Series ready for windows to be cut out of them."""

    block: SeriesBlock
    filled: NDArray[np.float32]
    """(n, span): the target, with the last value before it where one is missing, zero before the first."""
    observed: NDArray[np.bool_]
    """(n, span)"""

    @classmethod
    def of(cls, block: SeriesBlock) -> History:
        """The history of the block's series."""
        filled = np.empty_like(block.target)
        observed = np.empty(block.target.shape, np.bool_)
        _fill(block.target, block.length, filled, observed)
        return cls(block, filled, observed)


@njit(cache=True, nogil=True, error_model="numpy")
def _fill(target: Any, length: Any, filled: Any, observed: Any) -> None:
    for i in range(target.shape[0]):
        last = np.float32(0)
        for t in range(target.shape[1]):
            there = target[i, t] == target[i, t] and t < length[i]
            observed[i, t] = there
            if there:
                last = target[i, t]
            filled[i, t] = last if t < length[i] else np.float32(0)


def typical_scale(block: SeriesBlock) -> float:
    """The median over series of their mean absolute value; 1 where all are zero or empty."""
    there = ~np.isnan(block.target)
    sums = np.where(there, np.abs(block.target), 0).sum(axis=1, dtype=np.float64)
    scales = sums / np.maximum(there.sum(axis=1), 1)
    scales = scales[scales > 0]
    return float(np.median(scales)) if len(scales) else 1.0


def scales_of(plan: WindowPlan, windows: Windows, steps: int) -> NDArray[np.float64]:
    """By input a mean and one over a spread, (2, width), of what lies between the first and last percent.

    No spread is less than one: what hardly changes here may do so elsewhere. One over it is zero for features
    of the calendar that do not repeat in `steps`, the length of the longest series: series that run side by
    side would be learned by heart with them, moment by moment.
    """
    found = windows.inputs.reshape(-1, windows.inputs.shape[2]).astype(np.float64)
    found = np.clip(found, *np.quantile(found, (0.01, 0.99), axis=0))
    factor = 1 / np.maximum(found.std(axis=0), 1.0)
    repeated = np.array(plan.frequency.repeated(steps))
    at = len(plan.lags) + 1
    factor[at : at + len(repeated)] *= repeated
    return np.stack([found.mean(axis=0), factor])


def cut(plan: WindowPlan, history: History, rows: NDArray[np.int64], moments: NDArray[np.int64]) -> Windows:
    """The windows of series `rows` (B,) whose first step to be predicted is `moments` (B,)."""
    T, B = plan.context + plan.prediction, len(rows)
    block = history.block
    inputs = np.zeros((T, B, plan.width), np.float32)
    target, observed = np.zeros((T, B), np.float32), np.zeros((T, B), np.bool_)
    scale = np.empty(B, np.float32)
    _cut(
        history.filled, history.observed, rows, moments, plan.context, plan.lags, plan.scaled,
        np.float32(plan.fallback), inputs, target, observed, scale,
    )  # fmt: skip
    at = len(plan.lags) + 1
    steps = (moments - plan.context)[:, None] + np.arange(T)
    calendar = plan.frequency.calendar(plan.frequency.moments(block.start[rows], steps))
    inputs[:, :, at : at + calendar.shape[2]] = calendar.transpose(1, 0, 2)
    at += calendar.shape[2]
    inputs[:, :, at] = np.log10(2.0 + np.maximum(steps, 0)).T
    at += 1
    F = len(plan.shift)
    if F:
        places = np.clip(steps, 0, block.layout.span - 1)
        found = block.dynamic[rows[:, None], :, places]
        found = np.where((steps >= 0)[:, :, None], (found - plan.shift) / plan.spread, 0)
        inputs[:, :, at : at + F] = found.transpose(1, 0, 2)
    inputs[:, :, -1] = np.log(scale)
    return Windows(inputs, target, observed, scale)


@njit(cache=True, nogil=True, error_model="numpy")
def _cut(
    filled: Any, there: Any, rows: Any, moments: Any, context: int, lags: Any, scaled: bool, fallback: Any,
    inputs: Any, target: Any, observed: Any, scale: Any,
) -> None:  # fmt: skip
    T, B = target.shape
    span = filled.shape[1]
    for b in range(B):
        row, first = rows[b], moments[b] - context
        total, count = 0.0, 0
        for t in range(max(first, 0), min(moments[b], span)):
            if there[row, t]:
                total += abs(filled[row, t])
                count += 1
        if not scaled:
            v = np.float32(1)
        elif total > 0:
            v = np.float32(total / count)
        else:
            v = fallback
        scale[b] = v
        for step in range(T):
            t = first + step
            if 0 <= t < span and there[row, t]:
                observed[step, b] = True
                target[step, b] = filled[row, t]
            for k in range(lags.shape[0]):
                back = t - lags[k]
                if 0 <= back < span:
                    inputs[step, b, k] = filled[row, back] / v
            inputs[step, b, lags.shape[0]] = 0 < t <= span and there[row, t - 1]
