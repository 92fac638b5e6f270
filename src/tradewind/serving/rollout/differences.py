"""How a shadow's answer differs from the one that the caller got."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.serving.tensors import Tensors

RELATIVE, ABSOLUTE = 1e-4, 1e-6
"""Floats closer than `ABSOLUTE + RELATIVE * |production's|` are the same answer."""


class Difference(Struct, frozen=True):
    """Of one answer from another."""

    elements: int = 0
    """Values compared."""
    differing: int = 0
    """Those that are not the same."""
    largest: float = 0.0
    """The largest difference between two finite numbers."""
    shapes: tuple[str, ...] = ()
    """Outputs that cannot be compared: missing, or of another shape or kind."""

    @property
    def same(self) -> bool:
        """Whether the two say the same."""
        return not self.differing and not self.shapes


def difference(production: Tensors, shadow: Tensors) -> Difference:
    """Compare two answers output by output, element by element; two NaN are the same."""
    elements = differing = 0
    largest, shapes = 0.0, []
    for name in sorted({*production, *shadow}):
        one, other = production.get(name), shadow.get(name)
        if one is None or other is None or one.shape != other.shape or _kind(one) != _kind(other):
            shapes.append(name)
            continue
        elements += one.size
        if _kind(one) == "number":
            a, b = one.astype(np.float64), other.astype(np.float64)
            with np.errstate(invalid="ignore"):
                apart = np.abs(a - b)
                near = np.isfinite(a) & (apart <= ABSOLUTE + RELATIVE * np.abs(a))
            same = (a == b) | near | (np.isnan(a) & np.isnan(b))
            finite = apart[np.isfinite(apart)]
            largest = max(largest, float(finite.max(initial=0.0)))
        else:
            same = one == other
        differing += int(one.size - np.count_nonzero(same))
    return Difference(elements, differing, largest, tuple(shapes))


def _kind(array: NDArray[np.generic]) -> str:
    return "number" if array.dtype.kind in "fiub" else "text"
