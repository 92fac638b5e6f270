"""Rows in fewer dimensions, with distances and products about as they were.

- `sign`: Achlioptas, J. Computer and System Sciences 2003, section 1.1, dense random signs: O(d t) a row.
- `fjlt`: Ailon and Chazelle, SIAM J. Computing 2009, with the coordinates sampled as Tropp, Advances in
  Adaptive Data Analysis 2011, section 1: signs, a Walsh-Hadamard transform, t of its coordinates: O(d log d).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import NDArray

from tradewind.errors import Misuse

PROJECTIONS = ("sign", "fjlt")


@njit(cache=True, nogil=True)
def _transform(values: Any) -> None:
    """The Walsh-Hadamard transform of each row, in place; their length is a power of two."""
    n = values.shape[1]
    for i in range(values.shape[0]):
        step = 1
        while step < n:
            for start in range(0, n, 2 * step):
                for j in range(start, start + step):
                    a, b = values[i, j], values[i, j + step]
                    values[i, j], values[i, j + step] = a + b, a - b
            step *= 2


class Projection(Struct, frozen=True, eq=False):
    """A linear map from d to t dimensions."""

    kind: str
    """`sign` or `fjlt`."""
    signs: NDArray[np.float32]
    """Of `sign` the matrix (d, t); of `fjlt` (d,)."""
    chosen: NDArray[np.int64]
    """Of `fjlt` the coordinates (t,) of the transform that are kept."""

    def __call__(self, rows: Any) -> NDArray[np.float32]:
        """The rows, dense or sparse (n, d), in t dimensions."""
        if self.kind == "sign":
            return np.asarray(rows @ self.signs / np.sqrt(self.signs.shape[1]), np.float32)
        whole = np.zeros((rows.shape[0], _power(len(self.signs))), np.float32)
        whole[:, : len(self.signs)] = (rows.toarray() if hasattr(rows, "toarray") else rows) * self.signs
        _transform(whole)
        return np.asarray(whole[:, self.chosen] / np.sqrt(len(self.chosen)), np.float32)

    def matrix(self) -> NDArray[np.float32]:
        """The whole map (d, t): rows times it is what a call gives."""
        return self(np.eye(len(self.signs), dtype=np.float32))


def projection_of(kind: str, features: int, target: int, seed: int) -> Projection:
    """A random projection; Misuse where it would not reduce."""
    if target >= features:
        raise Misuse(
            f"{features} columns are no more than {target}",
            field="dimension_reduction_target",
            fix="Give fewer than there are columns, or projection=None.",
        )
    chance = np.random.Generator(np.random.Philox(seed))
    shape = (features, target) if kind == "sign" else (features,)
    signs = (chance.integers(0, 2, shape, np.int8) * 2 - 1).astype(np.float32)
    chosen = np.empty(0, np.int64)
    if kind == "fjlt":
        chosen = np.sort(chance.choice(_power(features), target, replace=False)).astype(np.int64)
    return Projection(kind, signs, chosen)


def _power(features: int) -> int:
    """The power of two that is not below."""
    return 1 << (features - 1).bit_length()
