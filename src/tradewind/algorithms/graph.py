"""A model as a graph of operators, which a writer of ONNX files turns into one.

It is a value of names, numbers and arrays, so that models say how they are computed without the onnx
package. Operators and their attributes are those of ONNX (opset 17, and ai.onnx.ml 3 for trees).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

OPSET, ML_OPSET = 17, 3
"""The versions of the operators' domains `` and `ai.onnx.ml` that graphs are written in."""


class Node(Struct, frozen=True):
    """One operator."""

    operator: str
    """Such as `MatMul`."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = {}
    """Numbers, text, or lists of such."""
    domain: str = ""
    """`` or `ai.onnx.ml`."""


class Port(Struct, frozen=True):
    """An input or output of the whole graph."""

    name: str
    shape: tuple[int | str, ...]
    """A name stands for a length that is not fixed, such as `rows`."""
    dtype: str = "float32"


class Graph(Struct, frozen=True, eq=False):
    """Operators in an order in which each finds its inputs computed."""

    nodes: tuple[Node, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    constants: Mapping[str, NDArray[Any]] = {}
    """Arrays by the names that the nodes call them by; float64 ones are written as float32."""


def rows(features: int, name: str = "X") -> Port:
    """The usual input: dense rows (n, features)."""
    return Port(name, ("rows", features))


def constant(value: Any, dtype: Any = np.float32) -> NDArray[Any]:
    """An array for `Graph.constants`."""
    return np.ascontiguousarray(value, dtype)
