"""A graph of ONNX operators evaluated with numpy alone, for models that come without the code that made them.

The operators are those that `deep.tracing` writes; ONNX's documentation of opset 17 says what each does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.algorithms.graph import Graph, Node
from tradewind.errors import Misuse

Array = NDArray[Any]


def run(graph: Graph, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
    """The graph's outputs in their order; Misuse for an operator that is not known here."""
    values: dict[str, Array] = {name: np.asarray(each) for name, each in graph.constants.items()}
    values |= {port.name: np.asarray(inputs[port.name]).astype(port.dtype) for port in graph.inputs}
    for node in graph.nodes:
        if node.operator not in _OPERATORS:
            raise Misuse(
                f"{node.operator} is not evaluated here", source="graph", field="operator",
                fix="Write the model as ONNX and use a runtime for it.",
            )  # fmt: skip
        values[node.outputs[0]] = _OPERATORS[node.operator](node, *(values[name] for name in node.inputs))
    return tuple(values[port.name] for port in graph.outputs)


def _gemm(node: Node, a: Array, b: Array, c: Array | None = None) -> Array:
    b = b.T if node.attributes.get("transB") else b
    return a @ b if c is None else a @ b + c


def _softmax(node: Node, x: Array) -> Array:
    raised = np.exp(x - x.max(axis=node.attributes["axis"], keepdims=True))
    return np.asarray(raised / raised.sum(axis=node.attributes["axis"], keepdims=True))


def _log_softmax(node: Node, x: Array) -> Array:
    moved = x - x.max(axis=node.attributes["axis"], keepdims=True)
    return np.asarray(moved - np.log(np.exp(moved).sum(axis=node.attributes["axis"], keepdims=True)))


def _batch_normalization(
    node: Node, x: Array, scale: Array, bias: Array, mean: Array, spread: Array
) -> Array:
    shape = (1, -1) + (1,) * (x.ndim - 2)
    wide = np.sqrt(spread + node.attributes["epsilon"])
    return np.asarray(
        (x - mean.reshape(shape)) / wide.reshape(shape) * scale.reshape(shape) + bias.reshape(shape)
    )


def _layer_normalization(node: Node, x: Array, scale: Array, bias: Array) -> Array:
    axes = tuple(range(x.ndim + node.attributes["axis"], x.ndim))
    moved = x - x.mean(axis=axes, keepdims=True)
    spread = np.square(moved).mean(axis=axes, keepdims=True)
    return np.asarray(moved / np.sqrt(spread + node.attributes["epsilon"]) * scale + bias)


def _windows(node: Node, x: Array, size: tuple[int, ...], fill: float) -> Array:
    """Windows of an image (n, c, h, w): (n, c, rows, columns, height, width)."""
    top, left, bottom, right = node.attributes["pads"]
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    found: Array = np.lib.stride_tricks.sliding_window_view(padded, size, axis=(2, 3))
    down, across = node.attributes["strides"]
    return found[:, :, ::down, ::across]


def _conv(node: Node, x: Array, weight: Array, bias: Array | None = None) -> Array:
    found = _windows(node, x, weight.shape[2:], 0.0)
    out: Array = np.einsum("ncijhw,ochw->noij", found, weight, optimize=True)
    return out if bias is None else out + bias[None, :, None, None]


def _max_pool(node: Node, x: Array) -> Array:
    return np.asarray(_windows(node, x, tuple(node.attributes["kernel_shape"]), -np.inf).max(axis=(4, 5)))


def _erf(node: Node, x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[x.dtype])(x))


def _elu(node: Node, x: Array) -> Array:
    return np.where(x > 0, x, node.attributes["alpha"] * np.expm1(np.minimum(x, 0)))


_OPERATORS: dict[str, Callable[..., Array]] = {
    "Add": lambda node, a, b: a + b,
    "Sub": lambda node, a, b: a - b,
    "Mul": lambda node, a, b: a * b,
    "Div": lambda node, a, b: a / b,
    "Neg": lambda node, a: -a,
    "Exp": lambda node, a: np.exp(a),
    "Log": lambda node, a: np.log(a),
    "Sqrt": lambda node, a: np.sqrt(a),
    "Abs": lambda node, a: np.abs(a),
    "Erf": _erf,
    "Relu": lambda node, a: np.maximum(a, 0),
    "LeakyRelu": lambda node, a: np.where(a > 0, a, node.attributes["alpha"] * a),
    "Elu": _elu,
    "Sigmoid": lambda node, a: 0.5 * (1 + np.tanh(0.5 * a)),
    "Tanh": lambda node, a: np.tanh(a),
    "Softplus": lambda node, a: np.logaddexp(a, 0),
    "Softmax": _softmax,
    "LogSoftmax": _log_softmax,
    "MatMul": lambda node, a, b: a @ b,
    "Gemm": _gemm,
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "Conv": _conv,
    "MaxPool": _max_pool,
    "Concat": lambda node, *each: np.concatenate(each, axis=node.attributes["axis"]),
    "Flatten": lambda node, a: a.reshape(len(a), -1),
    "Reshape": lambda node, a, shape: a.reshape([int(each) for each in shape]),
    "Squeeze": lambda node, a, axes: np.squeeze(a, tuple(int(each) for each in axes)),
    "Unsqueeze": lambda node, a, axes: np.expand_dims(a, tuple(int(each) for each in axes)),
    "Transpose": lambda node, a: np.transpose(a, node.attributes["perm"]),
    "Identity": lambda node, a: a,
}
