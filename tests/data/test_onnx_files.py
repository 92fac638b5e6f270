"""Graphs become ONNX models that onnxruntime runs; what is none is refused with one clear error."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import onnxruntime
import pytest

from tradewind.algorithms.graph import Graph, Node, Port, rows
from tradewind.algorithms.linear.model import LinearModel
from tradewind.data.onnx_files import onnx_bytes, write_onnx
from tradewind.errors import MissingExtra, Misuse

X = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)


def run(content: bytes, x: np.ndarray = X) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    return found


def product(**changed: object) -> Graph:
    plain = {
        "nodes": (Node("MatMul", ("X", "w"), ("Y",)),),
        "inputs": (rows(3),),
        "outputs": (Port("Y", ("rows", 2)),),
        "constants": {"w": np.arange(6.0).reshape(3, 2)},
    }
    return Graph(**{**plain, **changed})


def test_a_graph_is_computed_and_knows_what_it_is() -> None:
    content = onnx_bytes(product(), name="product", about={"digest": "abc"})
    assert np.allclose(run(content), X @ np.arange(6.0, dtype=np.float32).reshape(3, 2), rtol=1e-6)
    model = onnx.load_from_string(content)
    assert {each.key: each.value for each in model.metadata_props} == {"digest": "abc"}
    assert (model.ir_version, model.graph.name) == (8, "product")
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 17)]
    assert model.graph.initializer[0].data_type == onnx.TensorProto.FLOAT


@pytest.mark.parametrize(
    ("loss", "classes", "width"),
    [("squared", None, 0), ("logistic", 2, 0), ("hinge", 2, 0), ("softmax", 4, 4)],
)
def test_linear_models_answer_the_same(loss: str, classes: int | None, width: int) -> None:
    chance = np.random.default_rng(1)
    model = LinearModel(
        chance.normal(size=(3, width) if width else 3),
        chance.normal(size=width) if width else np.float64(0.3),
        loss=loss,
        classes=None if classes is None else np.arange(float(classes)),
    )
    found = run(onnx_bytes(model.graph()))
    assert found.shape == model.evaluate(X).shape
    assert np.allclose(found, model.evaluate(X), rtol=1e-5, atol=1e-6)


def test_equal_graphs_give_equal_bytes() -> None:
    about = {"b": "2", "a": "1"}
    assert onnx_bytes(product(), about=about) == onnx_bytes(product(), about=about)


def test_attributes_of_other_domains_and_whole_numbers(tmp_path) -> None:
    tree = Node(
        "TreeEnsembleRegressor",
        ("X",),
        ("Y",),
        {
            "n_targets": 1,
            "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [1, 0, 0],
            "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_values": [0.0, 0.0, 0.0],
            "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0],
            "target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0],
            "target_weights": [-1.0, 1.0],
        },
        domain="ai.onnx.ml",
    )  # fmt: skip
    path = tmp_path / "deep" / "tree.onnx"
    write_onnx(path, Graph((tree,), (rows(3),), (Port("Y", ("rows", 1)),)))
    assert run(path.read_bytes())[:, 0].tolist() == np.where(X[:, 1] <= 0, -1.0, 1.0).tolist()
    assert [each.name for each in path.parent.iterdir()] == ["tree.onnx"]
    picked = Graph(
        (Node("Gather", ("X", "at"), ("Y",), {"axis": 1}),), (rows(3),), (Port("Y", ("rows", 2)),),
        {"at": np.array([2, 0])},
    )  # fmt: skip
    assert np.array_equal(run(onnx_bytes(picked)), X[:, [2, 0]])


@pytest.mark.parametrize(
    "broken",
    [
        product(nodes=(Node("MatMul", ("X", "u"), ("Y",)),)),
        product(nodes=(Node("MatMull", ("X", "w"), ("Y",)),)),
        product(constants={"w": np.zeros((4, 2))}),
        product(outputs=(Port("Y", ("rows", 5)),)),
        product(constants={"w": np.arange(6).reshape(3, 2)}),
        product(nodes=(Node("MatMul", ("X", "w"), ("Y",), {"axis": object()}),)),
    ],
    ids=["unknown name", "unknown operator", "wrong width", "wrong shape", "wrong type", "no attribute"],
)
def test_what_is_no_model_is_refused(broken: Graph, tmp_path) -> None:
    with pytest.raises(Misuse, match="no valid ONNX model") as refused:
        write_onnx(tmp_path / "m.onnx", broken)
    assert refused.value.field == "graph" and not list(tmp_path.iterdir())


def test_numbers_too_large_for_float32_are_refused_and_infinities_kept() -> None:
    with pytest.raises(Misuse, match="too large") as refused:
        onnx_bytes(product(constants={"w": np.full((3, 2), 1e300)}), name="m")
    assert (refused.value.source, refused.value.field) == ("m", "w")
    assert np.isinf(run(onnx_bytes(product(constants={"w": np.full((3, 2), np.inf)})), np.ones_like(X))).all()


def test_without_the_package_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"tradewind\[onnx\]"):
        onnx_bytes(product())
