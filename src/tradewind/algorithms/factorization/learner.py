"""Factorization machines as three functions over a state.

Factorization Machines (Rendle, ICDM 2010), of second order; learning by stochastic steps as in Factorization
Machines with libFM (Rendle, ACM TIST 2012), section 3.1, with adaptive rates.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.estimator import StreamEstimator
from tradewind.algorithms.factorization.factors import add_first, gradient
from tradewind.algorithms.factorization.model import FactorizationModel
from tradewind.algorithms.factorization.scaling import fold_back, measure
from tradewind.algorithms.interface import PROGRESS, State
from tradewind.algorithms.labels import class_numbers, numeric
from tradewind.algorithms.linear.minibatch import Distinct
from tradewind.algorithms.linear.rows import as_rows, check_gradient, check_rows
from tradewind.algorithms.linear.scaling import Scaling
from tradewind.errors import Misuse, suggestion

FACTORS, BIAS, SHIFT, SCALE, LABEL, CLASSES = "factors", "bias", "shift", "scale", "label", "classes"
"""The tables: factors and weight of each feature less its first factors (d, k + 1); the bias (1,); features'
shift and scale (d,); the label's (2,); the two classes (2,)."""

RATES = {"adagrad": (0.2, 0.1), "adam": (0.01, 0.01), "sgd": (0.1, 0.1)}
"""Ways to take gradients in, and the rates of weights and factors over a state where none are given."""


class FactorizationLearner(StreamEstimator):
    """The three functions; `estimators` has the constructors and says what they take."""

    _loss: ClassVar[str]
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "num_factors": [Interval(Integral, 1, 2048, closed="both")],
        "rate": [Interval(Real, 0, None, closed="neither"), None],
        "factors_rate": [Interval(Real, 0, None, closed="neither"), None],
        "l2": [Interval(Real, 0, None, closed="left")],
        "factors_l2": [Interval(Real, 0, None, closed="left")],
        "optimizer": [StrOptions(set(RATES))],
        "initial_scale": [Interval(Real, 0, None, closed="neither")],
        "normalize_data": ["boolean"],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "tolerance": [Interval(Real, 0, None, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "sample_size": [Interval(Integral, 1, None, closed="left")],
        "seed": [Interval(Integral, 0, 2**63 - 1, closed="both")],
    }
    num_factors: int
    rate: float | None
    factors_rate: float | None
    l2: float
    factors_l2: float
    optimizer: str
    initial_scale: float
    normalize_data: bool
    epochs: int
    tolerance: float
    patience: int
    shuffle: bool
    validation_fraction: float
    seed: int

    # the three functions

    def initialize(self, state: State, sample: Batch) -> None:
        """Register the tables; `sample` gives the scaling and the classes."""
        self.check()
        scaling, classes = self._prepared(sample)
        weights, factors = self._rates(RATES[self.optimizer])
        soft = {"epsilon": 1.0} if self.optimizer == "adagrad" else {}
        state.initialize(
            FACTORS, np.zeros(self.num_factors + 1, np.float32), aggregate=self.optimizer,
            rate=(*[factors] * self.num_factors, weights), sparse=sample.features, **soft,
        )  # fmt: skip
        state.initialize(BIAS, np.zeros(1, np.float32), aggregate=self.optimizer, rate=weights, **soft)
        state.initialize(SCALE, scaling.scale)
        state.initialize(SHIFT, scaling.shift)
        state.initialize(LABEL, np.array([scaling.label_shift, scaling.label_scale]))
        if self._classifies:
            state.initialize(CLASSES, classes)
        state.initialize(PROGRESS, np.zeros(2))

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """Learn from a part of the data: a pull and a push of the features that a batch holds.

        What is pushed is the gradient's sum over the batch's rows, its mean where the optimizer is `sgd`.
        Misuse where the rows do not have the state's features, or hold NaN or unknown labels, or where the
        gradient leaves float32.
        """
        scaling, classes = self._recalled(state)
        features = len(scaling.scale)
        distinct = Distinct(features)
        spread, seed = np.float32(self._spread), np.uint64(self.seed)
        for batch in stream:
            check_rows(batch, features, "update")
            targets = self._targets(numeric(batch.labels, "update"), scaling, classes, "update")
            weights = _weights(batch)
            indptr, indices, values = as_rows(batch, scaling)
            rows, local = distinct(indices)
            matrix = np.array(state.pull(FACTORS, rows), np.float32)  # a copy, to be added to
            add_first(matrix, rows, spread, seed, False)
            slopes, slope = np.zeros_like(matrix), np.zeros(1, np.float32)
            loss = gradient(
                indptr, local, values, targets, weights, matrix, np.array(state.pull(BIAS), np.float32),
                self._classifies, np.float32(self.l2), np.float32(self.factors_l2), slopes, slope,
            )  # fmt: skip
            check_gradient(np.array([loss, slope[0]]), slopes)
            total = float(weights.sum(dtype=np.float64))
            if self.optimizer == "sgd" and total > 0:
                slopes /= np.float32(total)
                slope /= np.float32(total)
            state.push(FACTORS, slopes, rows)
            state.push(BIAS, slope)
            state.push(PROGRESS, np.array([loss, total]))
            if synchronized:
                state.barrier()

    def finalize(self, state: State, **config: Any) -> FactorizationModel:
        """The machine for raw features and labels; `threshold` sets that of a classification.

        A feature that no row had has no weight and no factors.
        """
        scaling, classes = self._recalled(state)
        rows, values = state.entries(FACTORS)
        met = np.array(values, np.float32)
        add_first(met, rows, np.float32(self._spread), np.uint64(self.seed), True)
        table = np.zeros((len(scaling.scale), self.num_factors + 1), np.float32)
        table[rows] = met
        seen = float(state.pull(PROGRESS)[1])
        return self._machine(table, float(state.pull(BIAS)[0]), scaling, classes, seen, config)

    @property
    def _classifies(self) -> bool:
        return self._loss == "logistic"

    @property
    def _spread(self) -> float:
        """Half the width of the first factors' distribution, whose deviation is `initial_scale`."""
        return float(self.initial_scale) * 3**0.5

    def _rates(self, usual: tuple[float, float]) -> tuple[float, float]:
        """The rates of weights and of factors."""
        weights = usual[0] if self.rate is None else float(self.rate)
        return weights, usual[1] if self.factors_rate is None else float(self.factors_rate)

    def _prepared(self, sample: Batch) -> tuple[Scaling, NDArray[np.float64]]:
        """The scaling and the two classes that the first rows call for; no classes for a regression."""
        check_rows(sample, sample.features, "initialize")
        if not len(sample):
            raise Misuse("there is no row to begin with", source="initialize", fix="Give at least one row.")
        labels = numeric(sample.labels, "initialize")
        classes = np.empty(0)
        if self._classifies:
            classes = self.known_classes(labels, "initialize")
            if len(classes) != 2:
                raise Misuse(
                    f"a factorization machine tells two classes apart, the labels have {len(classes)}",
                    source="initialize",
                    field="labels",
                    fix="Learn one class against the rest, or use MultinomialLogisticRegression.",
                )
        scaled = not self._classifies and bool(getattr(self, "normalize_label", False))
        return measure(sample, features=self.normalize_data, labels=scaled), classes

    def _recalled(self, state: State) -> tuple[Scaling, NDArray[np.float64]]:
        """What `initialize` left in the state."""
        shift, scale = (np.asarray(state.pull(key), np.float64) for key in (SHIFT, SCALE))
        label = np.asarray(state.pull(LABEL), np.float64)
        classes = np.array(state.pull(CLASSES), np.float64) if self._classifies else np.empty(0)
        return Scaling(shift, scale, float(label[0]), float(label[1])), classes

    def _targets(
        self, labels: NDArray[Any], scaling: Scaling, classes: NDArray[np.float64], source: str
    ) -> NDArray[np.float32]:
        """Labels as the kernels take them."""
        if not self._classifies:
            return np.asarray((labels - scaling.label_shift) / scaling.label_scale, np.float32)
        return np.asarray(class_numbers(labels, classes, source) * 2.0 - 1.0, np.float32)

    def _machine(
        self,
        table: NDArray[np.float32],
        bias: float,
        scaling: Scaling,
        classes: NDArray[Any],
        rows: float,
        config: dict[str, Any],
    ) -> FactorizationModel:
        """The model of a table for scaled features."""
        for name in config:
            if name != "threshold" or not self._classifies:
                known = ("threshold",) if self._classifies else ()
                fix = suggestion(name, known) if known else "Leave it out."
                raise Misuse(f"finalize takes no {name!r}", field=name, fix=fix)
        threshold = float(config.get("threshold", 0.5))
        if not 0 <= threshold <= 1:
            raise Misuse(f"{threshold} is no probability", field="threshold", fix="Give 0 to 1.")
        weights, factors, moved = fold_back(scaling, table, bias)
        rate, factors_rate = self._rates(RATES[self.optimizer])
        return FactorizationModel(
            weights, moved, factors=factors, loss=self._loss, threshold=threshold,
            classes=classes if self._classifies else None, label_shift=scaling.label_shift,
            label_scale=scaling.label_scale,
            settings={
                "l2": self.l2, "factors_l2": self.factors_l2, "rate": rate, "factors_rate": factors_rate,
                "rows": rows,
            },
        )  # fmt: skip


def _weights(batch: Batch) -> NDArray[np.float32]:
    """The weights of a batch's rows; Misuse for a negative one."""
    weights = np.ones(len(batch), np.float32) if batch.weights is None else batch.weights
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise Misuse("a weight is negative or no number", source="update", field="weights", fix="Drop it.")
    return np.asarray(weights, np.float32)
