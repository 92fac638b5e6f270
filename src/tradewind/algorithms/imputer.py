"""Missing values filled with their column's mean, in one pass over a stream: map, merge, map."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.estimator import StreamEstimator
from tradewind.algorithms.imputer_model import FillModel
from tradewind.algorithms.interface import PROGRESS, State
from tradewind.algorithms.scaler_model import check_width
from tradewind.errors import Misuse, suggestion

COUNT, SUMS, SHIFT = "count", "sums", "shift"
"""Tables (d,): values that there are; the sum of them less `shift`, which is near their means."""


class Imputer(OneToOneFeatureMixin, TransformerMixin, StreamEstimator):
    """Put a column's mean, or a number, in place of missing values (NaN).

    Of sparse rows the zeros that are not stored are values like others: they count for the mean and are never
    missing. A column of which every value is missing has no mean; it is filled with `number`. O(d) memory,
    O(n d) time for dense and O(nnz) for sparse rows.

    Args:
        fill: `mean`, or `number` for the same number everywhere.
        number: that number.

    >>> Imputer().fit_transform([[1.0, 5.0], [3.0, float("nan")]]).tolist()
    [[1.0, 5.0], [3.0, 5.0]]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "fill": [StrOptions({"mean", "number"})],
        "number": [Interval(Real, None, None, closed="neither")],
    }

    def __init__(self, fill: str = "mean", *, number: float = 0.0) -> None:
        self.fill, self.number = fill, number

    def initialize(self, state: State, sample: Batch) -> None:
        """Register the tables; `sample` gives the shift."""
        self.check()
        count, sums = _sums(sample, np.zeros(sample.features))
        state.initialize(SHIFT, sums / np.maximum(count, 1))
        state.initialize(COUNT, np.zeros(sample.features))
        state.initialize(SUMS, np.zeros(sample.features))
        state.initialize(PROGRESS, np.zeros(2))

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """Add up a part of the data."""
        shift = state.pull(SHIFT)
        for batch in stream:
            check_width(batch, len(shift), "update")
            count, sums = _sums(batch, shift)
            state.push(COUNT, count)
            state.push(SUMS, sums)
            state.push(PROGRESS, np.array([0.0, len(batch)]))
            if synchronized:
                state.barrier()

    def finalize(self, state: State, **config: Any) -> FillModel:
        """The map; `fill` and `number` may be given anew."""
        for name in config:
            if name not in ("fill", "number"):
                raise Misuse(
                    f"finalize takes no {name!r}", field=name, fix=suggestion(name, ("fill", "number"))
                )
        plan = Imputer(**{**self.parameters(), **config})
        plan.check()
        count = state.pull(COUNT)
        if plan.fill == "number":
            return FillModel(np.full(len(count), float(plan.number)))
        mean = state.pull(SHIFT) + state.pull(SUMS) / np.maximum(count, 1)
        return FillModel(np.where(count > 0, mean, float(plan.number)))

    def transform(self, X: Any) -> Any:
        """The rows without gaps: an array, or sparse rows where they were sparse."""
        check_is_fitted(self)
        return self._model.evaluate(self._rows(X, reset=False))

    def _rows(self, X: Any, y: Any = None, *, reset: bool, classes: Any = None) -> Batch:
        return batch_of(
            validate_data(
                self,
                X,
                reset=reset,
                accept_sparse="csr",
                dtype=[np.float64, np.float32],
                ensure_all_finite="allow-nan",
            )
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _sums(batch: Batch, shift: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By column: how many values there are, and their sum less `shift`."""
    if batch.dense is not None:
        values = np.asarray(batch.dense, np.float64)
        there = ~np.isnan(values)
        return there.sum(axis=0).astype(np.float64), np.where(there, values - shift, 0.0).sum(axis=0)
    assert batch.values is not None and batch.indices is not None
    gaps = np.isnan(batch.values)
    d = batch.features
    count = len(batch) - np.bincount(batch.indices[gaps], minlength=d).astype(np.float64)
    stored = np.bincount(batch.indices[~gaps], batch.values[~gaps].astype(np.float64), d)
    return count, stored - count * shift
