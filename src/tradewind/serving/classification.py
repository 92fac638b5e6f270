"""Triton's classification extension: the highest values of an output, with their places, as texts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import Misuse


def classified(array: NDArray[Any], count: int) -> NDArray[Any]:
    """The `count` highest values of each row, as BYTES "value:index"; of equal values the first comes first.

    Rows are those of axis 0; an output of one dimension is one row. NaN comes last. The shape is
    (rows, min(count, values of a row)), or without the rows for one dimension. Raises Misuse for BYTES.

    >>> classified(np.array([[0.25, 0.75, 0.5]]), 2).tolist()
    [[b'0.750000:1', b'0.500000:2']]
    """
    if array.dtype.kind not in "iufb":
        raise Misuse("BYTES have no highest values to classify by")
    rows = array.reshape(1, -1) if array.ndim < 2 else array.reshape(array.shape[0], -1)
    if rows.dtype.kind == "f":
        order = np.argsort(-rows, axis=1, kind="stable")[:, :count]
    else:  # whole numbers cannot all be negated
        last = rows.shape[1] - 1
        order = last - np.argsort(rows[:, ::-1], axis=1, kind="stable")[:, ::-1][:, :count]
    found = np.empty(order.shape, object)
    for row, indices in enumerate(order.tolist()):
        for place, index in enumerate(indices):
            found[row, place] = b"%f:%d" % (float(rows[row, index]), index)
    return found[0] if array.ndim < 2 else found
