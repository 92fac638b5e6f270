"""An ONNX file is known by its layout, and names no file outside of its folder."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tradewind.errors import Misuse
from tradewind.serving.models.onnx_layout import external_files, is_onnx


def proto(nodes=None, tensors=(), functions=(), opsets=()):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])
    graph = helper.make_graph(nodes or [helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y], list(tensors))
    opset_imports = [helper.make_opsetid("", 17), *opsets]
    return helper.make_model(graph, opset_imports=opset_imports, ir_version=8, functions=list(functions))


def outside(name: str, location: str) -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros(2, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


def hidden(where: str, tensor: TensorProto):
    """A model that has the tensor in one of the places that a tensor may be in."""
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    inner = helper.make_graph([constant], "inner", [], [])
    if where == "initializer":
        return proto(tensors=[tensor])
    if where == "node":
        return proto([constant, helper.make_node("Relu", ["x"], ["y"])])
    if where == "subgraph":
        branch = helper.make_node("If", ["b"], ["z"], then_branch=inner, else_branch=inner)
        return proto([branch, helper.make_node("Relu", ["x"], ["y"])])
    if where == "function":
        opset = helper.make_opsetid("", 17)
        made = helper.make_function("own", "F", [], ["c"], [constant], [opset])
        return proto(functions=[made], opsets=[helper.make_opsetid("own", 1)])
    if where == "sparse":
        model = proto()
        model.graph.sparse_initializer.add().values.CopyFrom(tensor)
        return model
    model = proto()
    model.training_info.add().algorithm.CopyFrom(inner)
    return model


PLACES = ("initializer", "node", "subgraph", "function", "sparse", "training")


@pytest.mark.parametrize("where", PLACES)
def test_files_that_tensors_are_in_are_found_wherever_they_are_named(tmp_path, where):
    (tmp_path / "w.bin").write_bytes(bytes(8))
    path = tmp_path / "m.onnx"
    path.write_bytes(hidden(where, outside("w", "w.bin")).SerializeToString())
    assert is_onnx(path) and external_files(path) == [tmp_path.resolve() / "w.bin"]


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret", "a/../../secret", "link", ".", "", "\0"])
@pytest.mark.parametrize("where", ["initializer", "subgraph"])
def test_files_outside_of_the_folder_are_refused(tmp_path, where, location):
    (tmp_path / "secret").write_bytes(bytes(8))
    inside = tmp_path / "inside"
    (inside / "a").mkdir(parents=True)
    os.symlink(tmp_path / "secret", inside / "link")
    path = inside / "m.onnx"
    path.write_bytes(hidden(where, outside("w", location)).SerializeToString())
    with pytest.raises(Misuse, match="outside of its folder") as problem:
        external_files(path)
    assert problem.value.field == "external_data"


def test_a_missing_file_is_told(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(proto(tensors=[outside("w", "gone.bin")]).SerializeToString())
    with pytest.raises(Misuse, match=r"'gone.bin', which holds some of its tensors, is missing"):
        external_files(path)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=60), cut=st.integers(0, 400))
def test_no_bytes_make_the_reader_stumble(tmp_path_factory, data, cut):
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    whole = hidden("subgraph", outside("w", "w.bin")).SerializeToString()
    for content in (data, whole[:cut], whole[:cut] + data):
        path.write_bytes(content)
        known = is_onnx(path)
        if content:
            try:
                external_files(path)
            except Misuse as problem:
                assert problem.source == str(path)
        assert not known or b"g" in content  # the graph's name


def test_what_is_no_model_is_not_taken_for_one(tmp_path):
    path = tmp_path / "x"
    tensor = numpy_helper.from_array(np.zeros(2, np.float32), "t").SerializeToString()
    for content in (b"", b"abc", b"\x08\x08", tensor, b"text that goes on", b"\x80\x04\x95", bytes(100)):
        path.write_bytes(content)
        assert not is_onnx(path), content
    path.write_bytes(proto().SerializeToString())
    assert is_onnx(path)
