"""ONNX models answer as onnxruntime does, and tell what they take and give."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tradewind.errors import MissingExtra, Misuse
from tradewind.serving.models.answers import first_answer
from tradewind.serving.models.onnx import OnnxModel
from tradewind.serving.tensors import Signature, TensorSpec

FLOAT, INT, TEXT = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING


def saved(tmp_path, nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(constants))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    return path


def port(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def test_a_dense_layer_is_a_product_and_a_sum(tmp_path):
    draw = np.random.default_rng(1)
    w, b = draw.normal(size=(3, 2)).astype("f4"), draw.normal(size=2).astype("f4")
    path = saved(
        tmp_path,
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        [port("x", FLOAT, ["rows", 3])],
        [port("y", FLOAT, ["rows", 2])],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")],
    )
    model = OnnxModel(path)
    assert model.signature == Signature(
        (TensorSpec("x", "FP32", (-1, 3)),), (TensorSpec("y", "FP32", (-1, 2)),)
    )
    assert model.platform == "onnxruntime_onnx" and model.memory == path.stat().st_size
    x = draw.normal(size=(5, 3)).astype("f4")
    assert np.allclose(model.predict({"x": x})["y"], x @ w + b, atol=1e-6)
    first_answer(model, "m")
    model.close()
    model.close()
    with pytest.raises(Misuse, match="closed"):
        model.predict({"x": x})


def test_it_is_batched_only_where_every_axis_0_is_open(tmp_path):
    relu = [helper.make_node("Relu", ["x"], ["y"])]
    for given, out, batched in (
        ([None, 3], [None, 3], True),
        (["a", 3], ["b", 3], True),
        ([1, 3], [1, 3], False),
        ([2], [2], False),
        (["n", 3], [4, 3], False),
    ):
        model = OnnxModel(saved(tmp_path, relu, [port("x", FLOAT, given)], [port("y", FLOAT, out)]))
        assert model.signature.batched is batched, (given, out)
    both = [helper.make_node("Add", ["x", "z"], ["y"])]
    mixed = [port("x", FLOAT, ["n", 3]), port("z", FLOAT, [3])]
    assert not OnnxModel(saved(tmp_path, both, mixed, [port("y", FLOAT, ["n", 3])])).signature.batched


def test_an_output_whose_shape_is_not_told_is_looked_at(tmp_path):
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["y"]),
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
    ]
    two = numpy_helper.from_array(np.array([0, 2, 2], np.int64), "shape")
    inputs = [port("x", FLOAT, ["n", 4])]
    unknown = port("y", FLOAT, None)
    model = OnnxModel(saved(tmp_path, nodes[:1], inputs, [unknown], [two]))
    assert model.signature.outputs == (TensorSpec("y", "FP32", (-1, 2, 2)),) and model.signature.batched
    model = OnnxModel(saved(tmp_path, nodes, inputs, [unknown, port("s", FLOAT, [])], [two]))
    assert [each.shape for each in model.signature.outputs] == [(-1, 2, 2), ()]
    assert not model.signature.batched  # a sum over the rows is of all of them
    first_answer(model, "m")


@pytest.mark.parametrize(
    ("labels", "order"),
    [({"classlabels_int64s": [7, 3, 5]}, [1, 2, 0]), ({"classlabels_strings": ["c", "a", "b"]}, [1, 2, 0])],
)
def test_a_zipmap_is_given_as_the_tensor_that_it_was_made_of(tmp_path, labels, order):
    kind = INT if "classlabels_int64s" in labels else TEXT
    row = helper.make_map_type_proto(kind, helper.make_tensor_type_proto(FLOAT, None))
    node = helper.make_node("ZipMap", ["x"], ["z"], domain="ai.onnx.ml", **labels)
    out = helper.make_value_info("z", helper.make_sequence_type_proto(row))
    model = OnnxModel(saved(tmp_path, [node], [port("x", FLOAT, ["n", 3])], [out]))
    assert model.signature.outputs == (TensorSpec("z", "FP32", (-1, 3)),) and model.signature.batched
    x = np.random.default_rng(0).random((4, 3)).astype("f4")
    assert np.array_equal(model.predict({"x": x})["z"], x[:, order])
    assert model.predict({"x": x[:0]})["z"].shape == (0, 3)


def test_other_sequences_are_refused_with_the_fix(tmp_path):
    node = helper.make_node("SplitToSequence", ["x"], ["z"], axis=0)
    out = helper.make_value_info(
        "z", helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    )
    with pytest.raises(Misuse, match=r"z: it is a seq\(tensor\(float\)\).*zipmap=False"):
        OnnxModel(saved(tmp_path, [node], [port("x", FLOAT, ["n", 3])], [out]))


def test_texts_come_and_go_as_bytes(tmp_path):
    node = helper.make_node("Identity", ["x"], ["y"])
    model = OnnxModel(saved(tmp_path, [node], [port("x", TEXT, ["n", 2])], [port("y", TEXT, ["n", 2])]))
    assert model.signature.inputs[0].datatype == "BYTES" == model.signature.outputs[0].datatype
    x = np.array([["é".encode(), b""], [b"a b", "雪".encode()]], object)
    assert model.predict({"x": x})["y"].tolist() == x.tolist()
    first_answer(model, "m")
    with pytest.raises(Misuse, match=r"x: the bytes are no UTF-8"):
        model.predict({"x": np.array([[b"\xff", b""]], object)})


def test_what_the_runtime_refuses_is_one_error(tmp_path):
    inputs, outputs = [port("x", FLOAT, ["n", "d"])], [port("y", FLOAT, ["n", "d"])]
    w = numpy_helper.from_array(np.zeros((3, 3), "f4"), "w")
    model = OnnxModel(saved(tmp_path, [helper.make_node("MatMul", ["x", "w"], ["y"])], inputs, outputs, [w]))
    with pytest.raises(Misuse, match=r"model\.onnx"):
        model.predict({"x": np.zeros((2, 4), "f4")})
    own = helper.make_node("Mine", ["x"], ["y"], domain="ai.onnx.ml")
    with pytest.raises(Misuse, match="onnxruntime does not open it"):
        OnnxModel(saved(tmp_path, [own], inputs, outputs))


def test_tensors_beside_the_model_are_read_and_counted(tmp_path):
    w = np.random.default_rng(0).normal(size=(600, 3)).astype("f4")
    path = saved(
        tmp_path,
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [port("x", FLOAT, ["n", 600])],
        [port("y", FLOAT, ["n", 3])],
        [numpy_helper.from_array(w, "w")],
    )
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="w.bin")
    model = OnnxModel(path)
    assert model.memory == path.stat().st_size + w.nbytes
    x = np.ones((1, 600), "f4")
    assert np.allclose(model.predict({"x": x})["y"], w.sum(axis=0), atol=1e-3)


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    path = saved(
        tmp_path, [helper.make_node("Relu", ["x"], ["y"])], [port("x", FLOAT, [1])], [port("y", FLOAT, [1])]
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"tradewind\[serving\]"):
        OnnxModel(path)
