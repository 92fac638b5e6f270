"""Columns brought to one scale, in one pass over a stream: map, merge, map.

Cirrus (Carreira et al., SoCC 2019), its preprocessing: every worker finds the bounds or the sums of its part,
the state merges them, and the model maps the rows. O(d) memory, O(nnz) time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.estimator import StreamEstimator
from tradewind.algorithms.graph import Graph, Node, Port, constant, rows
from tradewind.algorithms.interface import PROGRESS, State
from tradewind.errors import Misuse, suggestion

KIND = "ScalerModel"

COUNT, SUMS, SQUARES, LEAST, MOST, SHIFT = "count", "sums", "squares", "least", "most", "shift"
"""Tables (d,): values that there are, sums of them and of their squares less `shift`, minus the least, the
most; and `shift`, near their means, so that little is lost when large numbers vary a little."""


class ColumnScaler(OneToOneFeatureMixin, TransformerMixin, StreamEstimator):
    """Scale each column to bounds, or to mean zero and variance one.

    Missing values (NaN) are passed over and stay missing. Of sparse rows only the stored values count and are
    mapped, as in Cirrus: zeros that are not stored stay zero. A constant column becomes the middle of the
    bounds, or zero. A column without a value is left as it is.

    Args:
        kind: `normal` ((x - mean) / deviation) or `min_max`.
        low, high: the bounds of `min_max`.

    >>> ColumnScaler("min_max").fit_transform([[1.0, 5.0], [3.0, 5.0]]).tolist()
    [[0.0, 0.5], [1.0, 0.5]]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "kind": [StrOptions({"normal", "min_max"})],
        "low": [Interval(Real, None, None, closed="neither")],
        "high": [Interval(Real, None, None, closed="neither")],
    }

    def __init__(self, kind: str = "normal", *, low: float = 0.0, high: float = 1.0) -> None:
        self.kind, self.low, self.high = kind, low, high

    def check(self) -> None:
        """Raise Misuse for an argument that cannot be meant."""
        super().check()
        if self.kind == "min_max" and not self.low < self.high:
            raise Misuse(
                f"{self.low} is not below {self.high}",
                source="ColumnScaler",
                field="low",
                fix="Give a lower one.",
            )

    def initialize(self, state: State, sample: Batch) -> None:
        """Register the tables; `sample` gives the shift."""
        self.check()
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
        """The map; `kind`, `low` and `high` may be given anew."""
        for name in config:
            if name not in ("kind", "low", "high"):
                raise Misuse(
                    f"finalize takes no {name!r}", field=name, fix=suggestion(name, ("kind", "low", "high"))
                )
        plan = ColumnScaler(**{**self.parameters(), **config})
        plan.check()
        count, shift = state.pull(COUNT), state.pull(SHIFT)
        there = count > 0
        if plan.kind == "normal":
            mean = state.pull(SUMS) / np.maximum(count, 1)
            variance = np.maximum(state.pull(SQUARES) / np.maximum(count, 1) - mean * mean, 0)
            # what rounding leaves of a constant column is no variance
            constant_ = variance <= np.finfo(np.float64).eps * 16 * (shift * shift + mean * mean)
            scale = 1 / np.where(constant_ | ~there, 1.0, np.sqrt(variance))
            shift = shift + mean
            return ScalerModel(np.where(there, shift, 0.0), scale, np.zeros(len(count)), "normal")
        least, most = np.where(there, -state.pull(LEAST), 0.0), np.where(there, state.pull(MOST), 0.0)
        flat = most <= least
        scale = np.where(flat, 1.0, (plan.high - plan.low) / np.where(flat, 1.0, most - least))
        middle = np.where(flat, (plan.low + plan.high) / 2, plan.low)
        return ScalerModel(least, scale, np.where(there, middle, 0.0), "min_max")

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


class ScalerModel:
    """`(X - shift) * scale + offset`, column by column."""

    metric = "mean_square"

    def __init__(
        self, shift: NDArray[np.float64], scale: NDArray[np.float64], offset: NDArray[np.float64], mode: str
    ) -> None:
        self.shift, self.scale, self.offset, self.mode = shift, scale, offset, mode

    def evaluate(self, batch: Batch | ArrayLike) -> Any:
        """The rows on the new scale: (n, d), or a CSR matrix of sparse rows."""
        return self._mapped(batch, lambda x, at: (x - self.shift[at]) * self.scale[at] + self.offset[at])

    def inverse(self, batch: Batch | ArrayLike) -> Any:
        """Rows of the new scale on the old one."""
        return self._mapped(batch, lambda x, at: (x - self.offset[at]) / self.scale[at] + self.shift[at])

    def score(self, batch: Batch, metric: str = "") -> float:
        """`mean_square`: of all scaled values that are there."""
        if metric not in ("", self.metric):
            raise Misuse(f"{metric!r} is no metric of a scaler", field="metric", fix=f"Give {self.metric!r}.")
        found = self.evaluate(batch)
        return float(np.nanmean(np.square(found.data if hasattr(found, "tocsr") else found)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`shift`, `scale` and `offset`, each (d,)."""
        return {"shift": self.shift, "scale": self.scale, "offset": self.offset}

    def header(self) -> dict[str, Any]:
        """How to use the arrays."""
        return {
            "kind": KIND, "version": 1, "mode": self.mode, "features": len(self.scale),
            "formula": "(X - shift) * scale + offset; of sparse rows, the stored values only",
        }  # fmt: skip

    def graph(self) -> Graph:
        """Three operators on dense rows."""
        return Graph(
            nodes=(
                Node("Sub", ("X", "shift"), ("centred",)),
                Node("Mul", ("centred", "scale"), ("scaled",)),
                Node("Add", ("scaled", "offset"), ("Y",)),
            ),
            inputs=(rows(len(self.scale)),),
            outputs=(Port("Y", ("rows", len(self.scale))),),
            constants={name: constant(value) for name, value in self.arrays().items()},
        )

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> ScalerModel:
        """The model that gave `arrays` and `header`."""
        return cls(arrays["shift"], arrays["scale"], arrays["offset"], str(header["mode"]))

    def _mapped(self, given: Batch | ArrayLike, each: Any) -> Any:
        batch = given if isinstance(given, Batch) else batch_of(given)
        check_width(batch, len(self.scale), "evaluate")
        if batch.dense is not None:
            return each(np.asarray(batch.dense, np.float64), slice(None))
        assert batch.values is not None and batch.indices is not None
        kept: Any = (each(batch.values.astype(np.float64), batch.indices), batch.indices, batch.indptr)
        return csr_matrix(kept, shape=(len(batch), batch.features))


def check_width(batch: Batch, features: int, source: str) -> None:
    """Raise Misuse unless a batch has that many features."""
    if batch.features != features:
        raise Misuse(
            f"the rows have {batch.features} features, the state was made for {features}",
            source=source,
            field="features",
            fix="Give the same columns in the same order.",
        )


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
