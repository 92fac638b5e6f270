"""The linear support vector machine, by stochastic steps: both faces.

Pegasos (Shalev-Shwartz, Singer and Srebro, ICML 2007), section 2, with adaptive steps in place of its
schedule; several classes as in On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines
(Crammer and Singer, JMLR 2001), section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from tradewind.algorithms.linear_in_jobs import TwoFacedClassifier


class LinearSVM(TwoFacedClassifier):
    """A linear classifier that holds classes apart by a margin.

    Two classes by the hinge, weights (d,). More by the loss of Crammer and Singer, weights (d, k): what the
    best wrong class lacks of the margin below the right one. It is one loss of one model, so that a job has
    one curve to show and one rate to set, and a row moves two classes, where one against the rest is k
    machines whose scores are never compared while they learn.

    Learns by adaptive steps, O(non-zeros) a row for two classes and O(k non-zeros) for more; `fit` row by row
    in this process, a job batch by batch. A score is no probability: there is `decision_function`, and
    `evaluate` of the model only orders rows.

    Args:
        loss: `hinge`, or `squared_hinge`, which minds a little lack less and a great one more.
        margin: how far apart the classes are held.
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
    >>> X = np.array([[0.0], [1.0], [4.0], [5.0], [8.0], [9.0]])
    >>> svm = LinearSVM(random_state=0).fit(X[:4], ["low", "low", "high", "high"])
    >>> svm.predict([[0.5], [4.5]]).tolist()
    ['low', 'high']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **TwoFacedClassifier._parameter_constraints,
        "loss": [StrOptions({"hinge", "squared_hinge"})],
        "margin": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        loss: str = "hinge",
        *,
        margin: float = 1.0,
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
        self.loss, self.margin, self.rate, self.l1, self.l2 = loss, margin, rate, l1, l2
        self.optimizer, self.classes = optimizer, classes
        self.epochs, self.tolerance, self.patience, self.shuffle = epochs, tolerance, patience, shuffle
        self.fit_intercept, self.normalize_data = fit_intercept, normalize_data
        self.class_weight, self.validation_fraction = class_weight, validation_fraction
        self.sample_size, self.random_state = sample_size, random_state

    def _settings(self, classes: int) -> dict[str, Any]:
        several = {"hinge": "crammer_singer", "squared_hinge": "squared_crammer_singer"}
        return {"loss": self.loss if classes == 2 else several[self.loss], "margin": self.margin}
