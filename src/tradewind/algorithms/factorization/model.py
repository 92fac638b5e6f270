"""A finished factorization machine: bias, weights and factors for raw features.

Factorization Machines (Rendle, ICDM 2010), equation 1; computed by the paper's equation 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.factorization.factors import scores_of
from tradewind.algorithms.graph import Graph, Node, constant
from tradewind.algorithms.linear.model import LinearModel
from tradewind.errors import Misuse

KIND = "FactorizationModel"
"""What its header calls it."""


class FactorizationModel(LinearModel):
    """A linear model with factors (d, k): a pair of features adds the product of its factors to the score.

    `evaluate` gives values, or the probability of the second of two classes; metrics and classes are those of
    `LinearModel`. O(non-zeros times k) time.
    """

    kind: ClassVar[str] = KIND

    def __init__(
        self, weights: NDArray[np.float64], bias: Any, *, factors: NDArray[Any], loss: str, **rest: Any
    ) -> None:
        """`factors` (d, k) are kept as float32; the rest is as `LinearModel` takes it."""
        super().__init__(weights, np.asarray(bias, np.float64), loss=loss, **rest)
        self.factors = np.ascontiguousarray(factors, np.float32)

    def scores(self, batch: Batch) -> NDArray[np.float64]:
        """Scores (n,); Misuse for another width."""
        if batch.features != self.features:
            raise Misuse(
                f"the rows have {batch.features} features, the model was trained on {self.features}",
                field="features",
                fix="Give the columns that it was trained on, in their order.",
            )
        if batch.dense is not None:
            x = np.asarray(batch.dense, np.float64)
            factors = self.factors.astype(np.float64)
            pairs = ((x @ factors) ** 2).sum(axis=1) - (x * x) @ (factors * factors).sum(axis=1)
            return np.asarray(x @ self.weights + self.bias + 0.5 * pairs)
        assert batch.indptr is not None and batch.indices is not None and batch.values is not None
        return scores_of(
            batch.indptr, batch.indices, batch.values, self.weights, self.factors, float(self.bias)
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`weights` (d,), `factors` (d, k), `bias` (1,) and, for numeric classes, `classes`."""
        return {**super().arrays(), "factors": self.factors}

    def header(self) -> dict[str, Any]:
        """As a linear model's."""
        return {
            **super().header(),
            "factors": self.factors.shape[1],
            "formula": "scores = bias + X @ weights + ((X @ factors)**2 - X**2 @ factors**2).sum(1) / 2; "
            "of a classification the second class has probability 1 / (1 + exp(-scores))",
        }

    def graph(self) -> Graph:
        """The score by the formula in its header, on dense rows, and what `evaluate` makes of it."""
        squares = (self.factors.astype(np.float64) ** 2).sum(axis=1)
        nodes = [
            Node("MatMul", ("X", "weights"), ("product",)),
            Node("Add", ("product", "bias"), ("linear",)),
            Node("MatMul", ("X", "factors"), ("sums",)),
            Node("ReduceSumSquare", ("sums",), ("together",), {"axes": [1], "keepdims": 0}),
            Node("Mul", ("X", "X"), ("squared",)),
            Node("MatMul", ("squared", "squares"), ("alone",)),
            Node("Sub", ("together", "alone"), ("twice",)),
            Node("Mul", ("twice", "one_half"), ("pairs",)),
            Node("Add", ("linear", "pairs"), ("scores",)),
        ]
        return self._answer_of(
            nodes,
            {
                "weights": constant(self.weights),
                "bias": constant(self.bias),
                "factors": constant(self.factors),
                "squares": constant(squares),
                "one_half": constant(0.5),
            },
        )

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> Self:
        """The model that gave `arrays` and `header`; Misuse where they do not fit together."""
        given = cls._arguments(arrays, header)
        factors = arrays.get("factors")
        if factors is None or factors.shape != (header["features"], header["factors"]):
            raise Misuse(
                "the arrays are not those that the header tells of",
                source="model",
                field="factors",
                fix="Restore both files from the same save.",
            )
        return cls(factors=factors, **given)
