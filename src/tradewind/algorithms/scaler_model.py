"""The map of columns to one scale that `ColumnScaler` finds; it needs no scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.graph import Graph, Node, Port, constant, rows
from tradewind.errors import Misuse

KIND = "ScalerModel"


class ScalerModel:
    """`(X - shift) * scale + offset`, column by column."""

    metric = "mean_square"

    def __init__(
        self, shift: NDArray[np.float64], scale: NDArray[np.float64], offset: NDArray[np.float64], mode: str
    ) -> None:
        self.shift, self.scale, self.offset, self.mode = shift, scale, offset, mode

    def evaluate(self, batch: Batch | ArrayLike) -> Any:
        """The rows on the new scale: (n, d), or a CSR matrix of sparse rows."""
        return self._mapped(batch, lambda x, at: (x - self.shift[at]) * self.scale[at] + self.offset[at])

    def inverse(self, batch: Batch | ArrayLike) -> Any:
        """Rows of the new scale on the old one."""
        return self._mapped(batch, lambda x, at: (x - self.offset[at]) / self.scale[at] + self.shift[at])

    def score(self, batch: Batch, metric: str = "") -> float:
        """`mean_square`: of all scaled values that are there."""
        if metric not in ("", self.metric):
            raise Misuse(f"{metric!r} is no metric of a scaler", field="metric", fix=f"Give {self.metric!r}.")
        found = self.evaluate(batch)
        return float(np.nanmean(np.square(found.data if hasattr(found, "tocsr") else found)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`shift`, `scale` and `offset`, each (d,)."""
        return {"shift": self.shift, "scale": self.scale, "offset": self.offset}

    def header(self) -> dict[str, Any]:
        """How to use the arrays."""
        return {
            "kind": KIND, "version": 1, "mode": self.mode, "features": len(self.scale),
            "formula": "(X - shift) * scale + offset; of sparse rows, the stored values only",
        }  # fmt: skip

    def graph(self) -> Graph:
        """Three operators on dense rows."""
        return Graph(
            nodes=(
                Node("Sub", ("X", "shift"), ("centred",)),
                Node("Mul", ("centred", "scale"), ("scaled",)),
                Node("Add", ("scaled", "offset"), ("Y",)),
            ),
            inputs=(rows(len(self.scale)),),
            outputs=(Port("Y", ("rows", len(self.scale))),),
            constants={name: constant(value) for name, value in self.arrays().items()},
        )

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> ScalerModel:
        """The model that gave `arrays` and `header`."""
        return cls(arrays["shift"], arrays["scale"], arrays["offset"], str(header["mode"]))

    def _mapped(self, given: Batch | ArrayLike, each: Any) -> Any:
        batch = given if isinstance(given, Batch) else batch_of(given)
        check_width(batch, len(self.scale), "evaluate")
        if batch.dense is not None:
            return each(np.asarray(batch.dense, np.float64), slice(None))
        assert batch.values is not None and batch.indices is not None
        kept: Any = (each(batch.values.astype(np.float64), batch.indices), batch.indices, batch.indptr)
        return csr_matrix(kept, shape=(len(batch), batch.features))


def check_width(batch: Batch, features: int, source: str) -> None:
    """Raise Misuse unless a batch has that many features."""
    if batch.features != features:
        raise Misuse(
            f"the rows have {batch.features} features, the state was made for {features}",
            source=source,
            field="features",
            fix="Give the same columns in the same order.",
        )
