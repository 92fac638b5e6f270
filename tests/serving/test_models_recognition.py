"""Artefacts are known by content, and nothing that could run code is opened, whatever it is called."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import pickle
import struct
import zipfile
import zlib

import joblib
import numpy as np
import pytest
import safetensors.numpy

from tradewind.data.model_files.layout import write_model_file
from tradewind.errors import Misuse
from tradewind.serving.models import recognition
from tradewind.serving.models.opening import open_model
from tradewind.serving.models.recognition import Kind, artefact_in, is_pickle, recognised

NAMES = (
    "model.onnx",
    "model.skops",
    "model.pt2",
    "model.safetensors",
    "model.pkl",
    "model.pt",
    "model.joblib",
    "model.h5",
    "model",
    "model.zip",
)


class Trap:
    """Unpickling it leaves a file behind."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return whole.getvalue()


def traps(path):
    """Pickles that would open `path`, in every wrapping that a model file has been seen in."""
    trap = Trap(path)
    found = {f"protocol {number}": pickle.dumps(trap, number) for number in range(6)}
    plain = found["protocol 4"]
    dumped = io.BytesIO()
    joblib.dump(trap, dumped)
    array = io.BytesIO()
    np.save(array, np.array([trap], object))
    config = {
        "config": {"w": {"path_name": "weight_0", "use_pickle": True, "is_param": True, "tensor_meta": None}}
    }
    program = {
        "schema_version": {"major": 8, "minor": 1},
        "graph_module": {
            "graph": {"nodes": [], "tensor_values": {}},
            "signature": {"input_specs": [], "output_specs": []},
        },
    }
    exported = {
        "m/archive_format": b"pt2",
        "m/byteorder": b"little",
        "m/models/model.json": json.dumps(program),
        "m/data/sample_inputs/model.pt": plain,
        "m/data/weights/weight_0": plain,
        "m/data/weights/model_weights_config.json": json.dumps(config),
        "m/data/constants/model_constants_config.json": '{"config": {}}',
    }
    legacy = {name: content for name, content in exported.items() if "weights_config" not in name}
    legacy["m/data/weights/model.pt"] = plain
    schema = {
        "__class__": "object",
        "__module__": "builtins",
        "__loader__": "JoblibNode",
        "content": plain.hex(),
        "protocol": 2,
        "_skops_version": "0.16.0",
    }
    return found | {
        "joblib": dumped.getvalue(),
        "gzip": gzip.compress(plain),
        "zlib": zlib.compress(plain),
        "xz": lzma.compress(plain),
        "lzma": lzma.compress(plain, lzma.FORMAT_ALONE),
        "numpy": array.getvalue(),
        "npz": zipped({"a.npy": array.getvalue()}),
        "torch": zipped({"archive/data.pkl": plain, "archive/version": b"3"}, zipfile.ZIP_STORED),
        "torchscript": zipped({"m/data.pkl": plain, "m/constants.pkl": plain, "m/code/a.py": b"x"}),
        "pt2": zipped(exported, zipfile.ZIP_STORED),
        "legacy pt2": zipped(legacy, zipfile.ZIP_STORED),
        "skops": zipped({"schema.json": json.dumps(schema), "0.npy": array.getvalue()}),
        "keras": zipped({"config.json": b"{}", "model.weights.h5": b"x"}),
        "hdf5": b"\x89HDF\r\n\x1a\n" + plain,
        "ours": struct.pack("<Q", 2) + b"{}" + plain,
    }


@pytest.mark.parametrize("name", NAMES)
def test_no_pickle_is_sprung_under_any_name(tmp_path, name):
    sprung = tmp_path / "sprung"
    for wrapping, content in traps(sprung).items():
        path = tmp_path / name
        path.write_bytes(content)
        for asked in (str(path), str(tmp_path)):
            with pytest.raises(Misuse) as problem:
                open_model(asked)
            assert problem.value.source, wrapping
        assert not sprung.exists(), wrapping
    path.write_bytes(pickle.dumps(Trap(sprung)))
    pickle.loads(path.read_bytes()).close()
    assert sprung.exists()  # the trap itself works


@pytest.mark.parametrize(
    ("wrapping", "told"),
    [
        ("protocol 0", "pickle"),
        ("protocol 5", "pickle"),
        ("joblib", "pickle"),
        ("gzip", "may hold a pickle.*skops"),
        ("torch", "torch.save archive.*torch.export.save"),
        ("torchscript", "TorchScript"),
        ("keras", "Keras.*ONNX"),
        ("hdf5", "HDF5.*ONNX"),
        ("numpy", "numpy array"),
        ("pt2", "tensor is pickled|pickle-global"),
        ("npz", "no model that is served"),
        ("legacy pt2", "pickled weights|pickle-global"),
        ("ours", "weights alone|no whole"),
    ],
)
def test_a_refusal_says_what_it_is_and_names_a_safe_way(tmp_path, wrapping, told):
    path = tmp_path / "model.onnx"
    path.write_bytes(traps(tmp_path / "sprung")[wrapping])
    with pytest.raises(Misuse, match=told):
        open_model(path)


def test_kinds_are_known_by_content(tmp_path):
    path = tmp_path / "odd.name"
    path.write_bytes(safetensors.numpy.save({"w": np.zeros(2)}))
    assert recognised(path) is Kind.WEIGHTS
    path.write_bytes(
        safetensors.numpy.save({"w": np.zeros(2)}, {"format": "pt", "note": "tradewind-model-1"})
    )
    assert recognised(path) is Kind.WEIGHTS
    write_model_file(tmp_path / "ours", {"w": np.zeros(2)}, {"kind": "x", "long": "y" * 200_000})
    assert recognised(tmp_path / "ours" / "model.safetensors") is Kind.LEARNER
    path.write_bytes(zipped({"schema.json": b"{}"}))
    assert recognised(path) is Kind.SKOPS
    path.write_bytes(zipped({"m/archive_format": b"pt2", "m/models/model.json": b"{}"}))
    assert recognised(path) is Kind.EXPORTED


def test_scripts_and_nonsense_are_refused(tmp_path):
    for name, content, told in (
        ("m.py", b"import os\n", "this is code"),
        ("m", b"#!/bin/sh\n", "a script"),
        ("m", b"\x7fELF123", "machine code"),
        ("m.onnx", b"", "no model that is served"),
        ("m.onnx", b"PK\x03\x04 cut", "archive is damaged"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Misuse, match=told):
            recognised(tmp_path / name)


def test_a_bomb_is_refused_by_what_it_says_it_unpacks_to(tmp_path, monkeypatch):
    monkeypatch.setattr(recognition, "_FREE", 1 << 20)
    path = tmp_path / "model.skops"
    path.write_bytes(zipped({"schema.json": b"{}", "0.npy": bytes(3 << 20)}))
    with pytest.raises(Misuse, match=r"unpacks to 31457\d\d in 2 files"):
        recognised(path)
    path.write_bytes(zipped({"schema.json": b"{}", "0.npy": bytes(3 << 20)}, zipfile.ZIP_STORED))
    assert recognised(path) is Kind.SKOPS
    monkeypatch.setattr(recognition, "_MEMBERS", 1)
    with pytest.raises(Misuse, match="in 2 files"):
        recognised(path)


def test_pickles_are_told_from_texts():
    assert all(is_pickle(pickle.dumps({"a": [1, 2.5, "x"]}, number)) for number in range(6))
    assert is_pickle(pickle.dumps(list(range(100_000)), 0)[: 1 << 16])
    for other in (b"", b".", b"a text", b"{}", b"N", b"\x80\x01", bytes(10)):
        assert not is_pickle(other), other


def test_the_artefact_of_a_folder(tmp_path):
    with pytest.raises(Misuse, match="no model here"):
        artefact_in(tmp_path)
    with pytest.raises(Misuse, match="nothing here"):
        artefact_in(tmp_path / "absent")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "net.pt2").write_text("x")
    assert artefact_in(tmp_path).name == "net.pt2"
    (tmp_path / "b.onnx").write_text("x")
    with pytest.raises(Misuse, match=r"several models here: b\.onnx, net\.pt2"):
        artefact_in(tmp_path)
    (tmp_path / "model.onnx").write_text("x")
    assert artefact_in(tmp_path).name == "model.onnx" and artefact_in(tmp_path / "b.onnx").name == "b.onnx"
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "model" / "model.safetensors").write_text("x")
    assert artefact_in(tmp_path / "run").parent.name == "model"
    (tmp_path / "tf" / "variables").mkdir(parents=True)
    (tmp_path / "tf" / "saved_model.pb").write_text("x")
    with pytest.raises(Misuse, match=r"SavedModel.*tf2onnx"):
        artefact_in(tmp_path / "tf")
