"""What an estimator with `partial_fit` has learned, as named arrays; nothing is pickled."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.graph import Graph, Node, Port, constant, rows
from tradewind.algorithms.partial_fit_merging import KNOWN, begun
from tradewind.errors import Misuse, suggestion

KIND = "PartialFitModel"
"""What its header calls it."""

CLASSIFIER, REGRESSOR, OTHER = "classifier", "regressor", "other"


class PartialFitModel:
    """An estimator's fitted attributes, and the estimator itself.

    - classifiers answer the probability of the second class (n,), or of each of more (n, k), where the
      estimator knows probabilities, else its decision function; regressors their values (n,)
    - linear ones are `X @ coef_.T + intercept_`; naive Bayes ones are a softmax of log-chances, see `header`
    """

    def __init__(
        self, estimator: Any, home: str, arguments: Mapping[str, Any], role: str, features: int
    ) -> None:
        """Of a fitted estimator; `home` and `arguments` say how it was made."""
        self._estimator, self.home, self.arguments = estimator, home, dict(arguments)
        self.role, self.features = role, features
        self._arrays = {} if estimator is None else fitted_arrays(estimator)

    @property
    def metric(self) -> str:
        """Accuracy for classes, r2 for values."""
        return {CLASSIFIER: "accuracy", REGRESSOR: "r2"}.get(self.role, "score")

    @property
    def estimator(self) -> Any:
        """The fitted estimator; Misuse where a file names one that must be given, see `built_by`."""
        if self._estimator is None:
            raise Misuse(
                f"the model is of {self.home}, which is not imported because a file says so",
                source="model", field="estimator", fix="Give the class: model.built_by(TheClass).",
            )  # fmt: skip
        return self._estimator

    def built_by(self, kind: Callable[..., Any]) -> PartialFitModel:
        """The model with its estimator, which is made by calling `kind` with the arguments in the header."""
        if self.features not in {each.shape[-1] for each in self._arrays.values() if each.ndim}:
            raise _apart(f"no array is of {self.features} features", "features")
        made = begun(kind(**self.arguments), self.features, self._arrays.get("classes_"))
        there = fitted_arrays(made)
        for name, value in self._arrays.items():
            if name not in there or value.shape != there[name].shape:
                raise _apart(f"{name} of shape {value.shape} is nothing that {self.home} learns", "arrays")
        if missing := sorted(there.keys() - self._arrays.keys()):
            raise _apart(f"{', '.join(missing)} is missing", "arrays")
        for name, value in self._arrays.items():
            old = getattr(made, name)
            setattr(made, name, np.array(value) if np.ndim(old) else type(old)(value.item()))
        return PartialFitModel(made, self.home, self.arguments, self.role, self.features)

    def evaluate(self, batch: Batch | ArrayLike) -> NDArray[Any]:
        """The estimator's answer for each row, see above."""
        found, x = self.estimator, self._rows(batch)
        if self.role == CLASSIFIER and hasattr(found, "predict_proba"):
            answer = np.asarray(found.predict_proba(x))
            return answer[:, 1] if answer.shape[1] == 2 else answer
        if self.role == CLASSIFIER and hasattr(found, "decision_function"):
            return np.asarray(found.decision_function(x))
        return np.asarray(found.predict(x) if hasattr(found, "predict") else found.transform(x))

    def predict(self, batch: Batch | ArrayLike) -> NDArray[Any]:
        """The class or the value of each row, (n,)."""
        return np.asarray(self.estimator.predict(self._rows(batch)))

    def score(self, batch: Batch, metric: str = "") -> float:
        """`accuracy` of classifiers, `r2` of regressors, of others what the estimator calls its score."""
        if metric not in ("", self.metric):
            raise Misuse(
                f"{metric!r} is no metric of this model",
                field="metric",
                fix=suggestion(metric, [self.metric]),
            )
        if self.role == OTHER:
            return float(self.estimator.score(self._rows(batch), batch.labels))
        if batch.labels is None:
            raise Misuse("the rows have no labels", source="score", field="labels", fix="Give them.")
        labels, answer = np.asarray(batch.labels, np.float64), self.predict(batch)
        weights = np.ones(len(labels)) if batch.weights is None else np.asarray(batch.weights, np.float64)
        if self.role == CLASSIFIER:
            return float(np.average(labels == answer, weights=weights))
        mean = np.average(labels, weights=weights)
        whole = float(np.sum(weights * np.square(labels - mean)))
        left = float(np.sum(weights * np.square(labels - answer)))
        return 1 - left / whole if whole else float(left == 0)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The estimator's fitted attributes under their own names, such as `coef_`."""
        return dict(self._arrays)

    def header(self) -> dict[str, Any]:
        """How to use the arrays."""
        name = self.home.partition(":")[2]
        return {
            "kind": KIND, "version": 1, "estimator": self.home, "arguments": self.arguments,
            "role": self.role, "features": self.features,
            "formula": _FORMULAS.get(name, "as the estimator does"),
        }  # fmt: skip

    def graph(self) -> Graph:
        """`evaluate` on dense rows, of the verified estimators; Misuse for others."""
        name = self.home.partition(":")[2]
        if self.home not in KNOWN:
            raise Misuse(
                f"how {self.home} computes is not known here", source="model", field="estimator",
                fix="Only scikit-learn's linear and naive Bayes estimators are written as ONNX.",
            )  # fmt: skip
        if name.endswith("NB"):
            return _bayes_graph(name, self.estimator, self.features)
        return _linear_graph(self.estimator, self.features, self.role)

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> PartialFitModel:
        """The model that gave `arrays` and `header`.

        An estimator that is verified is built; of any other the arrays are there, and `built_by` builds it.
        """
        home = str(header.get("estimator", ""))
        model = cls(
            None, home, header.get("arguments", {}), str(header.get("role", OTHER)),
            int(header.get("features", 0)),
        )  # fmt: skip
        model._arrays = {name: np.asarray(each) for name, each in arrays.items()}
        if home not in KNOWN:
            return model
        module, _, name = home.partition(":")
        try:
            return model.built_by(getattr(importlib.import_module(module), name))
        except (TypeError, ValueError) as problem:
            raise Misuse(
                f"{name} cannot be built: {problem}", source="model", field="arguments",
                fix="Give the file as it was written.",
            ) from problem  # fmt: skip

    def _rows(self, batch: Any) -> Any:
        found = batch if isinstance(batch, Batch) else batch_of(batch)
        if found.features != self.features:
            raise Misuse(
                f"the rows have {found.features} features, the model was trained on {self.features}",
                field="features", fix="Give the columns that it was trained on, in their order.",
            )  # fmt: skip
        return wide(found)


def _apart(problem: str, field: str) -> Misuse:
    return Misuse(problem, source="model", field=field, fix="Give the file as it was written.")


def wide(batch: Batch) -> Any:
    """The rows as scikit-learn's estimators take them: float64."""
    return batch.matrix().astype(np.float64)


def fitted_arrays(estimator: Any) -> dict[str, NDArray[Any]]:
    """The numeric attributes whose names end in an underscore."""
    found = {}
    for name, value in vars(estimator).items():
        if name.endswith("_") and not name.startswith("_") and not isinstance(value, (str, bool)):
            array = np.asarray(value)
            if array.dtype.kind in "fiu":
                found[name] = np.array(array, np.float64 if array.dtype.kind == "f" else np.int64)
    return found


_LINEAR = "score = X @ coef_.T + intercept_"
_FORMULAS = {
    "SGDClassifier": _LINEAR + "; of log_loss, 1 / (1 + exp(-score)), of more than two classes over its sum",
    "Perceptron": _LINEAR,
    "PassiveAggressiveClassifier": _LINEAR,
    "SGDRegressor": _LINEAR,
    "PassiveAggressiveRegressor": _LINEAR,
    "MultinomialNB": "softmax(X @ feature_log_prob_.T + class_log_prior_)",
    "ComplementNB": "softmax(X @ feature_log_prob_.T), of one class only with class_log_prior_ added",
    "BernoulliNB": "x = X > binarize; l = feature_log_prob_; m = log(1 - exp(l)); "
    "softmax(x @ (l - m).T + sum(m) + class_log_prior_)",
    "GaussianNB": "softmax(log(class_prior_) - sum(log(2 pi var_)) / 2 - sum((X - theta_)**2 / var_) / 2)",
}


def _linear_graph(found: Any, features: int, role: str) -> Graph:
    weights = np.atleast_2d(found.coef_).T
    nodes = [Node("Gemm", ("X", "weights", "bias"), ("scores",))]
    constants = {"weights": constant(weights), "bias": constant(np.atleast_1d(found.intercept_))}
    loss, outputs = getattr(found, "loss", ""), weights.shape[1]
    last = "scores"
    if role == CLASSIFIER and loss == "modified_huber":
        raise Misuse(
            "the probabilities of modified_huber are not written", source="model", field="loss",
            fix="Use log_loss.",
        )  # fmt: skip
    if role == CLASSIFIER and loss == "log_loss" and outputs == 1:
        nodes.append(Node("Sigmoid", ("scores",), ("chances",)))
        last = "chances"
    elif role == CLASSIFIER and loss == "log_loss":
        # sigmoids over their sum, by their logarithms: the sigmoids themselves may all be next to nothing
        nodes += [
            Node("Neg", ("scores",), ("minus",)),
            Node("Softplus", ("minus",), ("against",)),
            Node("Neg", ("against",), ("logs",)),
            Node("Softmax", ("logs",), ("shares",), {"axis": 1}),
        ]
        last = "shares"
    shape: tuple[int | str, ...] = ("rows", outputs)
    if outputs == 1:
        nodes.append(Node("Squeeze", (last, "column"), ("Y",)))
        constants["column"], shape = constant([1], np.int64), ("rows",)
    else:
        nodes.append(Node("Identity", (last,), ("Y",)))
    return Graph(tuple(nodes), (rows(features),), (Port("Y", shape),), constants)


def _bayes_graph(name: str, found: Any, features: int) -> Graph:
    nodes: list[Node] = []
    constants: dict[str, NDArray[Any]] = {}
    x = "X"
    if name == "GaussianNB":
        # centred first: squares of large numbers that vary a little have no digits left in float32
        middle = found.theta_.mean(axis=0)
        theta, precision = found.theta_ - middle, 1 / found.var_
        nodes += [Node("Sub", ("X", "middle"), ("x",)), Node("Mul", ("x", "x"), ("xx",))]
        nodes += [Node("MatMul", ("xx", "squares"), ("far",))]
        constants["middle"], constants["squares"] = constant(middle), constant(-0.5 * precision.T)
        weights = (theta * precision).T
        bias = np.log(found.class_prior_) - 0.5 * np.sum(
            np.log(2 * np.pi * found.var_) + theta * theta * precision, axis=1
        )
        x = "x"
    elif name == "BernoulliNB":
        log = found.feature_log_prob_
        miss = np.log(1 - np.exp(log))
        weights, bias = (log - miss).T, miss.sum(axis=1) + found.class_log_prior_
        if found.binarize is not None:
            nodes += [
                Node("Greater", ("X", "threshold"), ("more",)),
                Node("Cast", ("more",), ("x",), {"to": 1}),
            ]
            constants["threshold"], x = constant([found.binarize]), "x"
    else:
        weights, bias = found.feature_log_prob_.T, found.class_log_prior_
        if name == "ComplementNB" and len(found.classes_) > 1:
            bias = np.zeros(len(found.classes_))
    constants["weights"], constants["bias"] = constant(weights), constant(bias)
    nodes.append(Node("Gemm", (x, "weights", "bias"), ("near",)))
    if name == "GaussianNB":
        nodes.append(Node("Add", ("near", "far"), ("joint",)))
    joint = nodes[-1].outputs[0]
    nodes.append(Node("Softmax", (joint,), ("shares",), {"axis": 1}))
    count = len(found.classes_)
    shape: tuple[int | str, ...] = ("rows", count)
    if count == 2:
        nodes.append(Node("Gather", ("shares", "second"), ("Y",), {"axis": 1}))
        constants["second"], shape = np.array(1), ("rows",)
    else:
        nodes.append(Node("Identity", ("shares",), ("Y",)))
    return Graph(tuple(nodes), (rows(features),), (Port("Y", shape),), constants)
