"""Principal component analysis of a stream: one exact mode in O(d^2) memory, one randomized in O(k d).

SageMaker elastic algorithms (Liberty et al., SIGMOD 2020), section 4, and Amazon's developer guide, "How PCA
works": the modes, `num_components`, `extra_components` and `subtract_mean` are those of the service. What
randomized mode keeps is not its sketch of signs; see `krylov` for what it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import scipy.linalg
from numba import njit
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.estimator import StreamEstimator
from tradewind.algorithms.interface import PROGRESS, State
from tradewind.algorithms.pca.krylov import approximate, basis_of, of_one_matrix, signs
from tradewind.algorithms.pca.model import PCAModel, Told
from tradewind.errors import Misuse, suggestion

SHIFT, SUMS, GRAM, BASIS, PRODUCT = "shift", "sums", "gram", "basis", "product"
"""Tables: `shift` (d,), near the mean, that every row is lessened by, so that little is lost when large
numbers vary a little; `sums` (passes, d + 2), each pass's sum of rows, their weight and their squared
lengths; `gram` (d, d), regular mode's sum of x x'; `basis.0`, `product.0` and so on, each (d, l), randomized
mode's vectors of a pass and the sum of x x' times them."""

MOST_REGULAR = 20_000
"""Columns above which regular mode is refused: its state would be over 3 GB."""
WEAK = 0.85
"""Where the components surely hold less than this share of what they are estimated to hold, the sketch was
too thin: they then hold some 0.9 or less of what the best ones would."""
_CONFIG = ("num_components", "subtract_mean", "whiten")


class PCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, StreamEstimator):
    """The directions along which rows vary most, learned from batches.

    `regular` sums x x' up in float64 and is exact: O(n d^2) time, O(d^2) memory; sums of the same blocks are
    the same to the last bit, whoever adds them up. Prefer it up to some 5,000 columns. `randomized`
    multiplies with num_components + extra_components vectors: O(n d k) time, O(k d) memory a pass. It
    estimates how much variance its components hold, with a standard error, warns where a stronger sketch
    would hold more, and with `passes` of two or three goes over the rows again to find better ones. Weights
    count rows several times. Signs are such that each component's largest entry is positive. Constant
    columns get zeros.

    In a job the epochs are the passes: one beyond `passes` changes nothing, and those that are missing leave
    the components weaker and the estimate true. A worker that comes into a pass first makes its basis of
    what the pass before has summed up by then. Bulk-synchronous, all that come in together see the same
    sums, so a resumed job learns the same bits. In the other modes two may make one each at the same
    moment, and what is lost may be lost of one pass alone: a pass that does not agree with the others is left
    out of the model. Rows given to `partial_fit` belong to the first pass.

    Args:
        num_components: k; None is 10, or as many as there are columns if that is fewer. Regular mode's state
            answers any k up to d, randomized mode's up to k + extra_components, see `finalize`.
        mode: `regular` or `randomized`.
        extra_components: more vectors that randomized mode carries; -1 is max(10, num_components).
        passes: how often `fit` goes over the rows in randomized mode, 1 to 3.
        subtract_mean: whether variance is about the mean, or about zero.
        whiten: whether coordinates are divided by their deviation.
        batch_size: rows that `fit` takes at a time.
        seed: of the vectors.

    Attributes: `components_` (k, d), `mean_` (d,), `explained_variance_` and `explained_variance_ratio_`
    (k,), `variance_captured_` and `variance_captured_error_`. In randomized mode the variances are the
    sketch's own, scaled to what all components are estimated to hold.

    >>> rows = [[2.0, 0.0], [4.0, 0.1], [6.0, 0.0], [8.0, 0.1]]
    >>> PCA(1).fit(rows).components_.round(2).tolist()
    [[1.0, 0.01]]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "num_components": [Interval(Integral, 1, None, closed="left"), None],
        "mode": [StrOptions({"regular", "randomized"})],
        "extra_components": [Interval(Integral, -1, None, closed="left")],
        "passes": [Interval(Integral, 1, 3, closed="both")],
        "subtract_mean": ["boolean"],
        "whiten": ["boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "seed": [Interval(Integral, 0, None, closed="left")],
    }

    sample_size = 1000

    def __init__(
        self,
        num_components: int | None = None,
        *,
        mode: str = "regular",
        extra_components: int = -1,
        passes: int = 1,
        subtract_mean: bool = True,
        whiten: bool = False,
        batch_size: int = 2000,
        seed: int = 0,
    ) -> None:
        self.num_components, self.mode, self.extra_components = num_components, mode, extra_components
        self.passes, self.subtract_mean, self.whiten = passes, subtract_mean, whiten
        self.batch_size, self.seed = batch_size, seed

    @property
    def epochs(self) -> int:
        """How often `fit` goes over the rows."""
        return self.passes if self.mode == "randomized" else 1

    def initialize(self, state: State, sample: Batch) -> None:
        """Register the tables; `sample` gives the shift."""
        self.check()
        d = sample.features
        self._wanted(d)
        if not len(sample):
            raise Misuse("there is no row to begin with", source="initialize", fix="Give at least one row.")
        shift = np.zeros(d)
        if sample.dense is not None:  # copied, so that the order in memory changes no bit
            shift = np.ascontiguousarray(sample.dense, np.float64).mean(axis=0)
        if not np.isfinite(shift).all():
            column = int(np.flatnonzero(~np.isfinite(shift))[0])
            raise Misuse(
                "a value is missing or not finite", source="PCA", field=f"column {column}",
                fix="Fill it in, or leave the column out.",
            )  # fmt: skip
        state.initialize(SHIFT, shift)
        state.initialize(SUMS, np.zeros((self.epochs, d + 2)))
        state.initialize(PROGRESS, np.zeros(2))
        if self.mode == "regular":
            if d > MOST_REGULAR:
                raise Misuse(
                    f"{d} columns are too many for {d} x {d} sums", source="PCA", field="mode",
                    fix="Use mode='randomized'.",
                )  # fmt: skip
            state.initialize(GRAM, np.zeros((d, d)))
            return
        width = self._width(d)
        for each in range(self.passes):
            first = np.zeros((d, width))
            if each == 0:
                first = signs(self.seed, d, width) if width < d else np.eye(d)
            state.initialize(f"{BASIS}.{each}", first, aggregate="put")
            state.initialize(f"{PRODUCT}.{each}", np.zeros((d, width)))

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """Sum up a part of the data: four pushes a batch, three in regular mode."""
        shift = state.pull(SHIFT)
        kept: dict[int, NDArray[np.float64]] = {}
        room = np.empty((0, len(shift)))
        for batch in stream:
            _check_width(batch, len(shift))
            each = batch.epoch
            counts = each < self.epochs
            if batch.dense is not None and len(batch) > len(room):
                room = np.empty((len(batch), len(shift)))
            rows, sums = _shifted(batch, shift, room[: len(batch)])
            with np.errstate(over="ignore", invalid="ignore"):  # what is too large is found below
                gram = _dense(rows.T @ rows) if counts and self.mode == "regular" else None
                # the diagonal has the squares already
                sums[-1] = _squares(rows) if gram is None else np.trace(gram)
            if not np.isfinite(sums[-1]):
                raise Misuse(
                    "a value is missing or not finite, or too large to be squared", source="PCA",
                    field="row", fix="Fill or drop such rows.",
                )  # fmt: skip
            if self.mode == "randomized":
                self._multiply(state, rows, each if counts else None, kept, synchronized)
            elif gram is not None:
                state.push(GRAM, gram)
            else:
                state.push(GRAM, np.zeros((0, len(shift))), np.empty(0, np.int64))
            state.push(SUMS, sums[None] if counts else np.zeros((1, len(sums))), np.array([each * counts]))
            state.push(PROGRESS, np.array([sums[-1], sums[-2]]))
            if synchronized:
                state.barrier()

    def finalize(self, state: State, **config: Any) -> PCAModel:
        """The model; `num_components`, `subtract_mean` and `whiten` may be given anew.

        Misuse for more components than the state can answer, or fewer rows than a variance needs.
        """
        for name in config:
            if name not in _CONFIG:
                raise Misuse(f"finalize takes no {name!r}", field=name, fix=suggestion(name, _CONFIG))
        plan = PCA(**{**self.parameters(), **config})
        plan.check()
        shift, sums = state.pull(SHIFT), np.asarray(state.pull(SUMS))
        rows = float(sums[0, -2])
        d = len(shift)
        if rows < (2 if plan.subtract_mean else 1):
            raise Misuse(
                f"a variance of {rows:g} rows", source="PCA", field="rows",
                fix="Give at least two rows, or subtract_mean=False and one.",
            )  # fmt: skip
        k = plan._wanted(d)
        total = max(float(_about(plan, sums[0], shift, np.zeros((0, 0)), None)), 0.0)
        freedom = rows - 1 if plan.subtract_mean else rows
        passes = 1
        if self.mode == "regular":
            gram = _about(plan, sums[0], shift, state.pull(GRAM), np.eye(d))
            values, vectors = _leading(np.asarray(gram), k)
            total = max(float(np.trace(gram)), 0.0)
            captured = lower = float(values.sum())
            error = 0.0
        else:
            passes = max(1, int((sums[:, -2] > 0).sum()))
            bases = [state.pull(f"{BASIS}.{each}") for each in range(passes)]
            products = []
            for each in range(passes):
                found = _about(plan, sums[each], shift, state.pull(f"{PRODUCT}.{each}"), bases[each])
                products.append(np.asarray(found) * (rows / sums[each, -2]))
            whole = of_one_matrix(bases, products, sums[:passes, -2])
            bases, products = [bases[each] for each in whole], [products[each] for each in whole]
            passes = len(whole)
            if k > bases[0].shape[1]:
                raise Misuse(
                    f"{k} components of a sketch of {bases[0].shape[1]}", source="PCA",
                    field="num_components", fix="Ask for fewer, or learn with more extra_components.",
                )  # fmt: skip
            about = approximate(bases, products, total, k)
            vectors, captured, lower, error = about.vectors, about.captured, about.at_least, about.error
            values = about.values * (captured / lower if lower > 0 else 1.0)
        variances = values / freedom
        told = Told(
            mode=self.mode, rows=rows, passes=passes, total_variance=total / freedom,
            variance_captured=captured / total if total > 0 else 1.0,
            variance_captured_error=error / total if total > 0 else 0.0,
            variance_captured_at_least=lower / total if total > 0 else 1.0,
            advice=_advice(lower, captured, passes, d),
        )  # fmt: skip
        scale = np.ones(k)
        if plan.whiten:
            there = variances > variances.max(initial=0.0) * 1e-12
            scale = np.where(there, 1 / np.sqrt(np.where(there, variances, 1.0)), 0.0)
        mean = shift + sums[0, :d] / rows if plan.subtract_mean else np.zeros(d)
        return PCAModel(_turned(vectors.T), np.asarray(mean), variances, scale, told)

    # scikit-learn's

    def transform(self, X: Any) -> NDArray[Any]:
        """Coordinates along the components, (n, k), in the precision of X."""
        check_is_fitted(self)
        found = validate_data(self, X, reset=False, accept_sparse="csr", dtype=[np.float64, np.float32])
        return self._model.evaluate(batch_of(found)).astype(found.dtype, copy=False)  # type: ignore[no-any-return]

    def inverse_transform(self, X: Any) -> NDArray[np.float64]:
        """Rows (n, d) of those coordinates (n, k)."""
        check_is_fitted(self)
        return self._model.inverse(X)  # type: ignore[no-any-return]

    def score(self, X: Any, y: Any = None) -> float:
        """The share of these rows' variance that the components hold."""
        check_is_fitted(self)
        found = validate_data(self, X, reset=False, accept_sparse="csr", dtype=[np.float64, np.float32])
        return float(self._model.score(batch_of(found)))

    @property
    def _n_features_out(self) -> int:
        return len(self._model.components)

    def _fitted(self) -> None:
        model: PCAModel = self._model
        self.components_, self.mean_ = model.components, model.mean
        self.n_components_ = len(model.components)
        self.explained_variance_ = model.variances
        total = model.told.total_variance
        self.explained_variance_ratio_ = model.variances / (total if total > 0 else 1.0)
        self.variance_captured_ = model.told.variance_captured
        self.variance_captured_error_ = model.told.variance_captured_error
        if model.told.advice:
            warnings.warn(model.told.advice, ConvergenceWarning, stacklevel=4)

    def _ordered(self, batch: Batch, epoch: int) -> Batch:
        return replace(batch, epoch=epoch)

    def _rows(self, X: Any, y: Any = None, *, reset: bool, classes: Any = None) -> Batch:
        least = 2 if reset and self.subtract_mean else 1
        found = validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_min_samples=least,
        )
        if (self.num_components or 0) > found.shape[1]:
            raise ValueError(
                f"num_components={self.num_components} is more than the {found.shape[1]} columns of X"
            )
        return batch_of(found)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # how

    def _wanted(self, features: int) -> int:
        """How many components of rows with that many columns."""
        if self.num_components is None:
            return min(features, 10)
        if self.num_components > features:
            raise Misuse(
                f"{self.num_components} components of {features} columns", source="PCA",
                field="num_components", fix=f"Give {features} or fewer.",
            )  # fmt: skip
        return self.num_components

    def _width(self, features: int) -> int:
        """How many vectors randomized mode multiplies with."""
        k = self._wanted(features)
        return min(features, k + (max(10, k) if self.extra_components < 0 else self.extra_components))

    def _multiply(
        self,
        state: State,
        rows: Any,
        each: int | None,
        kept: dict[int, NDArray[np.float64]],
        synchronized: bool,
    ) -> None:
        """Push the rows' share of the product of pass `each`, and its basis if nobody has made it."""
        made, basis = np.empty(0, np.int64), None
        if each is not None:
            basis = kept.get(each)
            if basis is None:
                basis = state.pull(f"{BASIS}.{each}")
                if not basis.any():
                    basis = self._next_basis(state, each)
                    made = np.arange(len(basis))
                elif synchronized:
                    kept[each] = basis  # it was made in an earlier round, so it is what all have
        key, width = each or 0, self._width(rows.shape[1])
        state.push(f"{BASIS}.{key}", np.zeros((0, width)) if basis is None or not len(made) else basis, made)
        if len(made) and not synchronized:
            basis = state.pull(f"{BASIS}.{key}")  # another worker's may stand by now
        if basis is None:
            state.push(f"{PRODUCT}.{key}", np.zeros((0, width)), made)
        else:
            state.push(f"{PRODUCT}.{key}", _dense(rows.T @ (rows @ basis)))

    def _next_basis(self, state: State, each: int) -> NDArray[np.float64]:
        """The basis of pass `each`, of what the one before has summed up so far."""
        sums, before = np.asarray(state.pull(SUMS))[each - 1], state.pull(f"{BASIS}.{each - 1}")
        product = state.pull(f"{PRODUCT}.{each - 1}")
        return basis_of(np.asarray(_about(self, sums, np.asarray(state.pull(SHIFT)), product, before)))


@njit(cache=True, nogil=True, error_model="numpy")
def _lessened(rows: Any, shift: Any, out: Any, sums: Any) -> None:
    """The rows less the shift, in double precision, and their sums: one reading does for both."""
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            gap = np.float64(rows[i, j]) - shift[j]
            out[i, j] = gap
            sums[j] += gap


def _shifted(
    batch: Batch, shift: NDArray[np.float64], room: NDArray[np.float64]
) -> tuple[Any, NDArray[np.float64]]:
    """The rows less the shift, times the root of their weights; sum and weight, with room for squares.

    Dense ones are written into `room` (n, d).
    """
    sums, weights = np.zeros(len(shift) + 2), None
    if batch.weights is not None:
        weights = batch.weights.astype(np.float64)
        if not (np.isfinite(weights) & (weights >= 0)).all():
            raise Misuse(
                "a weight is missing, infinite or below zero", source="PCA", field="weights",
                fix="Give each row a weight of zero or more.",
            )  # fmt: skip
    sums[-2] = len(batch) if weights is None else weights.sum()
    matrix: Any = batch.matrix()
    if batch.dense is not None:
        kind = np.float32 if matrix.dtype == np.float32 else np.float64
        _lessened(np.ascontiguousarray(matrix, kind), shift, room, sums[:-2])
        matrix = room
    elif shift.any():
        matrix = matrix.toarray() - shift
    else:
        matrix = matrix.astype(np.float64)
    if weights is not None or batch.dense is None:
        sums[:-2] = (np.ones(len(batch)) if weights is None else weights) @ matrix
    if weights is not None:
        root = np.sqrt(weights)[:, None]
        matrix = matrix * root if isinstance(matrix, np.ndarray) else matrix.multiply(root).tocsr()
    return matrix, sums


def _squares(rows: Any) -> float:
    values = rows.reshape(-1) if isinstance(rows, np.ndarray) else rows.data
    return float(values @ values)


def _dense(found: Any) -> NDArray[np.float64]:
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found)


def _about(
    plan: PCA,
    sums: NDArray[np.float64],
    shift: NDArray[np.float64],
    product: NDArray[np.float64],
    basis: NDArray[np.float64] | None,
) -> Any:
    """`product`, the sum of (x - shift)(x - shift)' times `basis`, as one about the mean, or about zero.

    Without a basis: the trace of the sum itself.
    """
    total, rows, squares = sums[:-2], float(sums[-2]), float(sums[-1])
    if plan.subtract_mean:
        if basis is None:
            return squares - float(total @ total) / max(rows, 1e-300)
        return product - np.outer(total, (total / max(rows, 1e-300)) @ basis)
    if basis is None:
        return squares + 2 * float(total @ shift) + rows * float(shift @ shift)
    return product + np.outer(shift, (total + rows * shift) @ basis) + np.outer(total, shift @ basis)


def _leading(gram: NDArray[np.float64], k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The k largest eigenvalues (k,) and their vectors (d, k), largest first; rounding below zero is zero."""
    d = len(gram)
    some: dict[str, Any] = {"subset_by_index": [d - k, d - 1]} if k * 4 < d else {}
    values, vectors = scipy.linalg.eigh(gram, check_finite=False, **some)
    return np.maximum(values[::-1][:k], 0.0), vectors[:, ::-1][:, :k]


def _turned(components: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rows, each turned so that the entry that is largest without its sign is positive."""
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    return np.ascontiguousarray(components * np.where(largest < 0, -1.0, 1.0))


def _advice(lower: float, captured: float, passes: int, features: int) -> str:
    """What to do about a sketch that was too thin; nothing where it was not."""
    if captured <= 0 or lower >= WEAK * captured:
        return ""
    better = "mode='regular'" if features <= 5000 else "more extra_components"
    if passes < 3:
        better = f"passes={passes + 1}, or {better}"
    return f"The sketch was too thin to find the best components of this spectrum: use {better}."


def _check_width(batch: Batch, features: int) -> None:
    if batch.features != features:
        raise Misuse(
            f"the rows have {batch.features} features, the state was made for {features}",
            source="update",
            field="features",
            fix="Give the same columns in the same order.",
        )
