"""The linear learner as three functions over a state."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.interface import PROGRESS, State
from tradewind.algorithms.labels import balanced_weights, class_numbers, classes_in, numeric
from tradewind.algorithms.linear.arguments import OPTIMIZERS, check_arguments, several
from tradewind.algorithms.linear.calibration import calibrate, check_criterion
from tradewind.algorithms.linear.losses import CLASSIFYING, MULTICLASS
from tradewind.algorithms.linear.metrics import LOWER_IS_BETTER
from tradewind.algorithms.linear.minibatch import Distinct, gradient, multiclass_gradient
from tradewind.algorithms.linear.model import LinearModel
from tradewind.algorithms.linear.packing import Candidate, Pack, candidates
from tradewind.algorithms.linear.rows import as_rows, check_gradient, check_rows
from tradewind.algorithms.linear.scaling import Scaling, measure
from tradewind.errors import Misuse, suggestion

_DECAY_ROWS = 100_000.0
"""Under the schedule the step of `sgd` has fallen to 0.7 after as many rows, then as their inverse root."""

_MARGINS = ("hinge", "squared_hinge", "crammer_singer", "squared_crammer_singer")
"""The losses whose parameter is the margin."""

WEIGHTS, SHIFT, SCALE, CLASSES, PLAN, LOSSES = "weights", "shift", "scale", "classes", "plan", "losses"
"""The tables: weights (d + 1, columns) with the bias last; features' shift and scale (d,); the classes; the
plan, see `_Plan`; the running loss of each model of a pack, (models,)."""


class _Plan(msgspec.Struct, frozen=True):
    """What `initialize` found out, as one row of numbers in the state."""

    features: float
    outputs: float
    models: float
    centred: float
    label_shift: float
    label_scale: float
    balanced: float
    """The weight of a positive row that balances the classes."""


class LinearLearner:
    """Linear models for classes or values, one or a whole pack of them from one reading of the data.

    The defaults are those of SageMaker's linear learner (developer guide, hyperparameters) but for the
    optimizer (`auto` is adagrad, whose state is smaller and which needs no schedule), the initial weights
    (zero: the losses are convex) and `num_models` (as many as the settings given).

    Args:
        loss: `logistic`, `hinge`, `squared_hinge`, `softmax`, `crammer_singer`, `squared_crammer_singer`,
            `squared`, `absolute`, `eps_insensitive_absolute`, `eps_insensitive_squared`, `quantile` or
            `huber`; several make a pack.
        task: `classification` or `regression`; `auto` takes the first six losses for the former.
        rate: the learning rate, or several; None is the optimizer's usual one.
        l1, l2: weight decays, or several of each. A feature decays when a batch has it.
        optimizer: `adagrad`, `adam`, `sgd`, `ftrl`, or `auto`.
        schedule: whether the steps of `sgd` shrink as rows are read; the others see to it themselves.
        classes: all labels that occur, where the first rows may not show them.
        positive_weight: how many times a positive row counts, `balanced`, or `auto` for a pack of both.
        num_models: size of the pack; None is the grid of the settings given, `auto` adds close ones.
        normalize_data: scale features by the first `sample_size` rows; undone in the model.
        normalize_label: the same for a regression's labels; `auto` does it.
        unbias: shift dense features to mean zero; `auto` does it.
        bias: whether there is an intercept; it starts from `initial_bias`.
        huber_delta, quantile, loss_insensitivity, margin: the parameters of the losses that have one.
        criterion: what a pack's model and the threshold are chosen by, see `calibration.CRITERIA`.
        f_beta, target_precision, target_recall: parameters of the criteria.
        num_calibration_samples: how many validation rows at most the threshold is chosen on.
        sample_size: how many of the first rows `initialize` looks at.
        initial_scale: weights start uniform within plus or minus this, drawn with `seed`.
    """

    def __init__(
        self,
        loss: str | Sequence[str] = "logistic",
        *,
        task: str = "auto",
        rate: float | Sequence[float] | None = None,
        l1: float | Sequence[float] = 0.0,
        l2: float | Sequence[float] = 0.0,
        optimizer: str = "auto",
        schedule: bool = True,
        classes: Sequence[float] | None = None,
        positive_weight: float | str = 1.0,
        num_models: int | str | None = None,
        normalize_data: bool = True,
        normalize_label: bool | str = "auto",
        unbias: bool | str = "auto",
        bias: bool = True,
        initial_bias: float = 0.0,
        huber_delta: float = 1.0,
        quantile: float = 0.5,
        loss_insensitivity: float = 0.01,
        margin: float = 1.0,
        criterion: str = "loss_function",
        f_beta: float = 1.0,
        target_precision: float = 0.8,
        target_recall: float = 0.8,
        num_calibration_samples: int = 100_000,
        sample_size: int = 10_000,
        initial_scale: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.loss, self.task, self.rate, self.l1, self.l2 = loss, task, rate, l1, l2
        self.optimizer, self.schedule, self.classes = optimizer, schedule, classes
        self.positive_weight, self.num_models = positive_weight, num_models
        self.normalize_data, self.normalize_label, self.unbias = normalize_data, normalize_label, unbias
        self.bias, self.initial_bias = bias, initial_bias
        self.huber_delta, self.quantile = huber_delta, quantile
        self.loss_insensitivity, self.margin = loss_insensitivity, margin
        self.criterion, self.f_beta = criterion, f_beta
        self.target_precision, self.target_recall = target_precision, target_recall
        self.num_calibration_samples, self.sample_size = num_calibration_samples, sample_size
        self.initial_scale, self.seed = initial_scale, seed
        check_arguments(self)
        self.candidates = self._candidates()

    def parameters(self) -> dict[str, Any]:
        """The constructor's arguments, as plain JSON values."""
        found = {name: getattr(self, name) for name in self._argument_names()}
        return {name: list(each) if isinstance(each, tuple) else each for name, each in found.items()}

    @property
    def labels(self) -> str:
        """What it takes the labels for."""
        if not self.classifies:
            return "number"
        return "classes" if several(self.loss)[0] in MULTICLASS else "binary"

    def check(self) -> None:
        """Raise Misuse for an argument that cannot be meant; the constructor has done so too."""
        check_arguments(self)

    @property
    def classifies(self) -> bool:
        """Whether labels are classes."""
        return self.task == "classification" or (self.task == "auto" and several(self.loss)[0] in CLASSIFYING)

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates given, or the optimizer's usual one."""
        return tuple(several(OPTIMIZERS[self.aggregate] if self.rate is None else self.rate))

    @property
    def aggregate(self) -> str:
        """How the state takes gradients in."""
        return "adagrad" if self.optimizer == "auto" else self.optimizer

    def prepare(self, sample: Batch) -> tuple[Pack, Scaling, NDArray[np.float64]]:
        """The pack, the scaling and the classes that the first rows call for; no classes for a regression."""
        check_rows(sample, sample.features, "initialize")
        if not len(sample):
            raise Misuse("there is no row to begin with", source="initialize", fix="Give at least one row.")
        labels = numeric(sample.labels, "initialize")
        classes, outputs, balanced = np.empty(0), 1, 1.0
        if self.classifies:
            given = self.classes
            classes = (
                classes_in(labels, "initialize") if given is None else np.unique(np.asarray(given, float))
            )
            numbers = class_numbers(labels, classes, "initialize")
            if self.candidates[0].loss in MULTICLASS:
                outputs = len(classes)
            elif len(classes) != 2:
                raise Misuse(
                    f"{self.candidates[0].loss} tells two classes apart, the labels have {len(classes)}",
                    source="initialize",
                    field="loss",
                    fix="Use loss='softmax'.",
                )
            weights = balanced_weights(numbers, len(classes))
            balanced = float(weights[-1] / weights[0])
        elif self.positive_weight != 1.0:
            raise Misuse("a regression has no positive class", field="positive_weight", fix="Leave it at 1.")
        scaling = measure(
            sample,
            features=self.normalize_data,
            centre=self.bias and (self.unbias is True or (self.unbias == "auto" and self.normalize_data)),
            labels=not self.classifies and (self.normalize_label is True or self.normalize_label == "auto"),
        )
        return Pack(self.candidates, outputs, balanced), scaling, classes

    def initialize(self, state: State, sample: Batch) -> None:
        """Register the tables; `sample` gives the scaling, the classes and their balance."""
        pack, scaling, classes = self.prepare(sample)
        chance = np.random.default_rng(self.seed)
        weights = np.zeros((sample.features + 1, pack.columns), np.float32)
        if self.initial_scale:
            weights[:-1] = chance.uniform(-self.initial_scale, self.initial_scale, weights[:-1].shape)
        if self.bias:
            weights[-1] = self.initial_bias
        options: dict[str, Any] = {"rate": tuple(pack.per_column(pack.rates).tolist())}
        if self.aggregate == "ftrl":
            options["l1"] = tuple(pack.per_column(pack.l1).tolist())
            options["l2"] = tuple(pack.per_column(pack.l2).tolist())
        state.initialize(WEIGHTS, weights, aggregate=self.aggregate, **options)
        state.initialize(PROGRESS, np.zeros(2))
        state.initialize(LOSSES, np.zeros(len(pack)))
        state.initialize(SCALE, scaling.scale)
        if scaling.centred:
            state.initialize(SHIFT, scaling.shift)
        if self.classifies:
            state.initialize(CLASSES, classes)
        plan = _Plan(
            sample.features, pack.outputs, len(pack), scaling.centred,
            scaling.label_shift, scaling.label_scale, pack.balanced,
        )  # fmt: skip
        state.initialize(PLAN, np.array(msgspec.structs.astuple(plan), np.float64))

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """Learn from a part of the data: a sparse pull and a sparse push a batch.

        Misuse where the rows do not have the state's number of features, or hold NaN or unknown labels, or
        where the gradient leaves float32.
        """
        plan, pack, scaling, classes = self._recalled(state)
        features = int(plan.features)
        distinct = Distinct(features)
        decaying = self.schedule and self.aggregate == "sgd"
        for batch in stream:
            check_rows(batch, features, "update")
            labels, weights = self._targets(batch, classes, scaling, pack)
            total = float(weights.sum(dtype=np.float64))
            indptr, indices, values = as_rows(batch, scaling)
            rows, local = distinct(indices)
            rows = np.append(rows, features)
            matrix = np.asarray(state.pull(WEIGHTS, rows), np.float32)
            seen = float(state.pull(PROGRESS)[1]) if decaying else 0.0
            slopes = np.zeros_like(matrix)
            losses = np.zeros(len(pack))
            if pack.multiclass:
                multiclass_gradient(
                    indptr, local, values, labels, weights, matrix[:-1], matrix[-1],
                    pack.codes, pack.parameters, pack.outputs, slopes[:-1], slopes[-1], losses,
                )  # fmt: skip
            else:
                gradient(
                    indptr, local, values, labels, weights, matrix[:-1], matrix[-1],
                    pack.codes, pack.parameters, pack.positive, slopes[:-1], slopes[-1], losses,
                )  # fmt: skip
            check_gradient(losses, slopes)
            self._finish(slopes, matrix, pack, total, 1 / math.sqrt(1 + seen / _DECAY_ROWS))
            state.push(WEIGHTS, slopes, rows)
            state.push(PROGRESS, np.array([losses[0], total]))
            state.push(LOSSES, losses)
            if synchronized:
                state.barrier()

    def finalize(self, state: State, **config: Any) -> LinearModel:
        """One model of the pack, for raw features and labels.

        `model` names it by number. Otherwise the pack's best is taken: by `criterion` on the rows of the
        Batch `validation`, or without them by the loss while learning, among those of the first one's kind.
        `threshold` sets that of two classes; else it is calibrated on `validation` where the criterion asks.
        `f_beta`, `target_precision` and `target_recall` may be given anew.
        """
        known = (
            "model", "criterion", "validation", "threshold", "f_beta", "target_precision", "target_recall",
        )  # fmt: skip
        for name in config:
            if name not in known:
                raise Misuse(f"finalize takes no {name!r}", field=name, fix=suggestion(name, known))
        _, pack, scaling, classes = self._recalled(state)
        weights = np.asarray(state.pull(WEIGHTS))
        running = np.asarray(state.pull(LOSSES), np.float64)
        seen = float(state.pull(PROGRESS)[1])
        only = config.get("model")
        if only is None and config.get("validation") is None:
            only = config["model"] = self.best(running)
        self.check_number(only)
        models = self.models(pack, weights[:-1], weights[-1], scaling, classes, rows=seen, only=only)
        return self.choose(models, **{name: value for name, value in config.items() if name != "model"})

    def best(self, running: NDArray[np.float64]) -> int:
        """The number of the model with the least of these losses, among those that share the first one's."""
        same = [each.loss == self.candidates[0].loss for each in self.candidates]
        return int(np.argmin(np.where(same, running, np.inf)))

    def check_number(self, model: int | None) -> None:
        """Raise Misuse unless the pack has a model of that number."""
        if model is not None and not 0 <= model < len(self.candidates):
            raise Misuse(
                f"there is no model {model}",
                field="model",
                fix=f"The pack has 0 to {len(self.candidates) - 1}.",
            )

    def models(
        self,
        pack: Pack,
        weights: NDArray[Any],
        bias: NDArray[Any],
        scaling: Scaling,
        classes: NDArray[Any],
        *,
        rows: float,
        only: int | None = None,
    ) -> list[LinearModel]:
        """Every model of a pack, or `only` one, of weights (d, columns) and biases for scaled rows."""
        found = []
        for number, each in enumerate(pack.models):
            if only is not None and number != only:
                continue
            columns = slice(number * pack.outputs, (number + 1) * pack.outputs)
            raw, moved = scaling.fold_back(weights[:, columns], bias[columns])
            found.append(
                LinearModel(
                    raw if pack.multiclass else raw[:, 0],
                    moved if pack.multiclass else moved[0],
                    loss=each.loss,
                    parameter=each.parameter,
                    classes=classes if self.classifies else None,
                    settings={
                        **msgspec.to_builtins(each), "model": number, "models": len(pack), "rows": rows
                    },
                    label_shift=scaling.label_shift,
                    label_scale=scaling.label_scale,
                )
            )  # fmt: skip
        return found

    def choose(
        self,
        models: Sequence[LinearModel],
        *,
        criterion: str | None = None,
        validation: Batch | None = None,
        threshold: float | None = None,
        **targets: float,
    ) -> LinearModel:
        """The best of some models by `criterion` on the rows `validation`, with its threshold set.

        Without those rows it is the first of them.
        """
        criterion = self.criterion if criterion is None else criterion
        check_criterion(criterion)
        if threshold is not None and not 0 <= threshold <= 1:
            raise Misuse(f"{threshold} is no probability", field="threshold", fix="Give 0 to 1.")
        if validation is None or not len(validation):
            if threshold is not None and models[0].classes is not None:
                models[0].threshold = threshold
            return models[0]
        for each in models:
            each.threshold = self._threshold(each, criterion, validation, threshold, targets)
        values = [self._value(each, criterion, validation, targets) for each in models]
        return models[int(np.argmax(values))]

    def _threshold(
        self, model: LinearModel, criterion: str, rows: Batch, given: float | None, targets: dict[str, float]
    ) -> float:
        if given is not None or model.classes is None or len(model.classes) != 2:
            return 0.5 if given is None else given
        if model.weights.ndim != 1:
            return 0.5
        few = rows.rows(0, min(len(rows), self.num_calibration_samples))
        numbers = class_numbers(numeric(few.labels, "validation"), model.classes, "validation")
        return calibrate(
            numbers == 1, model.evaluate(few), criterion, weights=few.weights, **self._targets_of(targets)
        )[0]

    def _value(self, model: LinearModel, criterion: str, rows: Batch, targets: dict[str, float]) -> float:
        """What `model` is worth by `criterion`: more is better."""
        metric = criterion
        if model.classes is None:
            metric = "loss_function" if len({each.loss for each in self.candidates}) == 1 else "mse"
        elif model.weights.ndim == 2 and criterion not in ("loss_function", "cross_entropy_loss", "accuracy"):
            metric = "macro_f_beta"
        elif criterion == "loss_function" and len({each.loss for each in self.candidates}) > 1:
            metric = "accuracy"
        options = {} if model.classes is None else self._targets_of(targets)
        value = model.score(rows, metric, **options)
        return -value if metric in LOWER_IS_BETTER else value

    def _targets_of(self, given: dict[str, float]) -> dict[str, float]:
        return {
            "beta": given.get("f_beta", self.f_beta),
            "target_precision": given.get("target_precision", self.target_precision),
            "target_recall": given.get("target_recall", self.target_recall),
        }

    def _recalled(self, state: State) -> tuple[_Plan, Pack, Scaling, NDArray[np.float64]]:
        """What `initialize` left in the state; Misuse where it was another learner's."""
        plan = _Plan(*np.asarray(state.pull(PLAN), np.float64).tolist())
        classes = np.asarray(state.pull(CLASSES)) if self.classifies else np.empty(0)
        features = int(plan.features)
        shift = state.pull(SHIFT) if plan.centred else np.zeros(features)
        scaling = Scaling(shift, np.asarray(state.pull(SCALE)), plan.label_shift, plan.label_scale)
        pack = Pack(self.candidates, int(plan.outputs), plan.balanced)
        if len(pack) != plan.models or pack.multiclass != (plan.outputs > 1):
            raise Misuse(
                f"the state holds {int(plan.models)} models of {int(plan.outputs)} scores, "
                f"the learner has {len(pack)} of {pack.outputs if pack.multiclass else 1}",
                source="state",
                field="loss",
                fix="Go on with the settings that the job began with.",
            )
        return plan, pack, scaling, classes

    def _targets(
        self, batch: Batch, classes: NDArray[np.float64], scaling: Scaling, pack: Pack
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Labels and weights of a batch as the kernels take them."""
        labels = numeric(batch.labels, "update")
        weights = np.ones(len(labels), np.float32) if batch.weights is None else batch.weights
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise Misuse(
                "a weight is negative or no number", source="update", field="weights", fix="Drop it."
            )
        weights = np.asarray(weights, np.float32)
        if not self.classifies:
            return np.asarray((labels - scaling.label_shift) / scaling.label_scale, np.float32), weights
        numbers = class_numbers(labels, classes, "update")
        return np.asarray(numbers if pack.multiclass else numbers * 2.0 - 1.0, np.float32), weights

    def _finish(
        self,
        slopes: NDArray[np.float32],
        matrix: NDArray[np.float32],
        pack: Pack,
        total: float,
        step: float,
    ) -> None:
        """Make a sum of gradients what the state wants: their mean, with the decay of those touched."""
        slopes *= np.float32(step / total if total > 0 else 0.0)
        if self.aggregate != "ftrl":
            l1, l2 = pack.per_column(pack.l1), pack.per_column(pack.l2)
            if l2.any():
                slopes[:-1] += np.float32(step) * l2 * matrix[:-1]
            if l1.any():
                slopes[:-1] += np.float32(step) * l1 * np.sign(matrix[:-1])
        if not self.bias:
            slopes[-1] = 0

    def _candidates(self) -> tuple[Candidate, ...]:
        own = {
            **dict.fromkeys(_MARGINS, self.margin),
            "eps_insensitive_absolute": self.loss_insensitivity,
            "eps_insensitive_squared": self.loss_insensitivity,
            "quantile": self.quantile,
            "huber": self.huber_delta,
        }
        weights: tuple[float | str, ...] = (self.positive_weight,)
        if self.positive_weight == "auto":
            weights = (1.0, "balanced")
        return candidates(
            tuple(several(self.loss)), own, self.rates, tuple(several(self.l1)), tuple(several(self.l2)),
            weights, self.num_models,
        )  # fmt: skip

    def _argument_names(self) -> list[str]:
        code = LinearLearner.__init__.__code__
        return list(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])
