"""ONNX: what leads out of a model is told, what a model of onnx's own making holds is not."""

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tradewind.data.model_files.scanner import scan_bytes

VALUE = helper.make_tensor_value_info


def model(nodes=None, tensors=(), functions=(), domains=(), sparse=()):
    nodes = nodes or [helper.make_node("Relu", ["x"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [VALUE("x", TensorProto.FLOAT, ["n", 3])],
        [VALUE("y", TensorProto.FLOAT, ["n", 3])],
        list(tensors),
        sparse_initializer=list(sparse),
    )
    imports = [helper.make_opsetid("", 17), *(helper.make_opsetid(each, 1) for each in domains)]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=8)


def judged(proto):
    scan = scan_bytes(proto if isinstance(proto, bytes) else proto.SerializeToString())
    return scan.verdict, {each.rule for each in scan.findings}


def outside(location, **more):
    tensor = TensorProto(name="w", dims=[2], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def weights():
    return numpy_helper.from_array(np.arange(12, dtype="f4").reshape(4, 3), "w")


def function(name, calls, domain="mine"):
    nodes = [helper.make_node(each, ["a"], ["b"], domain=domain) for each in calls]
    return helper.make_function(
        domain, name, ["a"], ["b"], nodes, [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
    )


def test_plain_models_are_clean():
    inner = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["z"])], "i", [], [VALUE("z", TensorProto.FLOAT, None)]
    )
    loop = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    for proto in (
        model(),
        model(tensors=[weights()]),
        model([loop]),
        model([helper.make_node("Scaler", ["x"], ["y"], domain="ai.onnx.ml")], domains=["ai.onnx.ml"]),
        model(
            [helper.make_node("FusedMatMul", ["x", "x"], ["y"], domain="com.microsoft")],
            domains=["com.microsoft"],
        ),
        model(
            [helper.make_node("F", ["x"], ["y"], domain="mine")],
            functions=[function("F", [])],
            domains=["mine"],
        ),
        model(tensors=[helper.make_tensor("t", TensorProto.STRING, [2], [b"a", b"b"])]),
        model(tensors=[helper.make_tensor("t", TensorProto.BFLOAT16, [2], [1.0, 2.0])]),
        model(tensors=[helper.make_tensor("t", TensorProto.INT64, [0], [])]),
    ):
        assert judged(proto) == ("clean", set())


def test_tensors_beside_the_model_are_noted():
    assert judged(model(tensors=[outside("w.bin", offset=0, length=8)])) == ("clean", {"onnx-external-data"})


@pytest.mark.parametrize(
    "location",
    [
        "/etc/passwd",
        "../w.bin",
        "a/../../w",
        "..\\w",
        "C:\\w",
        "file:///w",
        "~/w",
        "",
        "w\0.bin",
        "a/./..",
        "w.",
    ],
)
def test_a_tensor_elsewhere_is_blocked(location):
    verdict, rules = judged(model(tensors=[outside(location)]))
    assert verdict == "blocked" and "onnx-external-path" in rules


def test_a_tensor_elsewhere_is_found_wherever_it_hides():
    away = outside("../w")
    constant = helper.make_node("Constant", [], ["k"], value=away)
    inner = helper.make_graph([constant], "i", [], [VALUE("k", TensorProto.FLOAT, None)])
    dense = numpy_helper.from_array(np.array([1.0], "f4"), "s")
    place = numpy_helper.from_array(np.array([0]), "i")
    hidden = onnx.SparseTensorProto(values=away, indices=place, dims=[4])
    trained = model()
    trained.training_info.add().algorithm.CopyFrom(inner)
    body = function("F", [])
    body.node.append(constant)
    for proto in (
        model([constant]),
        model([helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)]),
        model(sparse=[hidden]),
        model(sparse=[onnx.SparseTensorProto(values=dense, indices=away, dims=[4])]),
        trained,
        model(functions=[body]),
    ):
        assert "onnx-external-path" in judged(proto)[1]


def test_odd_descriptions_of_outside_tensors_are_blocked():
    double = outside("w")
    double.external_data.add(key="location", value="x")
    for tensor in (double, outside("w", offset=-1), outside("w", length="1e9"), outside("w", __class__="x")):
        assert judged(model(tensors=[tensor]))[1] >= {"onnx-external-entry"}
    nowhere = TensorProto(name="w", dims=[2], data_type=1, data_location=TensorProto.EXTERNAL)
    assert "onnx-external-entry" in judged(model(tensors=[nowhere]))[1]
    assert "onnx-size" in judged(model(tensors=[outside("w", length=999)]))[1]


@pytest.mark.parametrize("operator", ["PythonOp", "EPContext", "ATen"])
def test_operators_that_run_code_are_blocked(operator):
    node = helper.make_node(operator, ["x"], ["y"], domain="com.microsoft")
    assert judged(model([node], domains=["com.microsoft"]))[1] == {"onnx-code-operator"}


def test_an_operator_of_a_library_is_blocked():
    node = helper.make_node("Steal", ["x"], ["y"], domain="com.evil")
    scan = scan_bytes(model([node], domains=["com.evil"]).SerializeToString())
    (finding,) = scan.findings
    assert finding.rule == "onnx-custom-operator" and finding.name == "com.evil::Steal" and finding.offset


def test_functions_that_never_end_are_blocked():
    node = helper.make_node("F0", ["x"], ["y"], domain="mine")
    ring = [function("F0", ["F1"]), function("F1", ["F0"])]
    assert "onnx-endless" in judged(model([node], functions=ring, domains=["mine"]))[1]
    tower = [function(f"F{i}", [f"F{i + 1}"] * 10) for i in range(9)]
    tower.append(
        helper.make_function("mine", "F9", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [])
    )
    assert "onnx-endless" in judged(model([node], functions=tower, domains=["mine"]))[1]
    assert (
        judged(model([node], functions=[*tower[7:], function("F0", ["F7"])], domains=["mine"]))[0] == "clean"
    )


def test_sizes_that_lie_are_blocked():
    lying = weights()
    lying.dims[0] = 400
    empty = TensorProto(name="w", dims=[1 << 20], data_type=1)
    huge = TensorProto(name="w", dims=[1 << 40, 1 << 40], data_type=1)
    dense = onnx.SparseTensorProto(
        values=numpy_helper.from_array(np.array([1.0], "f4"), "s"),
        indices=numpy_helper.from_array(np.array([0]), "i"),
        dims=[1 << 30, 1 << 30],
    )
    for proto in (
        model(tensors=[lying]),
        model(tensors=[empty]),
        model(tensors=[huge]),
        model(sparse=[dense]),
    ):
        assert judged(proto)[1] == {"onnx-size"}


def test_two_graphs_and_unknown_fields_are_told():
    one = model().SerializeToString()
    again = onnx.ModelProto(graph=model(tensors=[outside("../w")]).graph).SerializeToString()
    assert {"onnx-repeated", "onnx-external-path"} <= judged(one + again)[1]
    assert judged(one + b"\xfa\x01\x01x")[0] != "clean"


def test_no_cut_of_a_model_is_clean():
    whole = model(tensors=[weights()], functions=[function("F", [])]).SerializeToString()
    assert judged(whole)[0] == "clean"
    ends = {0}
    at = 0
    while at < len(whole):  # a cut between two fields leaves a whole message: one with its graph is a model
        key, at = whole[at], at + 1
        length = shift = 0
        while True:
            byte, at = whole[at], at + 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        at += length if key & 7 == 2 else 0
        ends.add(at)
    for cut in range(len(whole)):
        if cut not in ends:
            assert judged(whole[:cut])[0] != "clean", cut


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_change_of_bytes_hides_what_leads_outside(data):
    whole = bytearray(model(tensors=[outside("../../secret")]).SerializeToString())
    place = whole.index(b"../../secret")
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    if not place <= at < place + 12:
        verdict, _ = judged(bytes(whole))
        if verdict == "clean":  # then no reader takes it for a model with that tensor
            try:
                found = onnx.ModelProto.FromString(bytes(whole))
            except DecodeError:
                return
            assert not any(each.external_data for each in found.graph.initializer)
