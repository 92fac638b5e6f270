"""Streaming k-means: one pass makes a state that answers any number of clusters up to its most.

SageMaker elastic algorithms (Liberty et al., SIGMOD 2020), section 4, k-means; hyper-parameters and defaults
as in the developer guide. Batches move the centres as in web-scale k-means (Sculley, WWW 2010, algorithm 1).
The modules beside this one name what they add and where it is from.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.base import ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.chance import chance_of
from tradewind.algorithms.estimator import StreamEstimator
from tradewind.algorithms.interface import PROGRESS, State
from tradewind.algorithms.kmeans.assignment import (
    LARGEST,
    Doubles,
    Floats,
    loss_of,
    nearest,
    sums_by_label,
)
from tradewind.algorithms.kmeans.model import KMeansModel, shifted
from tradewind.algorithms.kmeans.reseeding import PATIENCE, STEP, Tally, dense_rows, far_rows, heirs, idle
from tradewind.algorithms.kmeans.seeding import METHODS, seeds
from tradewind.algorithms.kmeans.solving import Start, Summary, lloyd, solved
from tradewind.algorithms.local_state import LocalState
from tradewind.algorithms.reservoir import draw, row_weights, shares
from tradewind.algorithms.scaler_model import check_width
from tradewind.errors import Misuse, suggestion

SHIFT, SUMS, SEEDS, SEEN = "shift", "sums", "seeds", "seen"
KEPT, TICKETS = "kept", "tickets"
"""Tables. SHIFT (d,) is taken off every row. SUMS (K, d + 2): by centre the sum of its rows, their weight,
and with a half-life the rows that faded it. SEEDS (K, d + 2): where a centre began, how many rows that place
stands for (-1 where it has not begun), and how many had been read. SEEN (workers + 1,): rows
read by each, and by workers that the state was not made for, who keep none. KEPT
(m, d) are the rows kept, TICKETS (m, 2) when each came, from 1, and its weight; 0 where there is none."""

_CONFIG = (
    *("k", "local_lloyd_init_method", "local_lloyd_max_iter", "local_lloyd_tol"),
    *("local_lloyd_num_trials", "seed"),
)
_TRIALS, _TRIAL_WORK = 10, 2**28
_MANY_CENTRES, _LARGEST_FACTOR = 100, 10
_ROWS_A_CENTRE, _MOST_ROWS, _MOST_VALUES = 100, 20_000, 2**22
_SAMPLE_A_CENTRE, _LEAST_SAMPLE, _SAMPLE_VALUES, _SAMPLE_STEPS = 30, 2000, 2**24, 2
_RESEED, _RESERVE, _SAMPLE = 1, 2, 3


class KMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, StreamEstimator):
    """Cluster rows around k centres in one pass, in memory that does not grow with the rows.

    The state holds K = k_max * extra_center_factor centres with what they have counted, and a sample of the
    rows. Both together are solved for any k up to `k_max`, again and again: `solve(k)`, or
    `finalize(state, k=k)`. O(n d K) time for n rows, O((K + m) d) memory for m kept rows; solving takes
    O(m d k) an iteration.

    Fewer distinct rows than K leave the rest of the K centres unused. A k above the distinct centres and rows
    that are known is Misuse, which names the most that can be had. Up to m rows, all are kept, and the
    solution is that of Lloyd's algorithm on them. `fit` draws the rows from which the centres begin among all
    rows given; a job and `partial_fit` take the first.

    Args:
        k: how many clusters.
        k_max: up to how many the state can be solved for; None is k.
        extra_center_factor: K in units of k_max; `auto` is 100 / k_max, at least 1 and at most 10.
        init_method: where the K centres begin: `random`, `k-means++` or `k-means||`, on the first rows.
        half_life_time_size: rows after which a row counts half; 0 is no decay.
        batch_size: rows between two moves of the centres; in a job the job says so.
        epochs: passes of `fit`; in a job the job says so.
        local_lloyd_init_method: where solving begins, as `init_method`.
        local_lloyd_max_iter: most iterations of Lloyd's when solving.
        local_lloyd_tol: solving ends when an iteration lowers the loss by less than this share.
        local_lloyd_num_trials: starts of which the best is taken; `auto` is 10, or fewer of large states.
        reservoir: m, how many rows are kept, all workers together; `auto` is 100 * k_max, at most 20,000
            and at most 4 million numbers. 0 solves from the centres alone.
        reseed_ratio: a centre that has less than this share of the average count begins anew elsewhere.
        compute_labels: whether `fit` sets `labels_` and `inertia_`, which takes a second reading.
        seed: of everything drawn.

    Attributes:
        cluster_centers_: (k, d), float64.
        labels_: (n,), the cluster of each row that `fit` was given.
        inertia_: the sum of squared distances of these to their centres.

    >>> found = KMeans(2).fit([[1.0, 2.0], [1.0, 4.0], [1.0, 0.0], [10.0, 2.0], [10.0, 4.0], [10.0, 0.0]])
    >>> sorted(found.cluster_centers_.tolist())
    [[1.0, 2.0], [10.0, 2.0]]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "k": [Interval(Integral, 1, None, closed="left")],
        "k_max": [Interval(Integral, 1, None, closed="left"), None],
        "extra_center_factor": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "init_method": [StrOptions(set(METHODS))],
        "half_life_time_size": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "local_lloyd_init_method": [StrOptions(set(METHODS))],
        "local_lloyd_max_iter": [Interval(Integral, 1, None, closed="left")],
        "local_lloyd_tol": [Interval(Real, 0, 1, closed="both")],
        "local_lloyd_num_trials": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "reservoir": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "reseed_ratio": [Interval(Real, 0, 1, closed="left")],
        "compute_labels": ["boolean"],
        "seed": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        k: int = 8,
        *,
        k_max: int | None = None,
        extra_center_factor: int | str = "auto",
        init_method: str = "k-means++",
        half_life_time_size: float = 0,
        batch_size: int = 5000,
        epochs: int = 1,
        local_lloyd_init_method: str = "k-means++",
        local_lloyd_max_iter: int = 300,
        local_lloyd_tol: float = 1e-4,
        local_lloyd_num_trials: int | str = "auto",
        reservoir: int | str = "auto",
        reseed_ratio: float = 0.01,
        compute_labels: bool = True,
        seed: int = 0,
    ) -> None:
        self.k, self.k_max, self.extra_center_factor = k, k_max, extra_center_factor
        self.init_method, self.half_life_time_size = init_method, half_life_time_size
        self.batch_size, self.epochs = batch_size, epochs
        self.local_lloyd_init_method, self.local_lloyd_max_iter = (
            local_lloyd_init_method,
            local_lloyd_max_iter,
        )
        self.local_lloyd_tol, self.local_lloyd_num_trials = local_lloyd_tol, local_lloyd_num_trials
        self.reservoir, self.reseed_ratio = reservoir, reseed_ratio
        self.compute_labels, self.seed = compute_labels, seed

    # the three functions

    def check(self) -> None:
        """Raise Misuse for an argument that cannot be meant."""
        super().check()
        if self.k_max is not None and self.k > self.k_max:
            raise Misuse(
                f"k = {self.k} is above k_max = {self.k_max}",
                source="KMeans",
                field="k",
                fix="Give a smaller k, or a larger k_max.",
            )

    @property
    def most(self) -> int:
        """Up to how many clusters the state is made for."""
        return self.k if self.k_max is None else self.k_max

    @property
    def centres(self) -> int:
        """K, how many centres the state has."""
        factor = self.extra_center_factor
        if factor == "auto":
            factor = min(max(_MANY_CENTRES // self.most, 1), _LARGEST_FACTOR)
        return self.most * int(factor)

    def slots(self, features: int) -> int:
        """m, how many rows of so many features are kept."""
        if self.reservoir != "auto":
            return int(self.reservoir)
        return min(max(_ROWS_A_CENTRE * self.most, 1000), _MOST_ROWS, _MOST_VALUES // max(features, 1))

    def initialize(self, state: State, sample: Batch) -> None:
        """Register the tables; the centres begin at rows of `sample`, moved by a few of Lloyd's steps."""
        self.check()
        if not len(sample):
            raise Misuse("there is no row to begin with", source="initialize", fix="Give at least one row.")
        features, count = sample.features, self.centres
        most = min(max(_LEAST_SAMPLE, _SAMPLE_A_CENTRE * count), max(_SAMPLE_VALUES // features, 100))
        rows, weights, shift = _sampled(sample, most)
        chance = chance_of(self.seed, state, _SAMPLE)
        places = seeds(self.init_method, rows, weights, count, chance)
        places, labels, _ = lloyd(rows, weights, places, _SAMPLE_STEPS, 0.0)
        held = sums_by_label(rows, labels, weights, len(places))[0][:, -1]
        table = np.zeros((count, features + 2))
        table[:, features] = -1
        table[: len(places), :features] = places
        table[: len(places), features] = np.maximum(held, 1)
        if self.half_life_time_size:
            fading: dict[str, Any] = {"aggregate": "fade", "half_life": float(self.half_life_time_size)}
        else:
            fading = {}
        slots = max(self.slots(features), 1)  # a table has rows
        state.initialize(SHIFT, shift)
        state.initialize(SUMS, np.zeros((count, features + 2)), **fading)
        state.initialize(SEEDS, table, aggregate="put")
        state.initialize(SEEN, np.zeros(state.workers + 1, np.int64))
        state.initialize(KEPT, np.zeros((slots, features), np.float32), aggregate="put")
        state.initialize(TICKETS, np.zeros((slots, 2)), aggregate="put")
        state.initialize(PROGRESS, np.zeros(2))

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """Learn from a part of the data: six pushes a batch."""
        shift = state.pull(SHIFT)
        moves, features = bool(shift.any()), len(shift)
        workers = len(state.pull(SEEN)) - 1
        worker = min(int(state.worker or 0), workers)
        bounds = np.append(shares(self.slots(features), workers), 0)
        first, slots = int(bounds[worker]), max(int(bounds[worker + 1] - bounds[worker]), 0)
        for batch in stream:
            check_width(batch, features, "update")
            weights = _weights(batch)
            seen = state.pull(SEEN)
            tally = self._tally(state, seen)
            live = np.flatnonzero(tally.born)
            with np.errstate(over="ignore", invalid="ignore"):  # what is too large is found below
                rows = shifted(batch, shift, moves)
                labels = live[nearest(rows, tally.places[live])].astype(np.int32)
            found, squares = sums_by_label(rows, labels, weights, len(tally.counts))
            loss = loss_of(found, squares, tally.places)
            if not (np.isfinite(loss) and squares.sum() < LARGEST * max(1.0, weights.sum())):
                raise _unusable("update")
            changes = np.zeros((len(found), features + 2))
            changes[:, : features + 1] = found
            put, begun = self._reseed(state, rows, weights, tally, labels, changes)
            if self.half_life_time_size:
                changes[:, -1] = len(batch)
                state.push(SUMS, changes)
            else:
                touched = np.flatnonzero(changes.any(axis=1))
                state.push(SUMS, changes[touched], touched)
            state.push(SEEDS, begun, put)
            own = int(seen[worker])
            chance = chance_of(self.seed, state, _RESERVE)
            taken, to = draw(own, len(batch), slots, self.half_life_time_size / workers, chance)
            state.push(KEPT, dense_rows(rows, taken), to + first)
            state.push(TICKETS, np.column_stack([own + taken + 1.0, weights[taken]]), to + first)
            state.push(SEEN, np.array([len(batch)]), np.array([worker]))
            state.push(PROGRESS, np.array([loss, weights.sum()]))
            if synchronized:
                state.barrier()

    def finalize(self, state: State, **config: Any) -> KMeansModel:
        """The centres for `k` clusters; k, the seed and what begins with `local_` may be given anew.

        Misuse for a k above `k_max`, or above the distinct places (centres that have counted something, or
        rows kept) that the state knows.
        """
        for name in config:
            if name not in _CONFIG:
                raise Misuse(f"finalize takes no {name!r}", field=name, fix=suggestion(name, _CONFIG))
        plan = type(self)(**{**self.get_params(deep=False), "k_max": self.most, **config})
        StreamEstimator.check(plan)
        summary, shift = self._summary(state), state.pull(SHIFT)
        known = summary.most(plan.k)
        most = min(known, self.most)
        if plan.k > most:
            raise Misuse(
                f"k = {plan.k}, but the state was made for k up to {self.most} and knows {known} distinct "
                "places",
                source="KMeans",
                field="k",
                fix=f"Give {most} or less." if most else "Read some rows first.",
            )
        trials = plan.local_lloyd_num_trials
        if trials == "auto":
            trials = min(max(_TRIAL_WORK // (summary.centres.size * plan.k), 1), _TRIALS)
        start = Start(
            plan.local_lloyd_init_method, int(trials), plan.local_lloyd_max_iter, plan.local_lloyd_tol
        )
        places, weights = solved(summary, plan.k, start, np.random.default_rng((plan.seed, plan.k)))
        return KMeansModel(places + shift, weights)

    def _fade(self, rows: Any) -> Any:
        """What is left of a count after so many rows."""
        if not self.half_life_time_size:
            return np.ones_like(np.asarray(rows, np.float64))
        return np.exp2(-np.asarray(rows, np.float64) / self.half_life_time_size)

    def _tally(self, state: State, seen: NDArray[np.int64]) -> Tally:
        """Where the centres are: the mean of what they counted and early on of what their start stood for."""
        sums, begun = state.pull(SUMS), state.pull(SEEDS)
        counts, total = sums[:, -2], float(seen.sum())
        born, since = begun[:, -2] >= 0, begun[:, -1]
        start = np.maximum(begun[:, -2] * self._fade(np.maximum(total - since, 0)) - counts, 0)
        held = counts + start
        there = held > np.finfo(np.float64).tiny
        means = (sums[:, :-2] + start[:, None] * begun[:, :-2]) / np.where(there, held, 1)[:, None]
        places = np.where(there[:, None], means, begun[:, :-2]).astype(np.float32)
        return Tally(places, born, since, np.maximum(counts, 0), total)

    def _reseed(
        self, state: State, rows: Any, weights: Doubles, tally: Tally, labels: Any, changes: Doubles
    ) -> tuple[NDArray[np.int64], Doubles]:
        """Rows of SEEDS to put and what: centres that begin anew. `changes` is brought to say so too."""
        features = changes.shape[1] - 2
        at = idle(tally, self.reseed_ratio, int(state.worker or 0), state.workers)
        if len(at):
            chance = chance_of(self.seed, state, _RESEED)
            far = far_rows(rows, weights, tally, labels, len(at), chance)
            at = at[: len(far)]
        if not len(at):
            return np.empty(0, np.int64), np.empty((0, features + 2))
        rows_there, near = dense_rows(rows, far).astype(np.float64), labels[far]
        sums = state.pull(SUMS, at)[:, :-1] * self._fade(len(labels) * state.workers)
        begun = np.empty((len(at), features + 2))
        begun[:, -1] = tally.seen
        for n, (centre, heir) in enumerate(zip(at, heirs(tally, at), strict=True)):
            if tally.born[centre]:
                if tally.counts[centre] > 0 and heir >= 0:
                    changes[heir, :-1] += sums[n]
                    changes[centre, :-1] -= sums[n]
                old = tally.places[near[n]].astype(np.float64)
                begun[n, :-2], begun[n, -2] = old + STEP * (rows_there[n] - old), PATIENCE
            else:
                own = np.append(rows_there[n], 1.0) * weights[far[n]]
                changes[near[n], :-1] -= own
                changes[centre, :-1] += own
                begun[n, :-2], begun[n, -2] = rows_there[n], 1
        return at, begun

    def _summary(self, state: State) -> Summary:
        sums, tickets, seen = state.pull(SUMS), state.pull(TICKETS), state.pull(SEEN)
        counts = sums[:, -2]
        live = counts > 1e-9 * max(float(np.abs(counts).sum()), np.finfo(np.float64).tiny)
        centres = (sums[live, :-2] / counts[live, None]).astype(np.float32)
        workers = len(seen) - 1
        bounds, half_life = shares(self.slots(sums.shape[1] - 2), workers), self.half_life_time_size / workers
        weights = np.zeros(len(tickets))
        for worker, (first, last) in enumerate(pairwise(bounds.tolist())):
            held = np.flatnonzero(tickets[first:last, 0]) + first
            arrival = tickets[held, 0] - 1
            stand = row_weights(arrival, float(seen[worker]), last - first, half_life)
            weights[held] = stand * tickets[held, 1]
        there = weights > 0
        kept = np.asarray(state.pull(KEPT), np.float32)
        complete = bool(np.count_nonzero(tickets[:, 0]) == seen.sum())
        return Summary(centres, counts[live].copy(), kept[there], weights[there], complete)

    # scikit-learn's

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from scratch: the three functions, the centres beginning among all rows instead of the first.

        ValueError for fewer rows than k.
        """
        self._validate_params()
        self._forget()
        batch = self._rows(X, reset=True)
        if len(batch) < self.k:
            raise ValueError(
                f"n_samples={len(batch)} is less than k={self.k}: give more rows, or a smaller k"
            )
        self._state = LocalState()
        self.initialize(self._state, self._among(batch))
        for _ in range(self.epochs):
            self._learn(batch)
        self.n_iter_ = self.epochs
        self._model = self.finalize(self._state)
        if self.compute_labels:
            self.labels_, squares = self._model.nearest(batch)
            self.inertia_ = float(squares.sum())
        return self

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None) -> Self:
        """Learn from some more rows, in their order; the centres are solved for when they are asked for."""
        super().partial_fit(X)
        self._forget()
        return self

    def fit_predict(self, X: Any, y: Any = None) -> NDArray[np.int32]:
        """The clusters of the rows that were learned from, (n,)."""
        self.fit(X)
        return self.labels_ if self.compute_labels else self.predict(X)

    def predict(self, X: Any) -> NDArray[np.int32]:
        """The number of the nearest centre for each row, (n,)."""
        return self.model_.evaluate(self._seen(X))

    def transform(self, X: Any) -> Doubles:
        """The distances to every centre, (n, k)."""
        return self.model_.transform(self._seen(X))

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the sum of squared distances to the nearest centres, as scikit-learn's k-means has it."""
        return -self.model_.score(self._seen(X), "ssd")

    def solve(self, k: int, **config: Any) -> KMeansModel:
        """The model of another k, from the same state and without the rows; see `finalize`."""
        check_is_fitted(self)
        return self.finalize(self._state, k=k, **config)

    @property
    def model_(self) -> KMeansModel:
        """The model; it can be saved and opened without scikit-learn."""
        check_is_fitted(self)
        if self._model is None:
            self._model = self.finalize(self._state)
        found: KMeansModel = self._model
        return found

    @property
    def cluster_centers_(self) -> Doubles:
        """The centres, (k, d)."""
        return self.model_.centres

    @property
    def _n_features_out(self) -> int:
        return len(self.model_.centres)

    def _made(self) -> Self:
        self._model = None
        return self

    def _forget(self) -> None:
        for name in ("labels_", "inertia_"):
            self.__dict__.pop(name, None)

    def _seen(self, X: Any) -> Batch:
        check_is_fitted(self)
        return self._rows(X, reset=False)

    def _among(self, batch: Batch) -> Batch:
        """Some of all rows, where there are many, in their order."""
        if len(batch) <= self.sample_size:
            return batch
        chance = np.random.default_rng((self.seed, _SAMPLE))
        at = chance.choice(len(batch), self.sample_size, replace=False, shuffle=False)
        return batch_of(batch.matrix()[np.sort(at)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


def _weights(batch: Batch) -> Doubles:
    if batch.weights is None:
        return np.ones(len(batch))
    weights = batch.weights.astype(np.float64)
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise Misuse(
            "a weight is missing, infinite or below zero",
            source="KMeans", field="weights", fix="Give each row a weight of zero or more.",
        )  # fmt: skip
    return weights


def _unusable(source: str) -> Misuse:
    return Misuse(
        "a value is missing, infinite, or too large to be squared",
        source=source, field="X", fix="Fill or drop such rows.",
    )  # fmt: skip


def _sampled(sample: Batch, most: int) -> tuple[Floats, Doubles, Doubles]:
    """At most so many rows, evenly taken, less the shift; their weights; and the shift, 0 of sparse rows."""
    at = np.arange(len(sample))
    if len(sample) > most:
        at = np.linspace(0, len(sample) - 1, most).astype(np.int64)
    weights = _weights(sample)[at]
    if not weights.any():
        weights = np.ones(len(at))
    matrix: Any = sample.matrix()[at]
    if sample.sparse:
        matrix = np.ascontiguousarray(csr_matrix(matrix).toarray(), np.float32)
    with np.errstate(over="ignore"):
        lengths = np.square(matrix, dtype=np.float64).sum(axis=1)
    if not (lengths < LARGEST).all():
        raise _unusable("initialize")
    if sample.sparse:
        return matrix, weights, np.zeros(sample.features)
    # a number of float32, so that nothing is lost when it is taken off rows of float32
    shift = matrix.mean(axis=0, dtype=np.float64).astype(np.float32).astype(np.float64)
    return np.asarray(shifted(batch_of(matrix), shift)), weights, shift
