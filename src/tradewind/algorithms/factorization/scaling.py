"""Scaling of a factorization machine's features and labels, and its undoing in the model.

A machine of scaled and shifted features is a machine of the raw ones: the pairs' products only move into the
weights and the bias. Dense columns that are mostly zero, such as indicators, are treated like sparse ones:
scaled by the root mean square of their non-zeros and not shifted, so that their zeros still cost nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.linear.scaling import Scaling, too_large
from tradewind.algorithms.linear.scaling import measure as measure_linear

_MOSTLY = 0.5
"""The share of zeros above which a dense column counts as sparse."""

_LEAST = 1e-20
"""The least deviation that is scaled to one."""


def measure(sample: Batch, *, features: bool, labels: bool) -> Scaling:
    """The scaling that the rows of `sample` call for; `features` and `labels` say what is scaled.

    Misuse for deviations outside of 1e-20 to 1e20: factors of raw features are float32.
    """
    found = _measured(sample, features, labels)
    wrong = np.flatnonzero(~((found.scale >= _LEAST) & (found.scale <= 1 / _LEAST)))
    if len(wrong):
        raise too_large(f"column {wrong[0]} holds values that are", "features")
    if not _LEAST <= found.label_scale <= 1 / _LEAST:
        raise too_large("the labels are", "labels")
    return found


def _measured(sample: Batch, features: bool, labels: bool) -> Scaling:
    found = measure_linear(sample, features=features, centre=features, labels=labels)
    if sample.dense is None or not features or not len(sample):
        return found
    dense = np.asarray(sample.dense, np.float64)
    count = (dense != 0).sum(axis=0)
    sparse = count < (1 - _MOSTLY) * len(dense)
    root = np.sqrt((dense * dense).sum(axis=0) / np.maximum(count, 1))
    return msgspec.structs.replace(
        found,
        shift=np.where(sparse, 0.0, found.shift),
        scale=np.where(sparse, np.where(root > 0, root, 1.0), found.scale),
    )


def fold_back(
    scaling: Scaling, table: NDArray[Any], bias: float
) -> tuple[NDArray[np.float64], NDArray[np.float32], float]:
    """Weights (d,), factors (d, k) and the bias for raw features and labels, of `table` (d, k + 1).

    With u = v / scale and M = sum_i shift_i u_i, the pairs of shifted features are those of raw ones, less
    `u_i M - |u_i|**2 shift_i` in each weight, and `(|M|**2 - sum_i |u_i|**2 shift_i**2) / 2` in the bias.
    """
    size = np.sqrt(scaling.label_scale)
    if not scaling.centred and not (scaling.scale != 1).any():
        weights = np.asarray(table[:, -1], np.float64) * scaling.label_scale
        factors = np.asarray(table[:, :-1] * np.float32(size), np.float32)
        return weights, factors, bias * scaling.label_scale + scaling.label_shift
    factors = np.asarray(table[:, :-1] * (size / scaling.scale)[:, None], np.float32)
    u = factors.astype(np.float64) / size  # rounded already: large shifts multiply what rounding takes
    w = np.asarray(table[:, -1], np.float64) / scaling.scale
    shift = scaling.shift
    middle, squares = shift @ u, (u * u).sum(axis=1)
    weights = w - (u @ middle - squares * shift)
    moved = bias - shift @ w + 0.5 * (middle @ middle - squares @ (shift * shift))
    return (
        weights * scaling.label_scale,
        factors,
        float(moved * scaling.label_scale + scaling.label_shift),
    )
