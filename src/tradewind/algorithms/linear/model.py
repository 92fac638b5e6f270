"""A finished linear model: weights for raw features, and what its scores mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.graph import Graph, Node, Port, constant, rows
from tradewind.algorithms.labels import class_numbers, numeric
from tradewind.algorithms.linear import metrics
from tradewind.algorithms.linear.calibration import calibrate
from tradewind.algorithms.linear.losses import LOSSES, losses, probabilities
from tradewind.errors import Misuse, suggestion

KIND = "LinearModel"
"""What its header calls it."""

VERSION = 1


class LinearModel:
    """Scores are `X @ weights + bias`; nothing else is needed to use it.

    - two classes: weights (d,), the probability of the second class is 1 / (1 + exp(-score)) under the
      logistic loss, and the class is the second where that reaches `threshold`
    - more classes (softmax): weights (d, k), the class is that of the largest score
    - regression: weights (d,), the score is the answer
    """

    kind: ClassVar[str] = KIND

    def __init__(
        self,
        weights: NDArray[np.float64],
        bias: NDArray[np.float64],
        *,
        loss: str,
        parameter: float = 0.0,
        classes: NDArray[Any] | None = None,
        threshold: float = 0.5,
        settings: Mapping[str, Any] | None = None,
        label_shift: float = 0.0,
        label_scale: float = 1.0,
    ) -> None:
        """`classes` None means regression; `settings` say how it was learned and come back in the header.

        `parameter` is the loss's own, in units of labels that were scaled by `label_shift` and `label_scale`.
        """
        self.weights = np.asarray(weights, np.float64)
        self.bias = np.asarray(bias, np.float64)
        self.loss, self.parameter = loss, parameter
        self.classes = None if classes is None else np.asarray(classes)
        self.threshold = threshold
        self.settings = dict(settings or {})
        self.label_shift, self.label_scale = label_shift, label_scale

    @property
    def features(self) -> int:
        """d, the number of columns it was trained on."""
        return len(self.weights)

    @property
    def metric(self) -> str:
        """Accuracy for classes, r2 for values."""
        return "r2" if self.classes is None else "accuracy"

    def scores(self, batch: Batch) -> NDArray[np.float64]:
        """`X @ weights + bias`: (n,), or (n, k) for more than two classes. Misuse for another width."""
        if batch.features != self.features:
            raise Misuse(
                f"the rows have {batch.features} features, the model was trained on {self.features}",
                field="features",
                fix="Give the columns that it was trained on, in their order.",
            )
        return np.asarray(batch.matrix() @ self.weights + self.bias, np.float64)

    def evaluate(self, batch: Batch | ArrayLike) -> NDArray[np.float64]:
        """Values (n,), the probability of the second class (n,), or of each of more classes (n, k).

        For a batch, or an array or scipy sparse matrix (n, d).
        """
        scores = self.scores(batch if isinstance(batch, Batch) else batch_of(batch))
        return scores if self.classes is None else probabilities(self.loss, scores)

    def predict(self, batch: Batch | ArrayLike) -> NDArray[Any]:
        """Values, or classes as they were labelled, (n,).

        A value of a row that lacks one is NaN; Misuse where such a row has no class for that.
        """
        answer = self.evaluate(batch)
        if self.classes is None:
            return answer
        _check_scores(answer)
        if answer.ndim == 2:
            return np.asarray(self.classes[answer.argmax(axis=1)])
        return np.asarray(self.classes[(answer >= self.threshold).astype(np.int64)])

    def score(self, batch: Batch, metric: str = "", **options: float) -> float:
        """How good its answers are for the batch's labels.

        A regression knows mse, rmse, mae and r2 (the usual one); a classification accuracy (the usual one),
        log_loss or cross_entropy_loss; with two classes auc, f_beta, precision, recall,
        precision_at_target_recall, recall_at_target_precision; with more top_k_accuracy and macro_f_beta.
        All know loss_function, the loss that it was trained with. Options: beta (1), target_precision and
        target_recall (.8), k (3).
        """
        metric = metric or self.metric
        truth = numeric(batch.labels, "score")
        weights = metrics.mean_weights(batch.weights, len(truth))
        if self.classes is None:
            values = self.scores(batch)
            if metric == "loss_function":
                scaled = (truth - self.label_shift) / self.label_scale
                found = losses(
                    self.loss, self.parameter, scaled, (values - self.label_shift) / self.label_scale
                )
                return float(np.average(found, weights=weights))
            if metric not in metrics.REGRESSION:
                raise _unknown(metric, [*metrics.REGRESSION, "loss_function"])
            return metrics.REGRESSION[metric](truth, values, weights)
        numbers = class_numbers(truth, self.classes.astype(np.float64), "score")
        return self.score_classes(batch, numbers, weights, metric, **options)

    def score_classes(
        self,
        batch: Batch,
        numbers: NDArray[np.int64],
        weights: NDArray[np.float64],
        metric: str,
        *,
        beta: float = 1.0,
        target_precision: float = 0.8,
        target_recall: float = 0.8,
        k: float = 3,
    ) -> float:
        """`score` for a classification whose labels are given as class numbers."""
        scores = self.scores(batch)
        _check_scores(scores)
        likely = probabilities(self.loss, scores)
        if likely.ndim == 2 and likely.shape[1] == 2 and metric in metrics.TWO_CLASSES:
            scores, likely = scores[:, 1] - scores[:, 0], likely[:, 1]
        two = likely.ndim == 1
        if metric == "loss_function":
            target = numbers * 2.0 - 1.0 if two else numbers
            return float(np.average(losses(self.loss, self.parameter, target, scores), weights=weights))
        if metric in ("log_loss", "cross_entropy_loss"):
            table = np.stack([1 - likely, likely], axis=1) if two else likely
            return metrics.log_loss(numbers, table, weights)
        chosen = (likely >= self.threshold).astype(np.int64) if two else likely.argmax(axis=1)
        if metric == "accuracy":
            return float(np.average(chosen == numbers, weights=weights))
        if not two and metric == "top_k_accuracy":
            own = likely[np.arange(len(numbers)), numbers]
            return float(np.average((likely > own[:, None]).sum(axis=1) < k, weights=weights))
        if not two and metric == "macro_f_beta":
            found = []
            for c in range(likely.shape[1]):
                right, wrong, missed, _ = metrics.counts(numbers == c, chosen == c, weights)
                found.append(metrics.f_beta(right, wrong, missed, beta))
            return float(np.mean(found))
        right, wrong, missed, _ = metrics.counts(numbers == 1, chosen == 1, weights)
        if two and metric == "auc":
            return metrics.auc(numbers == 1, scores, weights)
        if two and metric == "f_beta":
            return metrics.f_beta(right, wrong, missed, beta)
        if two and metric == "precision":
            return metrics.precision(right, wrong)
        if two and metric == "recall":
            return metrics.precision(right, missed)
        if two and metric in ("precision_at_target_recall", "recall_at_target_precision"):
            return calibrate(
                numbers == 1, likely, metric, weights=weights, beta=beta,
                target_precision=target_precision, target_recall=target_recall,
            )[1]  # fmt: skip
        others = metrics.TWO_CLASSES if two else metrics.MORE_CLASSES
        raise _unknown(metric, [*metrics.CLASSIFICATION, *others])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`weights`, `bias` and, for a classification with numeric labels, `classes`."""
        found = {"weights": self.weights, "bias": np.atleast_1d(self.bias)}
        if self.classes is not None and self.classes.dtype.kind in "biuf":
            found["classes"] = self.classes.astype(np.float64)
        return found

    def graph(self) -> Graph:
        """The scores, and what `evaluate` makes of them."""
        return self._answer_of(
            [Node("MatMul", ("X", "weights"), ("product",)), Node("Add", ("product", "bias"), ("scores",))],
            {"weights": constant(self.weights), "bias": constant(self.bias)},
        )

    def _answer_of(self, nodes: list[Node], constants: dict[str, NDArray[Any]]) -> Graph:
        """The graph whose `nodes` end in the scores."""
        width = self.weights.shape[1] if self.weights.ndim == 2 else 0
        if self.classes is None:
            nodes.append(Node("Identity", ("scores",), ("Y",)))
        elif width or self.loss == "logistic":
            nodes.append(Node("Softmax" if width else "Sigmoid", ("scores",), ("Y",)))
        else:  # see `losses.probabilities`
            nodes.append(Node("Mul", ("scores", "half"), ("halved",)))
            nodes.append(Node("Add", ("halved", "half"), ("moved",)))
            nodes.append(Node("Clip", ("moved", "zero", "one"), ("Y",)))
            constants |= {
                name: constant(value) for name, value in (("zero", 0.0), ("half", 0.5), ("one", 1.0))
            }
        shape: tuple[int | str, ...] = ("rows", width) if width else ("rows",)
        return Graph(
            nodes=tuple(nodes),
            inputs=(rows(self.features),),
            outputs=(Port("Y", shape),),
            constants=constants,
        )

    def header(self) -> dict[str, Any]:
        """Its kind, loss, threshold and settings, and how to use the arrays, as JSON values."""
        textual = self.classes is not None and self.classes.dtype.kind not in "biuf"
        return {
            "kind": self.kind,
            "version": VERSION,
            "task": "regression" if self.classes is None else "classification",
            "loss": self.loss,
            "parameter": self.parameter,
            "features": self.features,
            "threshold": self.threshold,
            "label_shift": self.label_shift,
            "label_scale": self.label_scale,
            "class_names": [str(each) for each in self.classes] if textual else None,  # type: ignore[union-attr]
            "settings": self.settings,
            "formula": "scores = X @ weights + bias",
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> Self:
        """The model that gave `arrays` and `header`; Misuse where they do not fit together."""
        return cls(**cls._arguments(arrays, header))

    @classmethod
    def _arguments(cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> dict[str, Any]:
        """What the constructor was given."""
        if header.get("kind") != cls.kind or header.get("version") != VERSION:
            raise Misuse(
                f"kind {header.get('kind')!r}, version {header.get('version')!r}",
                source="model header",
                field="kind",
                fix=f"Open a {cls.kind} of version {VERSION}.",
            )
        missing = [name for name in ("weights", "bias") if name not in arrays]
        if missing or len(arrays["weights"]) != header["features"]:
            raise Misuse(
                "the arrays are not those that the header tells of",
                source="model",
                field=missing[0] if missing else "weights",
                fix="Restore both files from the same save.",
            )
        classes = arrays.get("classes")
        if header.get("class_names"):
            classes = np.array(header["class_names"])
        _check_header(header, classes, np.shape(arrays["weights"]))
        bias = np.asarray(arrays["bias"], np.float64)
        return {
            "weights": arrays["weights"],
            "bias": bias if np.ndim(arrays["weights"]) == 2 else bias.reshape(()),
            "loss": header["loss"],
            "parameter": header["parameter"],
            "classes": classes,
            "threshold": header["threshold"],
            "settings": header.get("settings"),
            "label_shift": header["label_shift"],
            "label_scale": header["label_scale"],
        }


def _check_header(header: Mapping[str, Any], classes: NDArray[Any] | None, weights: tuple[int, ...]) -> None:
    """Raise Misuse for a header that would go wrong only when the model is used."""
    wrong = "" if header["loss"] in LOSSES else "loss"
    numbers = ("threshold", "label_shift", "label_scale", "parameter")
    for name in numbers:
        value = header[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            wrong = name
    if not wrong and not 0 <= header["threshold"] <= 1:
        wrong = "threshold"
    count = 2 if len(weights) == 1 else weights[1]
    if not wrong and header["task"] != ("regression" if classes is None else "classification"):
        wrong = "task"
    if (
        not wrong
        and classes is not None
        and (classes.shape != (count,) or len(set(classes.tolist())) < count)
    ):
        wrong = "class_names" if header.get("class_names") else "classes"
    if wrong:
        raise Misuse(
            f"the model has no such {wrong}", source="model header", field=wrong,
            fix="Restore both files from the same save.",
        )  # fmt: skip


def _check_scores(scores: NDArray[np.float64]) -> None:
    """Raise Misuse for a row without a score: it would silently count as the first class."""
    missing = np.isnan(scores) if scores.ndim == 1 else np.isnan(scores).any(axis=1)
    if missing.any():
        raise Misuse(
            f"row {int(missing.argmax())} holds NaN, or values too large for a score", field="features",
            fix="Drop or fill it.",
        )  # fmt: skip


def _unknown(metric: str, known: list[str]) -> Misuse:
    return Misuse(f"{metric!r} is no metric of this model", field="metric", fix=suggestion(metric, known))
