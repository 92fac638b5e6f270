"""Multinomial logistic regression, by stochastic steps: both faces.

The softmax of linear scores and its maximum likelihood, as in Pattern Recognition and Machine Learning
(Bishop, 2006), section 4.3.4; the workload of Proteus (Harlap et al., EuroSys 2017) and of Cirrus (Carreira
et al., SoCC 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tradewind.algorithms.linear_in_jobs import TwoFacedClassifier


class MultinomialLogisticRegression(TwoFacedClassifier):
    """How likely each of k classes is, by a softmax of linear scores.

    Weights are (d, k), for two classes too. Learns by adaptive steps, O(k non-zeros) a row and O(k d) memory;
    `fit` row by row in this process, a job batch by batch.

    Args:
        rate: the learning rate; None is .15 row by row, and the optimizer's usual one in a job.
        l1, l2: weight decays; a feature decays when a row, or in a job a batch, has it.
        optimizer: how a job's state takes gradients in: `adagrad`, `adam`, `sgd`, `ftrl`, or `auto`.
        classes: all labels of a job, where its first rows may not show them.
        epochs: passes of `fit` over the rows at most.
        tolerance, patience: stop after `patience` passes that lowered the loss by less than this share.
        shuffle: draw a new order of the rows for each pass of `fit`.
        fit_intercept: whether there is one.
        normalize_data: scale features by the first `sample_size` rows; undone in the model.
        class_weight: `balanced`, or a weight for each class; for `fit` only.
        validation_fraction: share of the rows that `fit` holds back to stop by.
        sample_size: how many of the first rows the scaling is measured on.
        random_state: seed of the orders and of the rows held back.

    >>> import numpy as np
    >>> X = np.repeat(np.eye(3), 20, axis=0)
    >>> mlr = MultinomialLogisticRegression(random_state=0).fit(X, np.repeat(["a", "b", "c"], 20))
    >>> mlr.predict(np.eye(3)).tolist()
    ['a', 'b', 'c']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {**TwoFacedClassifier._parameter_constraints}

    def __init__(
        self,
        *,
        rate: float | None = None,
        l1: float = 0.0,
        l2: float = 1e-4,
        optimizer: str = "auto",
        classes: Sequence[float] | None = None,
        epochs: int = 15,
        tolerance: float = 0.001,
        patience: int = 3,
        shuffle: bool = True,
        fit_intercept: bool = True,
        normalize_data: bool = True,
        class_weight: Any = None,
        validation_fraction: float = 0.0,
        sample_size: int = 10_000,
        random_state: Any = None,
    ) -> None:
        self.rate, self.l1, self.l2, self.optimizer, self.classes = rate, l1, l2, optimizer, classes
        self.epochs, self.tolerance, self.patience, self.shuffle = epochs, tolerance, patience, shuffle
        self.fit_intercept, self.normalize_data = fit_intercept, normalize_data
        self.class_weight, self.validation_fraction = class_weight, validation_fraction
        self.sample_size, self.random_state = sample_size, random_state

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """How likely each class is, (n, k)."""
        return self._answers(X)

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """The logarithms of `predict_proba`, (n, k)."""
        scores = self._scores(X)
        top = scores.max(axis=1, keepdims=True)
        return np.asarray(scores - top - np.log(np.exp(scores - top).sum(axis=1, keepdims=True)))

    def _settings(self, classes: int) -> dict[str, Any]:
        return {"loss": "softmax"}
