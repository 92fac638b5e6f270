"""One call opens any artefact, tries it, and says what it takes of memory."""

from __future__ import annotations

import sys
import types

import msgspec
import numpy as np
import onnx
import pytest
import safetensors.numpy
import skops.io
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LinearRegression

from tradewind.algorithms.scaler import ColumnScaler
from tradewind.data.model_files.layout import write_model_file
from tradewind.errors import Misuse
from tradewind.serving.models.opening import Opening, artefact_bytes, open_model, resident, told

X = np.random.default_rng(0).normal(size=(20, 3)).astype("f4")

SIGNATURE = {"inputs": {"x": ["FP32", [-1]]}, "outputs": {"y": ["FP32", [-1]]}}


def onnx_model(path, nodes, shape, constants=()):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, shape)], [value("y", TensorProto.FLOAT, shape)], constants
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_each_kind_opens_by_its_path_alone(tmp_path):
    onnx_model(tmp_path / "a" / "odd.bin", [helper.make_node("Relu", ["x"], ["y"])], ["n", 3])
    scaler = ColumnScaler().fit(X).model_
    write_model_file(tmp_path / "b", scaler.arrays(), scaler.header())
    write_model_file(tmp_path / "run" / "model", scaler.arrays(), scaler.header())
    skops.io.dump(LinearRegression().fit(X, X[:, 0]), tmp_path / "c.bin")
    platforms = {}
    for name in ("a", "a/odd.bin", "b", "b/model.safetensors", "run", "c.bin"):
        model = open_model(tmp_path / name)
        platforms[name] = model.platform
        assert open_model(Opening(str(tmp_path / name))).signature == model.signature
        model.close()
    assert list(platforms.values()) == [
        "onnxruntime_onnx",
        "onnxruntime_onnx",
        "tradewind",
        "tradewind",
        "tradewind",
        "sklearn_skops",
    ]


def test_a_class_is_opened_by_name_only(tmp_path, monkeypatch):
    class Mine:
        signature = SIGNATURE

        def __init__(self, folder):
            self.folder = folder

        def predict(self, inputs):
            return inputs["x"] + len(list(self.folder.iterdir()))

    module = types.ModuleType("opened_by_test")
    module.Mine = Mine
    monkeypatch.setitem(sys.modules, "opened_by_test", module)
    (tmp_path / "file").write_bytes(b"12345")
    model = open_model(Opening(str(tmp_path), python="opened_by_test:Mine"))
    assert model.predict({"x": np.zeros(1, "f4")})["y"] == 1 and model.memory >= 5


def test_files_beside_a_class_are_scanned_before_it_is_imported(tmp_path, monkeypatch):
    package = tmp_path / "code"
    package.mkdir()
    (package / "beside_by_test.py").write_text("raise RuntimeError('it was imported')")
    monkeypatch.syspath_prepend(str(package))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.pt").write_bytes(b"\x80\x02cos\nmkdir\nX\x01\x00\x00\x00x\x85R.")
    opening = Opening(str(tmp_path / "model"), python="beside_by_test:Model")
    with pytest.raises(Misuse, match=r"weights\.pt.*blocked: os\.mkdir|weights\.pt.*blocked: posix\.mkdir"):
        open_model(opening)
    with pytest.raises(Misuse, match="it was imported"):
        open_model(msgspec.structs.replace(opening, unscanned=True))


def test_an_opening_travels_as_plain_values():
    opening = Opening("p", "a:B", "", ("t.T",), 2, False, {"x": (3, 4)})
    assert msgspec.convert(told(opening), Opening) == opening
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(opening)), Opening) == opening


def test_a_model_whose_first_answer_is_wrong_is_not_given_out(tmp_path):
    w = numpy_helper.from_array(np.zeros((8, 8), "f4"), "w")
    path = onnx_model(tmp_path / "m.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], ["n", "d"], [w])
    with pytest.raises(Misuse, match=r"m\.onnx: warmup: its first answer failed.*shapes"):
        open_model(path)
    assert open_model(Opening(str(path), shapes={"x": (8,)})).signature.batched
    assert open_model(Opening(str(path), warm_up=False)).signature.batched


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Concat", ["x", "x"], ["y"], axis=0),
        helper.make_node("Softmax", ["x"], ["y"], axis=0),
    ],
)
def test_what_looks_batched_but_mixes_its_rows_is_served_request_by_request(tmp_path, node):
    model = open_model(onnx_model(tmp_path / "m.onnx", [node], ["n", 3]))
    assert not model.signature.batched
    found = model.predict({"x": X[:2]})["y"]
    assert len(found) == (4 if node.op_type == "Concat" else 2)
    assert open_model(
        onnx_model(tmp_path / "r.onnx", [helper.make_node("Relu", ["x"], ["y"])], ["n", 3])
    ).signature.batched


def test_memory_is_the_artefact_at_least_and_not_far_above(tmp_path):
    w = numpy_helper.from_array(np.ones((1500, 1500), "f4"), "w")
    path = onnx_model(tmp_path / "m.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], ["n", 1500], [w])
    size = path.stat().st_size
    assert size > 9_000_000 and artefact_bytes(path) == size == artefact_bytes(tmp_path)
    assert artefact_bytes(tmp_path / "absent") == 0
    model = open_model(path)
    assert size <= model.memory <= 4 * size + (16 << 20)
    assert resident() > model.memory / 2


@pytest.mark.parametrize("path", ["", "\0", "/nowhere/at/all"])
def test_what_is_not_there_is_told(path):
    with pytest.raises(Misuse, match=r"names no model|nothing here"):
        open_model(path)


def test_options_that_do_not_fit_the_artefact_are_told(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors.numpy.save({"w": X}))
    with pytest.raises(Misuse, match=r"weights alone.*module:Class"):
        open_model(path)
    relu = onnx_model(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], ["n", 3])
    with pytest.raises(Misuse, match="a network is named, and the artefact is onnx"):
        open_model(Opening(str(relu), network="a:B"))
    with pytest.raises(Misuse, match="there is no input 'z'"):
        open_model(Opening(str(relu), shapes={"z": (3,)}))


def test_a_file_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    path = onnx_model(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], ["n", 3])

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tradewind.serving.models.opening.recognised", refused)
    with pytest.raises(Misuse, match=r"m\.onnx: cannot be read .Permission denied"):
        open_model(path)
