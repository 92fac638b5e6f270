"""Many categories in few columns: the signed hashing trick.

Weinberger, Dasgupta, Langford, Smola and Attenberg, "Feature hashing for large scale multitask learning",
ICML 2009, section 2. It is a preprocessing of Cirrus (Carreira et al., SoCC 2019). The hash is in
`algorithms.mixing`.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from sklearn.base import TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.estimator import StreamEstimator
from tradewind.algorithms.feature_hashing_model import HashingModel
from tradewind.algorithms.interface import PROGRESS, State
from tradewind.algorithms.mixing import text_numbers
from tradewind.algorithms.scaler_model import check_width
from tradewind.errors import Misuse, suggestion

FEATURES = "features"
"""The table that holds how many columns the rows have."""


class FeatureHashing(TransformerMixin, StreamEstimator):
    """Hash the categories of some columns into a fixed number of columns; nothing is learned.

    Rows become sparse: first the columns that are not hashed, in their order, then `buckets` columns. A
    category adds 1 or -1, as another bit of its hash says, to the column that its hash names; those that meet
    there add up, which leaves inner products right on average. A category not seen before goes where its hash
    says, as any other; so does a missing value (NaN), which is a category of its own. O(1) memory, O(nnz)
    time.

    Categories are numbers, or text where scikit-learn's face is given an array of objects. Of sparse rows
    only the stored values are hashed.

    Args:
        columns: which columns, by number; None for all.
        buckets: how many columns take them.
        tokens: `category` hashes a column together with its value and adds 1 or -1; `column` hashes the
            column alone and adds its value or minus it, which folds a wide table of quantities.
        seed: gives another hash.

    >>> FeatureHashing([1], buckets=4).fit_transform([[0.5, 7.0], [0.0, 8.0]]).toarray().tolist()
    [[0.5, 0.0, 0.0, 0.0, -1.0], [0.0, 0.0, 1.0, 0.0, 0.0]]
    """

    reads_rows: ClassVar[bool] = False
    """Whether a pass over the rows is needed before they can be mapped."""
    sample_size = 1
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "columns": ["array-like", None],
        "buckets": [Interval(Integral, 1, 2**30, closed="both")],
        "tokens": [StrOptions({"category", "column"})],
        "seed": [Interval(Integral, 0, 2**64 - 1, closed="both")],
    }

    def __init__(
        self,
        columns: ArrayLike | None = None,
        buckets: int = 1024,
        *,
        tokens: str = "category",
        seed: int = 0,
    ) -> None:
        self.columns, self.buckets, self.tokens, self.seed = columns, buckets, tokens, seed

    def check(self) -> None:
        """Raise Misuse for an argument that cannot be meant."""
        super().check()
        if self.columns is None:
            return
        columns = np.asarray(self.columns)
        if columns.ndim != 1 or columns.dtype.kind not in "iu" or len(np.unique(columns)) < len(columns):
            raise Misuse(
                f"{self.columns!r} names no columns", source="FeatureHashing", field="columns",
                fix="Give different whole numbers from 0.",
            )  # fmt: skip

    def initialize(self, state: State, sample: Batch) -> None:
        """Register how many columns there are."""
        self._made_for(sample.features)
        state.initialize(FEATURES, np.array(sample.features))
        state.initialize(PROGRESS, np.zeros(2))

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """Count the rows."""
        features = int(state.pull(FEATURES))
        for batch in stream:
            check_width(batch, features, "update")
            state.push(PROGRESS, np.array([0.0, len(batch)]))
            if synchronized:
                state.barrier()

    def finalize(self, state: State, **config: Any) -> HashingModel:
        """The map; the constructor's arguments may be given anew."""
        for name in config:
            if name not in self.parameters():
                raise Misuse(
                    f"finalize takes no {name!r}", field=name, fix=suggestion(name, self.parameters())
                )
        return FeatureHashing(**{**self.parameters(), **config})._made_for(int(state.pull(FEATURES)))

    def fit(self, X: Any, y: Any = None) -> Self:
        """See how many columns there are."""
        self._validate_params()
        self._model = self._made_for(self._rows(X, reset=True).features)
        return self

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None) -> Self:
        """The same: there is nothing to learn on."""
        if not hasattr(self, "_model"):
            return self.fit(X)
        self._rows(X, reset=False)
        return self

    def transform(self, X: Any) -> csr_matrix:
        """The rows with the chosen columns hashed: CSR, float32."""
        check_is_fitted(self)
        found: csr_matrix = self._model.evaluate(self._rows(X, reset=False))
        return found

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of the columns of `transform`."""
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", input_features)
        kept = np.flatnonzero(self._model.places >= 0)
        told = [f"x{column}" if names is None else str(names[column]) for column in kept]
        return np.array([*told, *(f"hash{bucket}" for bucket in range(self.buckets))], object)

    def _made_for(self, features: int) -> HashingModel:
        self.check()
        columns = np.arange(features) if self.columns is None else np.asarray(self.columns, np.int64)
        if len(columns) and not 0 <= columns.min() <= columns.max() < features:
            raise Misuse(
                f"there are {features} columns, numbered from 0, and {int(columns.max())} is not among them",
                source="FeatureHashing", field="columns", fix="Name columns that there are.",
            )  # fmt: skip
        return HashingModel(features, np.sort(columns), int(self.buckets), str(self.tokens), int(self.seed))

    def _rows(self, X: Any, y: Any = None, *, reset: bool, classes: Any = None) -> Batch:
        found = validate_data(
            self, X, reset=reset, accept_sparse="csr", dtype=None, ensure_all_finite="allow-nan"
        )
        if not hasattr(found, "tocsr"):
            spoken = self.columns if self.tokens == "category" else ()
            found = _as_numbers(found, np.arange(found.shape[1]) if spoken is None else np.asarray(spoken))
        return batch_of(found)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _as_numbers(given: NDArray[Any], spoken: NDArray[Any]) -> NDArray[np.float64]:
    """An array of numbers and text as numbers: text in the columns `spoken` as its hash, None as missing.

    ValueError for text elsewhere that writes no number.
    """
    if given.dtype.kind in "fiub":
        return given.astype(np.float64)
    out = np.empty(given.shape, np.float64)
    for column in range(given.shape[1]):
        cells: list[Any] = [np.nan if cell is None else cell for cell in given[:, column].tolist()]
        texts = [place for place, cell in enumerate(cells) if isinstance(cell, str | bytes)]
        if texts and column in spoken:
            hashed = text_numbers([cells[place] for place in texts])
            for place, number in zip(texts, hashed.tolist(), strict=True):
                cells[place] = number
        out[:, column] = [float(cell) for cell in cells]
    return out
