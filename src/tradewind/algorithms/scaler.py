"""Columns brought to one scale, in one pass over a stream: map, merge, map.

Cirrus (Carreira et al., SoCC 2019), its preprocessing: every worker finds the bounds or the sums of its part,
the state merges them, and the model maps the rows. O(d) memory, O(nnz) time.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.estimator import StreamEstimator
from tradewind.algorithms.interface import PROGRESS, State
from tradewind.algorithms.scaler_model import ScalerModel, check_width
from tradewind.errors import Misuse, suggestion

__all__ = ["ColumnScaler", "ScalerModel"]

COUNT, SUMS, SQUARES, LEAST, MOST, SHIFT = "count", "sums", "squares", "least", "most", "shift"
"""Tables (d,): values that there are, sums of them and of their squares less `shift`, minus the least, the
most; and `shift`, near their means, so that little is lost when large numbers vary a little."""


class ColumnScaler(OneToOneFeatureMixin, TransformerMixin, StreamEstimator):
    """Scale each column to bounds, or to mean zero and variance one.

    Missing values (NaN) are passed over and stay missing. Of sparse rows only the stored values count and are
    mapped, as in Cirrus: zeros that are not stored stay zero. A constant column becomes the middle of the
    bounds, or zero. A column without a value is left as it is.

    Args:
        mode: `normal` ((x - mean) / deviation) or `min_max`.
        low, high: the bounds of `min_max`.
        columns: which columns, by number; None for all. The others stay as they are.

    >>> ColumnScaler("min_max").fit_transform([[1.0, 5.0], [3.0, 5.0]]).tolist()
    [[0.0, 0.5], [1.0, 0.5]]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "mode": [StrOptions({"normal", "min_max"})],
        "low": [Interval(Real, None, None, closed="neither")],
        "high": [Interval(Real, None, None, closed="neither")],
        "columns": ["array-like", None],
    }

    def __init__(
        self,
        mode: str = "normal",
        *,
        low: float = 0.0,
        high: float = 1.0,
        columns: ArrayLike | None = None,
    ) -> None:
        self.mode, self.low, self.high, self.columns = mode, low, high, columns

    def check(self) -> None:
        """Raise Misuse for an argument that cannot be meant."""
        super().check()
        if self.mode == "min_max" and not self.low < self.high:
            raise Misuse(
                f"{self.low} is not below {self.high}",
                source="ColumnScaler",
                field="low",
                fix="Give a lower one.",
            )

    def initialize(self, state: State, sample: Batch) -> None:
        """Register the tables; `sample` gives the shift."""
        self.check()
        self._left(sample.features)
        found = _sums(sample, np.zeros(sample.features))
        state.initialize(SHIFT, found[1] / np.maximum(found[0], 1))
        for key in (COUNT, SUMS, SQUARES):
            state.initialize(key, np.zeros(sample.features))
        for key in (LEAST, MOST):
            state.initialize(key, np.full(sample.features, np.finfo(np.float64).min), aggregate="max")
        state.initialize(PROGRESS, np.zeros(2))

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """Add up a part of the data."""
        shift = state.pull(SHIFT)
        for batch in stream:
            check_width(batch, len(shift), "update")
            for key, found in zip((COUNT, SUMS, SQUARES, LEAST, MOST), _sums(batch, shift), strict=True):
                state.push(key, found)
            state.push(PROGRESS, np.array([0.0, len(batch)]))
            if synchronized:
                state.barrier()

    def finalize(self, state: State, **config: Any) -> ScalerModel:
        """The map; the constructor's arguments may be given anew."""
        for name in config:
            if name not in self.parameters():
                raise Misuse(
                    f"finalize takes no {name!r}", field=name, fix=suggestion(name, self.parameters())
                )
        plan = ColumnScaler(**{**self.parameters(), **config})
        plan.check()
        count, shift = state.pull(COUNT), state.pull(SHIFT)
        there = (count > 0) & ~plan._left(len(count))
        if plan.mode == "normal":
            mean = state.pull(SUMS) / np.maximum(count, 1)
            variance = np.maximum(state.pull(SQUARES) / np.maximum(count, 1) - mean * mean, 0)
            # what rounding leaves of a constant column, or far from the shift, is no variance
            constant_ = (-state.pull(LEAST) >= state.pull(MOST)) | (
                variance <= np.finfo(np.float64).eps * mean * mean
            )
            scale = 1 / np.where(constant_ | ~there, 1.0, np.sqrt(variance))
            shift = shift + mean
            return ScalerModel(np.where(there, shift, 0.0), scale, np.zeros(len(count)), "normal")
        least, most = np.where(there, -state.pull(LEAST), 0.0), np.where(there, state.pull(MOST), 0.0)
        flat = most <= least
        scale = np.where(flat, 1.0, (plan.high - plan.low) / np.where(flat, 1.0, most - least))
        middle = np.where(flat, (plan.low + plan.high) / 2, plan.low)
        return ScalerModel(least, scale, np.where(there, middle, 0.0), "min_max")

    def _left(self, features: int) -> NDArray[np.bool_]:
        """Which columns stay as they are, (features,); Misuse for a column that there is not."""
        if self.columns is None:
            return np.zeros(features, bool)
        columns = np.asarray(self.columns)
        whole = columns.ndim == 1 and (columns.dtype.kind in "iu" or not columns.size)
        if not whole or (columns.size and not 0 <= columns.min() <= columns.max() < features):
            raise Misuse(
                f"{self.columns!r} are no columns of {features}", source="ColumnScaler", field="columns",
                fix="Give whole numbers from 0.",
            )  # fmt: skip
        left = np.ones(features, bool)
        left[columns.astype(np.int64)] = False
        return left

    def transform(self, X: Any) -> Any:
        """The rows on the new scale: an array, or sparse rows where they were sparse."""
        return self._mapped(X, back=False)

    def inverse_transform(self, X: Any) -> Any:
        """Rows of the new scale on the old one."""
        return self._mapped(X, back=True)

    def _mapped(self, X: Any, back: bool) -> Any:
        check_is_fitted(self)
        found = validate_data(
            self, X, reset=False, accept_sparse="csr", dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan",
        )  # fmt: skip
        batch = batch_of(found)
        return self._model.inverse(batch) if back else self._model.evaluate(batch)

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


def _sums(batch: Batch, shift: NDArray[np.float64]) -> tuple[NDArray[Any], ...]:
    """By column: how many values, their sum and sum of squares less `shift`, minus the least, the most."""
    lowest = np.finfo(np.float64).min
    if batch.dense is not None:
        values = np.asarray(batch.dense, np.float64)
        there = ~np.isnan(values)
        moved = np.where(there, values - shift, 0.0)
        return (
            there.sum(axis=0).astype(np.float64), moved.sum(axis=0), np.square(moved).sum(axis=0),
            np.where(there, -values, lowest).max(axis=0, initial=lowest),
            np.where(there, values, lowest).max(axis=0, initial=lowest),
        )  # fmt: skip
    assert batch.values is not None and batch.indices is not None
    kept = ~np.isnan(batch.values)
    at, x = batch.indices[kept], batch.values[kept].astype(np.float64)
    d = batch.features
    moved = x - shift[at]
    least, most = np.full(d, lowest), np.full(d, lowest)
    np.maximum.at(least, at, -x)
    np.maximum.at(most, at, x)
    return (
        np.bincount(at, minlength=d).astype(np.float64), np.bincount(at, moved, d),
        np.bincount(at, np.square(moved), d), least, most,
    )  # fmt: skip
