"""Any torch module of the user's own as a learner, by the name that workers import it by.

Synchronous and stale minibatch gradients through a parameter server: Dean et al., "Large scale distributed
deep networks", NeurIPS 2012, section 4.1; see `gradients` for what is pushed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import ClassifierTags, RegressorTags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.nn.parameter import UninitializedParameter

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.deep.gradients import OPTIMIZERS, Facts, GradientLearner, check_config
from tradewind.algorithms.deep.torch_model import INPUTS, LABELS, TorchModel, filled, inputs_of
from tradewind.algorithms.importable import found_at, home_of, plain_arguments
from tradewind.algorithms.labels import numeric
from tradewind.algorithms.shuffling import shuffled
from tradewind.errors import Misuse, suggestion

TARGETS = ("auto", "classes", "binary", "number", "none")
_SOURCE = "TorchLearner"


@contextlib.contextmanager
def _normalised(network: nn.Module, rows: int) -> Iterator[None]:
    """Within, batch normalisation uses its running statistics if there is a single row, which has none."""
    norms = [each for each in network.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    norms = [each for each in norms if each.training] if rows == 1 else []
    for each in norms:
        each.eval()
    try:
        yield
    finally:
        for each in norms:
            each.train()


def _classifies() -> Any:
    return available_if(lambda self: self.labels in ("classes", "binary"))


class TorchLearner(GradientLearner):
    """A torch module that learns through a state, elastic and resumable, its code as it is.

    `network(**arguments)` makes the module, on every worker; an argument that it calls `features`, or
    `classes` where it scores each, is filled in from the data (how many there are) if it is not given. The
    parameters are one table, in which the optimiser steps; frozen ones and buffers have tables beside it,
    running statistics being averaged over the workers. Tied parameters are one. What a module draws (dropout,
    first weights) is seeded by the batch. What a module keeps in plain attributes between batches is not
    carried over. Batch normalisation of a batch of one row, which has no statistics, is by the running ones.
    Each batch is a pull and a push of all parameters: memory and traffic are O(parameters).

    Args:
        network: `module:Name` of an nn.Module, or of a function that returns one; see `of`.
        arguments: its arguments, plain values.
        loss: `cross_entropy` (of scores), `nll` (of log-probabilities), `bce` (of one score a row), `mse`
            (one value a row), or `module:function` of the output and the labels (n,), whose answer is one
            number a row, or their mean.
        target: what labels are taken for: `classes` (numbered from 0), `binary` (0 and 1), `number`, or
            `none` (a loss of the user's own is then given the network's input for labels); `auto` goes by the
            loss, `number` for one of the user's own.
        inputs: what forward is given: `dense` rows (float32), `integers`, `sparse` (one COO tensor), or
            `bags` (indices, offsets and values, for an EmbeddingBag).
        shape: of one row, such as (1, 28, 28), where it is not flat.
        optimizer: `adam`, `adadelta`, `adagrad`, `rmsprop` or `sgd`, as the state has them.
        rate: its rate; None is its usual one.
        clip: the most that a gradient's norm may be; None for any.
        weight_decay: what of each parameter is added to its gradient.
        batch_size, epochs: of `fit`; a job says its own.
        classes: all labels that occur in a job, where its first rows may not show them.
        seed: of the first weights, the order of rows and the module's own chance.
        sample_size: rows that `initialize` sees.
    """

    network: Any
    loss: Any
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "network": [str],
        "arguments": [None, dict],
        "loss": [str],
        "target": [StrOptions(set(TARGETS))],
        "inputs": [StrOptions(set(INPUTS))],
        "shape": [None, "array-like"],
        "optimizer": [StrOptions(set(OPTIMIZERS))],
        "rate": [None, Interval(Real, 0, None, closed="neither")],
        "clip": [None, Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "classes": [None, "array-like"],
        "seed": [Interval(Integral, 0, None, closed="left")],
        "sample_size": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        network: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        loss: str = "cross_entropy",
        target: str = "auto",
        inputs: str = "dense",
        shape: Sequence[int] | None = None,
        optimizer: str = "adam",
        rate: float | None = None,
        clip: float | None = None,
        weight_decay: float = 0.0,
        batch_size: int = 64,
        epochs: int = 20,
        classes: Sequence[float] | None = None,
        seed: int = 0,
        sample_size: int = 10_000,
    ) -> None:
        self.network, self.arguments, self.loss = network, arguments, loss
        self.target, self.inputs, self.shape = target, inputs, shape
        self.optimizer, self.rate, self.clip, self.weight_decay = optimizer, rate, clip, weight_decay
        self.batch_size, self.epochs, self.classes = batch_size, epochs, classes
        self.seed, self.sample_size = seed, sample_size

    @classmethod
    def of(cls, network: Callable[..., nn.Module], **settings: Any) -> Self:
        """A learner of a module's class, or of a function that makes one; its name is found here.

        `settings` are the constructor's others; a function may be given as the `loss`. Misuse, with the fix,
        for a lambda, a closure, something that the running script defines, or a module already made.
        """
        if callable(settings.get("loss")):
            settings["loss"] = home_of(settings["loss"], _SOURCE)
        return cls(home_of(network, _SOURCE), **settings)

    @property
    def labels(self) -> str:  # type: ignore[override]
        """What it takes the labels for, see `target`."""
        return LABELS.get(str(self.loss), "number") if self.target == "auto" else self.target

    @property
    def takes_sparse(self) -> bool:  # type: ignore[override]
        """Sparse rows may be given to every network; to one that takes dense ones they are made so."""
        return True

    def check(self) -> None:
        """Raise Misuse for an argument that cannot be meant, or a network that cannot be imported."""
        super().check()
        self._check_arguments()

    def _check_arguments(self) -> None:
        plain_arguments(self.arguments, _SOURCE)
        if str(self.loss) not in LABELS:
            if ":" not in str(self.loss):
                raise Misuse(
                    f"{self.loss!r} is no loss", source=_SOURCE, field="loss",
                    fix=suggestion(str(self.loss), LABELS) + " Or write module:function.",
                )  # fmt: skip
            found_at(str(self.loss), _SOURCE)
        elif self.labels != LABELS[str(self.loss)]:
            raise Misuse(
                f"{self.loss} is for {LABELS[str(self.loss)]}, not {self.target}", source=_SOURCE,
                field="target", fix="Leave target='auto'.",
            )  # fmt: skip
        if self.shape is not None and self.inputs not in ("dense", "integers"):
            raise Misuse(
                f"{self.inputs} inputs have no shape", source=_SOURCE, field="shape", fix="Leave it out."
            )
        if not callable(found_at(str(self.network), _SOURCE)):
            raise Misuse(
                f"{self.network} makes nothing", source=_SOURCE, field="network",
                fix="Name an nn.Module's class, or a function that returns one.",
            )  # fmt: skip

    # as a learner of networks

    def facts(self, sample: Batch) -> dict[str, NDArray[Any]]:
        """How many columns there are, (1,), and the classes, (k,)."""
        if self.shape is not None and math.prod(self.shape) != sample.features:
            raise Misuse(
                f"{tuple(self.shape)} are {math.prod(self.shape)} numbers, a row has {sample.features}",
                source=_SOURCE, field="shape", fix="Give the shape of one row.",
            )  # fmt: skip
        found: dict[str, NDArray[Any]] = {"features": np.array([sample.features])}
        if self.labels in ("classes", "binary"):
            classes = self.known_classes(numeric(sample.labels, "initialize"), "initialize")
            if self.labels == "binary" and len(classes) > 2:
                raise Misuse(
                    f"{len(classes)} classes for {self.loss}", source="initialize", field="labels",
                    fix="Use loss='cross_entropy', or keep the rows of two classes.",
                )  # fmt: skip
            found["classes"] = classes
        return found

    def fact_names(self) -> tuple[str, ...]:
        """Of what `facts` gives."""
        return ("features", "classes") if self.labels in ("classes", "binary") else ("features",)

    def network_of(self, facts: Facts) -> nn.Module:
        """The user's module."""
        made = found_at(str(self.network), _SOURCE)
        try:
            network = made(**self._filled(facts))
        except TypeError as problem:
            raise Misuse(
                str(problem), source=_SOURCE, field="arguments", fix=f"Give what {self.network} takes."
            ) from problem
        if not isinstance(network, nn.Module):
            raise Misuse(
                f"{self.network} makes a {type(network).__name__}", source=_SOURCE, field="network",
                fix="Name an nn.Module's class, or a function that returns one.",
            )  # fmt: skip
        if any(isinstance(each, UninitializedParameter) for each in network.parameters()):
            raise Misuse(
                f"{self.network} has lazy layers, whose sizes are not known before rows have passed",
                source=_SOURCE, field="network", fix="Name their sizes; `features` is filled in.",
            )  # fmt: skip
        return network

    def loss_of(
        self, network: nn.Module, batch: Batch, facts: Facts, chance: torch.Generator, seen: float
    ) -> tuple[torch.Tensor, float]:
        """The sum of the losses of a batch's rows, each times its weight."""
        if batch.features != int(facts["features"][0]):
            raise Misuse(
                f"the rows have {batch.features} features, the first had {int(facts['features'][0])}",
                source="update", field="features", fix="Give rows with the same columns.",
            )  # fmt: skip
        inputs = inputs_of(batch, self.inputs, self.shape)
        try:
            with _normalised(network, len(batch)):
                output = network(*inputs)
        except (RuntimeError, ValueError, TypeError, IndexError) as problem:
            raise Misuse(
                f"{self.network} fails on {len(batch)} rows: {str(problem).strip().splitlines()[0]}",
                source=_SOURCE, field="network", fix="Mend the module, or its arguments, inputs or shape.",
            ) from problem  # fmt: skip
        losses = self._losses(output, inputs, batch, facts)
        if losses.ndim == 0:
            losses = losses.expand(len(batch))
        if losses.ndim != 1 or len(losses) != len(batch):
            raise Misuse(
                f"the loss has shape {tuple(losses.shape)} for {len(batch)} rows", source=_SOURCE,
                field="loss", fix="Return one number a row (n,), or their mean.",
            )  # fmt: skip
        if batch.weights is None:
            return losses.sum(), float(len(batch))
        weights = torch.from_numpy(np.array(batch.weights, np.float32))
        return (losses * weights).sum(), float(weights.sum())

    def model(self, network: nn.Module, facts: Facts, **config: Any) -> TorchModel:
        """The network, trained."""
        check_config(config, ("validation",))
        classes = facts.get("classes")
        return TorchModel.of_network(
            network,
            {
                "network": self.network, "arguments": self._filled(facts), "loss": self.loss,
                "target": self.labels, "inputs": self.inputs,
                "shape": None if self.shape is None else [int(n) for n in self.shape],
                "features": int(facts["features"][0]),
                "classes": None if classes is None else classes.tolist(),
            },
        )  # fmt: skip

    def _losses(
        self, output: Any, inputs: tuple[torch.Tensor, ...], batch: Batch, facts: Facts
    ) -> torch.Tensor:
        functional = nn.functional
        if self.labels == "none":
            labels: Any = inputs[0] if len(inputs) == 1 else inputs
        else:
            labels = torch.from_numpy(self._numbers(batch, facts))
        if self.loss in ("cross_entropy", "nll"):
            count = len(facts["classes"])
            if output.ndim != 2 or output.shape[1] < count:
                raise self._shaped(output, f"(n, {count}): one score for each class")
            whole = functional.cross_entropy if self.loss == "cross_entropy" else functional.nll_loss
            return whole(output, labels.long(), reduction="none")
        if self.loss in ("bce", "mse"):
            if output.numel() != len(batch):
                raise self._shaped(output, "(n,) or (n, 1)")
            output = output.reshape(len(batch))
            if self.loss == "bce":
                return functional.binary_cross_entropy_with_logits(output, labels, reduction="none")
            return functional.mse_loss(output, labels, reduction="none")
        found: torch.Tensor = found_at(str(self.loss), _SOURCE)(output, labels)
        return found

    def _numbers(self, batch: Batch, facts: Facts) -> NDArray[np.float32]:
        """The labels; those of classes as their places among the classes."""
        labels = numeric(batch.labels, "update")
        if "classes" not in facts:
            return labels.astype(np.float32)
        classes = facts["classes"]
        places = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
        if (classes[places] != labels).any():
            strange = labels[classes[places] != labels][0]
            raise Misuse(
                f"the label {strange:g} is none of the classes {classes.tolist()}", source="update",
                field="labels", fix="Name all of them, such as classes=(0, 1), or shuffle the rows.",
            )  # fmt: skip
        return places.astype(np.float32)

    def _shaped(self, output: torch.Tensor, wanted: str) -> Misuse:
        return Misuse(
            f"the network gives {tuple(output.shape)}, where {self.loss} needs {wanted}", source=_SOURCE,
            field="network", fix="Change its last layer, or choose another loss.",
        )  # fmt: skip

    def _filled(self, facts: Facts) -> dict[str, Any]:
        known = {"features": int(facts["features"][0])}
        if self.labels == "classes":
            known["classes"] = len(facts["classes"])
        given = plain_arguments(self.arguments, _SOURCE)
        return filled(found_at(str(self.network), _SOURCE), given, known)

    # scikit-learn's

    def _numbered(self, labels: NDArray[Any], first: bool, classes: Any) -> NDArray[np.float64]:
        kind = type_of_target(labels, input_name="y")
        if first and self.labels == "binary" and kind != "binary" and len(np.unique(labels)) > 2:
            raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
        return super()._numbered(labels, first, classes)

    @_classifies()
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each class, (n, k)."""
        answer = np.asarray(self._answer(X), np.float64)
        return np.stack([1 - answer, answer], axis=1) if answer.ndim == 1 else answer

    def predict(self, X: Any) -> NDArray[Any]:
        """The class or the value of each row, (n,)."""
        check_is_fitted(self)
        if self.labels in ("classes", "binary"):
            found: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
            return found
        return self._answer(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy of classes, r2 of values."""
        answer = self.predict(X)
        if self.labels in ("classes", "binary"):
            return float(np.average(np.asarray(y) == answer, weights=sample_weight))
        y = np.asarray(y, np.float64)
        spread = np.average((y - np.average(y, weights=sample_weight)) ** 2, weights=sample_weight)
        return 1 - float(np.average((y - answer) ** 2, weights=sample_weight) / max(spread, 1e-300))

    def _answer(self, X: Any) -> NDArray[Any]:
        check_is_fitted(self)
        found: NDArray[Any] = self._model.evaluate(self._rows(X, reset=False))
        return found

    def _ordered(self, batch: Batch, epoch: int) -> Batch:
        return shuffled(batch, self.seed, epoch)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if self.labels in ("classes", "binary"):
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
            tags.classifier_tags.multi_class = self.labels == "classes"
        elif self.labels == "number":
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        tags.target_tags.required = self.labels != "none"
        return tags
