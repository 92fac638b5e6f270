"""A model's folder: links, code, what is missing, and raw bytes that a neighbour explains."""

import json
import os

from onnx import TensorProto, helper

from tradewind.data.model_files.formats.repositories import inspect_folder, raw_files
from tradewind.data.model_files.inspection import Allowed, Budget
from tradewind.data.model_files.scanning import Scanning


def told(folder):
    scanning = Scanning(Allowed(), Budget())
    inspect_folder(folder, scanning)
    return {(each.rule, each.where) for each in scanning.findings if each.rule.startswith("repository-")}


def onnx_model(folder, location):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    tensor = TensorProto(name="w", dims=[2], data_type=1, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    node = helper.make_node("Add", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", [value], [helper.make_tensor_value_info("y", 1, [2])], [tensor])
    (folder / "m.onnx").write_bytes(helper.make_model(graph).SerializeToString())


def test_a_plain_model_is_silent_and_its_raw_bytes_are_known(tmp_path):
    onnx_model(tmp_path, "w.bin")
    (tmp_path / "w.bin").write_bytes(b"12345678")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "w.bin"}}))
    assert told(tmp_path) == set()
    assert tmp_path / "w.bin" in raw_files(tmp_path, Scanning(Allowed(), Budget()))


def test_links_and_shared_files_are_blocked(tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"12345678")
    folder = tmp_path / "model"
    folder.mkdir()
    onnx_model(folder, "w.bin")
    (folder / "w.bin").symlink_to(outside)
    assert told(folder) == {("repository-link", "m.onnx")}
    (folder / "w.bin").unlink()
    os.link(outside, folder / "w.bin")
    assert told(folder) == {("repository-link", "m.onnx")}
    (folder / "w.bin").unlink()
    (folder / "sub").symlink_to(tmp_path)
    onnx_model(folder, "sub/outside")
    assert told(folder) == {("repository-link", "m.onnx")}


def test_what_is_missing_is_told(tmp_path):
    onnx_model(tmp_path, "w.bin")
    assert told(tmp_path) == {("repository-missing", "m.onnx")}


def test_code_and_requirements_are_told(tmp_path):
    (tmp_path / "modeling_x.py").write_text("x")
    (tmp_path / "lib.so").write_bytes(b"\x7fELF")
    (tmp_path / "requirements.txt").write_text("numpy\n")
    assert told(tmp_path) == {
        ("repository-code", "modeling_x.py"),
        ("repository-code", "lib.so"),
        ("repository-requirements", "requirements.txt"),
    }
