"""Tensors as they travel: the Open Inference Protocol's names, datatypes and shapes, with arrays as values.

Open Inference Protocol v2, "Tensor Data Types". A tensor of BYTES is an array of `bytes` (dtype object).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]
"""Values by the name of the input or output."""

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}
"""The array's dtype for each datatype of the protocol."""
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class TensorSpec(Struct, frozen=True):
    """What an input takes, or an output gives."""

    name: str
    datatype: str
    """One of `DTYPES`."""
    shape: tuple[int, ...]
    """-1 for a dimension of any length. Where rows are batched together, axis 0 counts them and is -1."""


class Signature(Struct, frozen=True):
    """What a model takes and gives."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batched: bool = True
    """Whether requests may be concatenated along axis 0 and their answers cut apart again."""


def datatype_of(array: NDArray[Any]) -> str:
    """The protocol's name for an array's dtype; texts and objects are BYTES. KeyError if it has none."""
    return "BYTES" if array.dtype.kind in "SUO" else _NAMES[array.dtype.newbyteorder("=")]
