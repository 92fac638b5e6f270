"""Operators by numpy are what onnxruntime makes of them."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from tradewind.algorithms import graph_in_numpy
from tradewind.algorithms.graph import Graph, Node, Port, constant, rows
from tradewind.algorithms.graph_in_numpy import run
from tradewind.data.onnx_files import onnx_bytes
from tradewind.errors import Misuse

CHANCE = np.random.default_rng(3)
X = CHANCE.normal(size=(5, 6)).astype(np.float32)
IMAGES = (-1, 2, 7, 6)


def drawn(*shape: int):
    return constant(CHANCE.normal(size=shape))


ONE = [("Neg", {}), ("Exp", {}), ("Abs", {}), ("Erf", {}), ("Relu", {}), ("LeakyRelu", {"alpha": 0.3}),
       ("Elu", {"alpha": 0.7}), ("Sigmoid", {}), ("Tanh", {}), ("Softplus", {}), ("Softmax", {"axis": 1}),
       ("Softmax", {"axis": -1}), ("LogSoftmax", {"axis": 1}), ("Flatten", {"axis": 1}), ("Identity", {}),
       ("Transpose", {"perm": [0, 1]})]  # fmt: skip
"""Operators of one value, with their attributes."""
TWO = [("Add", (6,)), ("Sub", (6,)), ("Mul", (1, 6)), ("Div", (6,)), ("MatMul", (6, 3))]
"""Operators of a value and a constant of that shape."""


def both(graph: Graph, given=X):
    """The answers of numpy and of onnxruntime, which are alike."""
    session = onnxruntime.InferenceSession(onnx_bytes(graph), providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {"X": given})
    (ours,) = run(graph, {"X": given})
    assert ours.shape == theirs.shape
    assert ours == pytest.approx(theirs, abs=1e-5)
    return ours


def graph_of(*nodes: Node, wide: tuple[int | str, ...] = ("rows", 6), features: int = 6, **constants):
    last = Node("Identity", nodes[-1].outputs, ("Y",))
    return Graph((*nodes, last), (rows(features),), (Port("Y", wide),), constants)


@pytest.mark.parametrize(("operator", "attributes"), ONE)
def test_of_one_value(operator, attributes):
    both(graph_of(Node(operator, ("X",), ("a",), attributes)))


@pytest.mark.parametrize("operator", ["Log", "Sqrt"])
def test_of_values_above_zero(operator):
    both(graph_of(Node("Abs", ("X",), ("a",)), Node(operator, ("a",), ("b",))))


@pytest.mark.parametrize(("operator", "shape"), TWO)
def test_of_two_values(operator, shape):
    wide = ("rows", shape[-1])
    both(graph_of(Node(operator, ("X", "c"), ("a",)), wide=wide, c=drawn(*shape)))


@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("biased", [False, True])
def test_a_linear_layer(turned, biased):
    weights = drawn(3, 6) if turned else drawn(6, 3)
    inputs = ("X", "w", "b") if biased else ("X", "w")
    constants = {"w": weights, "b": drawn(3)} if biased else {"w": weights}
    both(graph_of(Node("Gemm", inputs, ("a",), {"transB": turned}), wide=("rows", 3), **constants))


def test_normalisations():
    found = {"s": drawn(6), "b": drawn(6), "m": drawn(6), "v": np.abs(drawn(6))}
    both(graph_of(Node("BatchNormalization", ("X", "s", "b", "m", "v"), ("a",), {"epsilon": 1e-3}), **found))
    layer = graph_of(
        Node("LayerNormalization", ("X", "s", "b"), ("a",), {"axis": -1, "epsilon": 1e-3}),
        s=found["s"], b=found["b"],
    )  # fmt: skip
    both(layer)


def test_shapes():
    nodes = [
        Node("Concat", ("X", "X"), ("a",), {"axis": 1}), Node("Unsqueeze", ("a", "one"), ("b",)),
        Node("Reshape", ("b", "shape"), ("c",)), Node("Squeeze", ("c", "one"), ("d",)),
    ]  # fmt: skip
    constants = {"one": constant([1], np.int64), "shape": constant([-1, 1, 12], np.int64)}
    both(graph_of(*nodes, wide=("rows", 12), **constants))


@pytest.mark.parametrize("strides", [[1, 1], [2, 3]])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 1, 1, 1]])
@pytest.mark.parametrize("biased", [False, True])
def test_pictures(strides, pads, biased):
    given = CHANCE.normal(size=(4, 84)).astype(np.float32)
    how = {"strides": strides, "pads": pads, "kernel_shape": [3, 2]}
    kernel = {"k": drawn(3, 2, 3, 2), "b": drawn(3)} if biased else {"k": drawn(3, 2, 3, 2)}
    seen = Node("Reshape", ("X", "image"), ("i",))
    image = constant(IMAGES, np.int64)
    for node in (Node("Conv", ("i", *kernel), ("a",), how), Node("MaxPool", ("i",), ("a",), how)):
        used = kernel if node.operator == "Conv" else {}
        graph = graph_of(
            seen, node, Node("Flatten", ("a",), ("f",), {"axis": 1}), wide=("rows", "all"), features=84,
            image=image, **used,
        )  # fmt: skip
        assert both(graph, given).shape[0] == 4


def test_pictures_that_are_normalised():
    given = CHANCE.normal(size=(4, 84)).astype(np.float32)
    names = ("s", "b", "m", "v")
    values = {name: np.abs(drawn(2)) for name in names}
    graph = graph_of(
        Node("Reshape", ("X", "image"), ("i",)),
        Node("BatchNormalization", ("i", *names), ("a",), {"epsilon": 1e-5}),
        Node("Flatten", ("a",), ("f",), {"axis": 1}), wide=("rows", 84), features=84,
        image=constant(IMAGES, np.int64), **values,
    )  # fmt: skip
    both(graph, given)


def test_every_operator_is_tried_here():
    tried = {name for name, _ in (*ONE, *TWO)} | {"Log", "Sqrt", "Gemm", "BatchNormalization", "Reshape"}
    tried |= {"LayerNormalization", "Concat", "Unsqueeze", "Squeeze", "Conv", "MaxPool"}
    assert tried == set(graph_in_numpy._OPERATORS)


def test_an_operator_that_is_not_known_is_told():
    with pytest.raises(Misuse, match="LSTM is not evaluated here"):
        run(graph_of(Node("LSTM", ("X",), ("a",))), {"X": X})
