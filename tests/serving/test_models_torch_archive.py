"""A program of torch.export is read as JSON and raw tensors, whatever the archive asks for."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from torch._export.serde.schema import SCHEMA_VERSION, ScalarType

from tradewind.errors import Misuse
from tradewind.serving.models import torch_archive
from tradewind.serving.models.torch_archive import read_program
from tradewind.serving.tensors import DTYPES


def meta(dtype, sizes, strides, offset=0):
    ints = [[{"as_int": each} for each in lengths] for lengths in (sizes, strides)]
    return {"dtype": dtype, "sizes": ints[0], "strides": ints[1], "storage_offset": {"as_int": offset}}


def tensor(name):
    return {"arg": {"as_tensor": {"name": name}}}


def archive(tmp_path, **changes):
    """A program without a node: y is x, beside a weight of two rows seen through strides."""
    values = {"x": meta(7, [2, 3], [3, 1]), "w": meta(7, [3, 2], [1, 3])}
    values["x"]["sizes"][0] = {"as_expr": {"expr_str": "__import__('os').system('x')"}}
    program = {
        "schema_version": {"major": 8, "minor": 3},
        "guards_code": ["__import__('os')._exit(1)"],
        "graph_module": {
            "graph": {"nodes": [], "tensor_values": values},
            "signature": {
                "input_specs": [
                    {"parameter": {"arg": {"name": "w"}, "parameter_name": "layer.w"}},
                    {"user_input": tensor("x")},
                ],
                "output_specs": [{"user_output": tensor("x")}],
            },
        },
    }
    about = {
        "path_name": "weight_0",
        "is_param": True,
        "use_pickle": False,
        "tensor_meta": meta(7, [3, 2], [1, 3], 1),
    }
    members = {
        "m/models/model.json": program,
        "m/byteorder": b"little",
        "m/data/weights/model_weights_config.json": {"config": {"layer.w": about}},
        "m/data/weights/weight_0": np.arange(7, dtype="<f4").tobytes(),
        "m/data/constants/model_constants_config.json": {"config": {}},
    }
    for place, change in changes.items():
        change({"program": program, "weight": about, "members": members}[place])
    path = tmp_path / "m.pt2"
    with zipfile.ZipFile(path, "w") as whole:
        for name, content in members.items():
            whole.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    return path


def test_weights_are_views_of_their_payload_and_expressions_are_lengths(tmp_path):
    program = read_program(archive(tmp_path))
    assert program.held["w"].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert program.inputs == (torch_archive.Port("x", "FP32", (-1, 3)),)
    assert program.outputs == (("output_0", program.inputs[0]),)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"weight": lambda it: it.update(use_pickle=True)}, "layer.w: a tensor is pickled"),
        ({"weight": lambda it: it["tensor_meta"].update(dtype=13)}, "dtype is none of the protocol's"),
        ({"weight": lambda it: it["tensor_meta"]["sizes"][0].update(as_int=9)}, "longer than its payload"),
        ({"weight": lambda it: it["tensor_meta"]["strides"][0].update(as_int=-1)}, "strides"),
        (
            {"weight": lambda it: it["tensor_meta"].update(storage_offset={"as_int": 2})},
            "longer than its payload",
        ),
        ({"members": lambda it: it.pop("m/data/weights/model_weights_config.json")}, "pickled weights"),
        ({"members": lambda it: it.pop("m/data/weights/weight_0")}, "damaged"),
        ({"members": lambda it: it.update({"m/byteorder": b"big"})}, "big-endian"),
        ({"members": lambda it: it.update({"m/models/two.json": {}})}, "holds 2 programs"),
        ({"program": lambda it: it["schema_version"].update(major=9)}, "schema is version 9, this reads 8"),
        ({"program": lambda it: it.pop("graph_module")}, "damaged .KeyError"),
        (
            {
                "program": lambda it: it["graph_module"]["signature"]["output_specs"].append(
                    {"buffer_mutation": {}}
                )
            },
            "answers with a buffer_mutation",
        ),
        (
            {"program": lambda it: it["graph_module"]["signature"]["input_specs"].append({"custom_obj": {}})},
            "an input is a custom_obj",
        ),
        (
            {
                "program": lambda it: it["graph_module"]["signature"].update(
                    input_specs=[{"user_input": {"arg": {"as_int": 3}}}]
                )
            },
            "an input is int, no tensor",
        ),
    ],
)
def test_what_is_damaged_or_asks_for_more_is_refused(tmp_path, changes, told):
    path = archive(tmp_path, **changes)
    with pytest.raises(Misuse, match=told) as problem:
        read_program(path)
    assert problem.value.source == str(path)


def test_numbers_of_dtypes_are_those_of_the_schema_that_is_installed():
    assert SCHEMA_VERSION[0] == torch_archive._SCHEMA
    names = {
        "BYTE": "UINT8",
        "CHAR": "INT8",
        "SHORT": "INT16",
        "INT": "INT32",
        "LONG": "INT64",
        "HALF": "FP16",
        "FLOAT": "FP32",
        "DOUBLE": "FP64",
        "BOOL": "BOOL",
        "UINT16": "UINT16",
        "UINT32": "UINT32",
        "UINT64": "UINT64",
    }
    assert {int(ScalarType[theirs]): ours for theirs, ours in names.items()} == torch_archive._DTYPES
    for number, name in torch_archive._DTYPES.items():
        assert np.dtype(torch_archive.NUMPY[number]) == DTYPES[name]
