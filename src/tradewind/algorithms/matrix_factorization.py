"""Matrix factorization with biases: `mean + b_u + b_i + p_u . q_i`.

Koren, Bell and Volinsky, "Matrix factorization techniques for recommender systems", IEEE Computer 2009,
sections "Learning algorithms" and "Adding biases". It is the collaborative filtering of Cirrus (Carreira et
al., SoCC 2019), whose mean, number of items and penalties are written into its source; here they come from
the data and from arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.estimator import StreamEstimator
from tradewind.algorithms.interface import PROGRESS, State
from tradewind.algorithms.ratings.descent import LANES, gradient, learn_users
from tradewind.algorithms.ratings.model import RatingModel, check_range
from tradewind.algorithms.ratings.pairs import MOST, Ids, Layout, check_below
from tradewind.algorithms.ratings.start import ITEMS, USERS, beginnings
from tradewind.algorithms.scaler_model import check_width
from tradewind.errors import Misuse, suggestion

RATE, SERVED_RATE = 0.015, 0.05
"""The usual rates: of a step row by row, and of the state's adagrad."""

_HUGE = 3e38
"""No rating is as large: float32 ends there."""

USER_ROWS, ITEM_ROWS, MEAN, RANGE, FEATURES = "users", "items", "mean", "range", "features"
"""Tables: how far (bias, factors) of each user and item are from their beginnings, sparse; the mean; minus
the least and the most rating seen; how many columns the rows have."""


class MatrixFactorization(RegressorMixin, StreamEstimator):
    """Predict ratings of items by users from their factors and biases.

    X is (n, 2) or wider: the columns named by `columns` hold the numbers of a user and an item, whole and
    from 0, and any others are not read. Or, with `layout="two_hot"`, rows with two ones, as for a
    factorization machine: one among the first `users` columns and one behind them. y is (n,), the ratings.

    Only users and items with ratings take memory, so numbers may have gaps and need no bound: text that is
    read as categories (see `open_data`) is numbered that way. One that was not rated is predicted by the mean
    and the other's bias; `model_.fold_in` adds users by their ratings without learning anew. Factors begin by
    the seed and the number.

    In one process `fit` goes over the ratings one by one, in float32: a user's together, the users in a new
    order each epoch, mostly those with many ratings first. O(n k) an epoch. Over the state engine each batch
    pulls the rows that it touches and pushes their gradient to adagrad. These are two optimizers of one loss:
    their errors are about as low, the factors differ.

    Args:
        factors: k, how many factors a user and an item have.
        epochs: how often `fit` goes through the ratings; a job has its own.
        rate: of the steps; None for 0.015 row by row, and for 0.05 of adagrad's in a job.
        l2: what a rating weighs against its user's and item's squared bias and factors.
        deviation: of the factors at the beginning.
        low, high: the least and most that a rating can be, and one beyond is refused; None for what the data
            has.
        clip: whether predictions are kept within them.
        columns: which columns name user and item.
        layout: `ids` or `two_hot`.
        users, items: how many there are, where it is known: a number from there on is refused in learning.
        batch_size: rows that a batch of `update` has with scikit-learn's face.
        seed: of the beginnings and orders.

    >>> X, y = [[0, 7], [0, 8], [1, 7], [1, 8]], [1.0, 3.0, 2.0, 4.0]
    >>> model = MatrixFactorization(factors=2, epochs=300, l2=0.001).fit(X, y)
    >>> model.predict([[0, 8], [1, 7], [5, 6]]).round(1).tolist()
    [3.0, 2.0, 2.5]
    """

    labels: ClassVar[str] = "number"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "factors": [Interval(Integral, 1, 4096, closed="both")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "rate": [Interval(Real, 0, None, closed="neither"), None],
        "l2": [Interval(Real, 0, None, closed="left")],
        "deviation": [Interval(Real, 0, None, closed="left")],
        "low": [Interval(Real, None, None, closed="neither"), None],
        "high": [Interval(Real, None, None, closed="neither"), None],
        "clip": ["boolean"],
        "columns": ["array-like"],
        "layout": [StrOptions({"ids", "two_hot"})],
        "users": [Interval(Integral, 1, MOST, closed="both"), None],
        "items": [Interval(Integral, 1, MOST, closed="both"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "seed": [Interval(Integral, 0, 2**64 - 1, closed="both")],
    }

    def __init__(
        self,
        factors: int = 32,
        *,
        epochs: int = 20,
        rate: float | None = None,
        l2: float = 0.05,
        deviation: float = 0.1,
        low: float | None = None,
        high: float | None = None,
        clip: bool = True,
        columns: ArrayLike = (0, 1),
        layout: str = "ids",
        users: int | None = None,
        items: int | None = None,
        batch_size: int = 1000,
        seed: int = 0,
    ) -> None:
        self.factors, self.epochs, self.rate, self.l2, self.deviation = factors, epochs, rate, l2, deviation
        self.low, self.high, self.clip = low, high, clip
        self.columns, self.layout, self.users, self.items = columns, layout, users, items
        self.batch_size, self.seed = batch_size, seed

    def check(self) -> None:
        """Raise Misuse for an argument that cannot be meant."""
        super().check()
        columns = np.asarray(self.columns)
        whole = columns.dtype.kind in "iu" and columns.shape == (2,)
        if not whole or columns.min() < 0 or columns[0] == columns[1]:
            self._refuse("columns", f"{self.columns!r} does not name two columns", "Give two numbers from 0.")
        if self.low is not None and self.high is not None and not self.low < self.high:
            self._refuse("low", f"{self.low:g} is not below high={self.high:g}", "Give a lower one.")
        if self.layout == "two_hot" and self.users is None:
            self._refuse("users", "needed for two_hot", "Say how many of the columns are users.")

    def _refuse(self, field: str, problem: str, fix: str) -> None:
        raise Misuse(problem, source=type(self).__name__, field=field, fix=fix)

    # the three functions

    def initialize(self, state: State, sample: Batch) -> None:
        """Register the tables; `sample` gives the mean to begin with."""
        self.check()
        _, _, ratings = self._given(sample, "initialize")
        rate = SERVED_RATE if self.rate is None else float(self.rate)
        row = np.zeros(1 + self.factors, np.float32)
        for key, count in ((USER_ROWS, self.users), (ITEM_ROWS, self.items)):
            state.initialize(
                key, row, aggregate="adagrad", rate=rate, sparse=MOST if count is None else count
            )
        state.initialize(MEAN, np.array([ratings.mean()]), aggregate="adagrad", rate=rate)
        state.initialize(RANGE, np.full(2, -_HUGE), aggregate="max")
        state.initialize(FEATURES, np.array(sample.features))
        state.initialize(PROGRESS, np.zeros(2))

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """Push the gradient of each batch: O(n k) time, and as many rows as it has users and items."""
        features = int(state.pull(FEATURES))
        for batch in stream:
            check_width(batch, features, "update")
            users, items, ratings = self._given(batch, "update")
            weights = batch.weights
            if weights is None:
                weights = np.ones(len(batch), np.float32)
            user_ids, u = np.unique(users, return_inverse=True)
            item_ids, i = np.unique(items, return_inverse=True)
            mine = self._rows_of(state.pull(USER_ROWS, user_ids), user_ids, USERS)
            theirs = self._rows_of(state.pull(ITEM_ROWS, item_ids), item_ids, ITEMS)
            mean = float(state.pull(MEAN)[0])
            mine_by, theirs_by, counts = np.zeros_like(mine), np.zeros_like(theirs), np.zeros(3)
            l2 = np.float32(self.l2)
            gradient(u, i, ratings, weights, mine, theirs, np.float32(mean), l2, mine_by, theirs_by, counts)
            state.push(USER_ROWS, mine_by, user_ids)
            state.push(ITEM_ROWS, theirs_by, item_ids)
            state.push(MEAN, counts[2:])
            state.push(RANGE, [-float(ratings.min(initial=_HUGE)), float(ratings.max(initial=-_HUGE))])
            state.push(PROGRESS, counts[:2])
            if synchronized:
                state.barrier()

    def finalize(self, state: State, **config: Any) -> RatingModel:
        """The model; `clip`, `low` and `high` may be given anew."""
        known = ("clip", "low", "high")
        for name in config:
            if name not in known:
                raise Misuse(f"finalize takes no {name!r}", field=name, fix=suggestion(name, known))
        plan = MatrixFactorization(**{**self.parameters(), **config})
        plan.check()
        users, items = state.entries(USER_ROWS), state.entries(ITEM_ROWS)
        seen = state.pull(RANGE)
        return plan._model_of(
            (users[0], self._rows_of(users[1], users[0], USERS)),
            (items[0], self._rows_of(items[1], items[0], ITEMS)),
            float(state.pull(MEAN)[0]), (-float(seen[0]), float(seen[1])), int(state.pull(FEATURES)),
        )  # fmt: skip

    # scikit-learn's

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from scratch: row by row, not by the three functions."""
        self._begin()
        batch = self._rows(X, y, reset=True)
        self._train(batch, int(self.epochs), first=True)
        self.n_iter_ = int(self.epochs)
        return self

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None) -> Self:
        """Go once over some more ratings, row by row; new users and items begin with them.

        The mean stays that of the first call.
        """
        first = not hasattr(self, "_model")
        if first:
            self._begin()
        self._train(self._rows(X, y, reset=first), 1, first)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The expected rating of each row, (n,)."""
        check_is_fitted(self)
        found: NDArray[np.float64] = self._model.evaluate(batch_of(self._checked(X, reset=False)))
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.positive_only = True
        tags.regressor_tags.poor_score = True
        return tags

    def _begin(self) -> None:
        self._validate_params()
        self.check()

    def _checked(self, X: Any, y: Any = None, **how: Any) -> Any:
        """The rows as scikit-learn checks them; float64, which holds every number of a user or item."""
        options: dict[str, Any] = {"accept_sparse": "csr", "dtype": np.float64, **how}
        if how["reset"]:
            options["ensure_min_features"] = int(np.max(self.columns)) + 1 if self.layout == "ids" else 2
        if y is None and not how["reset"]:
            found = validate_data(self, X, **options)
        else:
            found = validate_data(self, X, y, y_numeric=True, **options)
        check_non_negative(found[0] if isinstance(found, tuple) else found, type(self).__name__)
        return found

    def _rows(self, X: Any, y: Any = None, *, reset: bool, classes: Any = None) -> Batch:
        found = self._checked(X, y, reset=reset)
        rows, labels = found if isinstance(found, tuple) else (found, None)
        return batch_of(rows, None if labels is None else np.asarray(labels, np.float64))

    def _train(self, batch: Batch, epochs: int, first: bool) -> None:
        """Learn row by row from `batch` on, and set the model."""
        users, items, ratings = self._given(batch, "fit")
        seen = (float(ratings.min()), float(ratings.max()))
        k, width = self.factors, -(-self.factors // LANES) * LANES
        user_ids, u = np.unique(users, return_inverse=True)
        item_ids, i = np.unique(items, return_inverse=True)
        mean = float(np.mean(ratings, dtype=np.float64))
        tables: list[list[Any]] = []
        for ids, side in ((user_ids, USERS), (item_ids, ITEMS)):
            factors = beginnings(self.seed, side, ids, k, self.deviation, width)
            tables.append([ids, np.zeros(len(ids), np.float32), factors])
        if not first:
            mean, old = self._model.mean, self._model.bounds
            seen = min(seen[0], old[0]), max(seen[1], old[1])
            for table, known, rows in (
                (tables[0], self._model.user_ids, self._model.users),
                (tables[1], self._model.item_ids, self._model.items),
            ):
                _, here, there = np.intersect1d(table[0], known, assume_unique=True, return_indices=True)
                table[1][here], table[2][here, :k] = rows[there, 0], rows[there, 1:]
        chance = np.random.Generator(np.random.PCG64([self.seed, 0 if first else 1]))
        order = chance.permutation(len(ratings))
        order = order[np.argsort(u[order], kind="stable")]
        bounds = np.searchsorted(u[order], np.arange(len(user_ids) + 1))
        i, ratings = i[order].astype(np.int32), ratings[order]
        (_, bu, P), (_, bi, Q) = tables
        rate = np.float32(RATE if self.rate is None else self.rate)
        with np.errstate(all="ignore"):
            for _ in range(epochs):
                # as users first come up in a fresh order of all ratings: mostly those with many first
                turns = np.argsort(chance.exponential(size=len(user_ids)) / np.diff(bounds))
                learn_users(
                    turns, bounds, i, ratings, P, Q, bu, bi, np.float32(mean),
                    rate, np.float32(self.l2),
                )  # fmt: skip
        learned = [(ids, np.hstack([bias[:, None], rows[:, :k]])) for ids, bias, rows in tables]
        if not first:
            model = self._model
            learned = [
                _united(old, new)
                for old, new in zip(
                    ((model.user_ids, model.users), (model.item_ids, model.items)), learned, strict=True
                )
            ]
        self._model = self._model_of(learned[0], learned[1], mean, seen, batch.features)

    # what both faces share

    def _given(self, batch: Batch, source: str) -> tuple[Ids, Ids, NDArray[np.float32]]:
        """Users, items and ratings of a batch that may be learned from."""
        layout = self._layout()
        layout.check(batch.features, source)
        users, items = layout.pairs(batch, source)
        check_below(users, self.users, "user", source)
        check_below(items, self.items, "item", source)
        if batch.labels is None:
            raise Misuse("there are none", source=source, field="label", fix="Give each row its rating.")
        ratings = np.asarray(batch.labels, np.float64)
        check_range(
            ratings,
            (-_HUGE if self.low is None else self.low, _HUGE if self.high is None else self.high),
            source,
        )
        return users, items, ratings.astype(np.float32)

    def _layout(self) -> Layout:
        first, second = (int(column) for column in np.asarray(self.columns))
        return Layout(self.layout, (first, second), self.users or 0)

    def _rows_of(self, moved: NDArray[np.float32], ids: Ids, side: int) -> NDArray[np.float32]:
        """(bias, factors) of users or items whose rows of the state are `moved`."""
        rows = np.array(moved, np.float32)
        rows[:, 1:] += beginnings(self.seed, side, ids, self.factors, self.deviation)
        return rows

    def _model_of(
        self,
        users: tuple[Ids, NDArray[np.float32]],
        items: tuple[Ids, NDArray[np.float32]],
        mean: float,
        seen: tuple[float, float],
        features: int,
    ) -> RatingModel:
        if not (np.isfinite(users[1]).all() and np.isfinite(items[1]).all() and np.isfinite(mean)):
            self._refuse("rate", "the factors grew beyond all bounds", "Give a lower rate or a higher l2.")
        if seen[0] > seen[1]:  # nothing was read yet
            seen = mean, mean
        bounds = (
            seen[0] if self.low is None else float(self.low),
            seen[1] if self.high is None else float(self.high),
        )
        return RatingModel(
            user_ids=users[0], item_ids=items[0], users=users[1], items=items[1], mean=mean, bounds=bounds,
            clip=bool(self.clip), layout=self._layout(), features=features, l2=float(self.l2),
        )  # fmt: skip


def _united(
    old: tuple[Ids, NDArray[np.float32]], new: tuple[Ids, NDArray[np.float32]]
) -> tuple[Ids, NDArray[np.float32]]:
    """Rows of both, the new ones where there are two."""
    ids = np.union1d(old[0], new[0])
    rows = np.empty((len(ids), old[1].shape[1]), np.float32)
    rows[np.searchsorted(ids, old[0])] = old[1]
    rows[np.searchsorted(ids, new[0])] = new[1]
    return ids, rows
