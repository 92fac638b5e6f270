"""A linear map onto principal directions, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.graph import Graph, Node, Port, constant, rows
from tradewind.errors import Misuse, suggestion

KIND = "PCAModel"
METRICS = ("variance_captured", "reconstruction_error")
_FIELDS = ("components", "mean", "variances", "scale")


class Told(Struct, frozen=True, kw_only=True):
    """What is known of a decomposition beside its arrays; shares are of the total variance."""

    mode: str
    """`regular` or `randomized`."""
    rows: float
    """How many rows were summed up, by weight."""
    passes: int = 1
    total_variance: float
    """The sum of the variances of all columns."""
    variance_captured: float
    """The share that the components hold; in randomized mode an estimate."""
    variance_captured_error: float = 0.0
    """Its standard error; zero where it is exact."""
    variance_captured_at_least: float
    """A share that they hold at the least."""
    advice: str = ""
    """What would capture more, where the components probably hold much less than the best ones."""


class PCAModel:
    """`(X - mean) @ components.T * scale`.

    `components` are (k, d) with orthonormal rows, `variances` (k,) the variances along them, `scale` (k,)
    ones or, where the answer is whitened, `1 / sqrt(variances)` (zero along a direction without variance).
    """

    metric = METRICS[0]

    def __init__(
        self,
        components: NDArray[np.float64],
        mean: NDArray[np.float64],
        variances: NDArray[np.float64],
        scale: NDArray[np.float64],
        told: Told,
    ) -> None:
        self.components, self.mean, self.variances, self.scale = components, mean, variances, scale
        self.told = told

    def evaluate(self, batch: Batch | ArrayLike) -> NDArray[Any]:
        """The coordinates of each row along the components, (n, k); O(n d k), O(nnz k) for sparse rows."""
        found = self._batch(batch)
        matrix: Any = found.matrix()
        if found.dense is not None:
            return np.asarray(((matrix - self.mean) @ self.components.T) * self.scale)
        # sparse rows stay sparse
        return np.asarray((matrix @ self.components.T - self.components @ self.mean) * self.scale)

    def inverse(self, coordinates: ArrayLike) -> NDArray[np.float64]:
        """The rows (n, d) in the components' span that have those coordinates (n, k)."""
        given = np.asarray(coordinates, np.float64)
        if given.ndim != 2 or given.shape[1] != len(self.components):
            raise Misuse(
                f"coordinates of shape {given.shape}, there are {len(self.components)} components",
                source="inverse",
                field="coordinates",
                fix="Give what evaluate gave.",
            )
        back = np.where(self.scale > 0, 1 / np.where(self.scale > 0, self.scale, 1.0), 0.0)
        return np.asarray((given * back) @ self.components + self.mean)

    def score(self, batch: Batch | ArrayLike, metric: str = "") -> float:
        """A number for all rows.

        `variance_captured`: the share of these rows' squared distances from the mean that the components
        hold; `reconstruction_error`: the mean squared distance of a row from what `inverse` gives back.
        """
        metric = metric or self.metric
        if metric not in METRICS:
            raise Misuse(
                f"{metric!r} is no metric of principal components",
                field="metric",
                fix=suggestion(metric, METRICS),
            )
        found = self._batch(batch)
        back = np.where(self.scale > 0, 1 / np.where(self.scale > 0, self.scale, 1.0), 0.0)
        held = float(np.square(self.evaluate(found) * back).sum())
        matrix: Any = found.matrix()
        if found.dense is not None:
            whole = float(np.square(matrix - self.mean).sum())
        else:
            cross = float((matrix @ self.mean).sum())
            whole = float(np.square(matrix.data.astype(np.float64)).sum()) - 2 * cross
            whole += len(found) * float(self.mean @ self.mean)
        if metric == "reconstruction_error":
            return max(whole - held, 0.0) / max(len(found), 1)
        return held / whole if whole > 0 else 1.0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`components` (k, d), `mean` (d,), `variances` and `scale` (k,)."""
        return {name: getattr(self, name) for name in _FIELDS}

    def header(self) -> dict[str, Any]:
        """How to use the arrays, and how much of the variance they hold."""
        k, d = self.components.shape
        told = {name: getattr(self.told, name) for name in self.told.__struct_fields__}
        return {
            "kind": KIND, "version": 1, "features": d, "num_components": k,
            "formula": "(X - mean) @ components.T * scale", **told,
        }  # fmt: skip

    def graph(self) -> Graph:
        """A subtraction and a product, on dense rows."""
        k, d = self.components.shape
        return Graph(
            nodes=(
                Node("Sub", ("X", "mean"), ("centred",)),
                Node("MatMul", ("centred", "directions"), ("Y",)),
            ),
            inputs=(rows(d),),
            outputs=(Port("Y", ("rows", k)),),
            constants={
                "mean": constant(self.mean),
                "directions": constant(self.components.T * self.scale),
            },
        )

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> PCAModel:
        """The model that gave `arrays` and `header`."""
        told = Told(**{name: header[name] for name in Told.__struct_fields__ if name in header})
        components, mean, variances, scale = (np.asarray(arrays[name], np.float64) for name in _FIELDS)
        return cls(components, mean, variances, scale, told)

    def _batch(self, given: Batch | ArrayLike) -> Batch:
        batch = given if isinstance(given, Batch) else batch_of(given)
        if batch.features != len(self.mean):
            raise Misuse(
                f"the rows have {batch.features} features, the model was made for {len(self.mean)}",
                source="evaluate",
                field="features",
                fix="Give the same columns in the same order.",
            )
        return batch
