"""The map that `Imputer` finds: numbers in place of missing values; it needs no scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.graph import Graph, Node, Port, constant, rows
from tradewind.algorithms.scaler_model import check_width
from tradewind.errors import Misuse

KIND = "FillModel"


class FillModel:
    """`fill[column]` where a value is NaN, else the value."""

    metric = "missing"

    def __init__(self, fill: NDArray[np.float64]) -> None:
        self.fill = fill

    def evaluate(self, batch: Batch | ArrayLike) -> Any:
        """The rows without gaps: (n, d) float64, or a CSR matrix of sparse rows."""
        given = batch if isinstance(batch, Batch) else batch_of(batch)
        check_width(given, len(self.fill), "evaluate")
        if given.dense is not None:
            dense = np.asarray(given.dense, np.float64)
            return np.where(np.isnan(dense), self.fill, dense)
        assert given.values is not None and given.indices is not None
        values = given.values.astype(np.float64)
        whole: Any = np.where(np.isnan(values), self.fill[given.indices], values), given.indices, given.indptr
        return csr_matrix(whole, shape=(len(given), given.features))

    def score(self, batch: Batch, metric: str = "") -> float:
        """`missing`: the share of the values of a batch that are, before they are filled."""
        if metric not in ("", self.metric):
            raise Misuse(f"{metric!r} is no metric here", field="metric", fix=f"Give {self.metric!r}.")
        values = batch.dense if batch.dense is not None else batch.values
        assert values is not None
        return float(np.isnan(values).sum() / max(len(batch) * batch.features, 1))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`fill`, (d,)."""
        return {"fill": self.fill}

    def header(self) -> dict[str, Any]:
        """How to use the array."""
        return {
            "kind": KIND, "version": 1, "features": len(self.fill),
            "formula": "where X is NaN: fill of its column, else X",
        }  # fmt: skip

    def graph(self) -> Graph:
        """Two operators on dense rows."""
        return Graph(
            nodes=(Node("IsNaN", ("X",), ("gaps",)), Node("Where", ("gaps", "fill", "X"), ("Y",))),
            inputs=(rows(len(self.fill)),),
            outputs=(Port("Y", ("rows", len(self.fill))),),
            constants={"fill": constant(self.fill)},
        )

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> FillModel:
        """The model that gave `arrays` and `header`."""
        return cls(np.asarray(arrays["fill"], np.float64))
