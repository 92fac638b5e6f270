"""torch.export's archives (.pt2), read as data: JSON and raw tensors.

`torch.export.load` unpickles what an archive asks it to, evaluates its shape expressions as Python and finds
operators by any name under `torch`. None of that is done here: an archive is a graph of operators of ATen, by
the schema of torch/_export/serde/schema.py, and its weights are bytes. What needs more is refused.
"""

from __future__ import annotations

import json
import zipfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.errors import Misuse

_SCHEMA = 8
_DTYPES = {
    1: "UINT8", 2: "INT8", 3: "INT16", 4: "INT32", 5: "INT64", 6: "FP16", 7: "FP32", 8: "FP64", 12: "BOOL",
    28: "UINT16", 34: "UINT32", 35: "UINT64",
}  # fmt: skip
"""The protocol's datatypes by the schema's ScalarType."""
NUMPY = {
    1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 6: "<f2", 7: "<f4", 8: "<f8", 12: "?", 28: "<u2",
    34: "<u4", 35: "<u8",
}  # fmt: skip
"""numpy's dtypes by the schema's ScalarType."""
_WEIGHTS, _CONSTANTS = "data/weights/", "data/constants/"


class Port(Struct, frozen=True):
    """A tensor that goes in or out."""

    value: str
    """Its name in the graph."""
    datatype: str
    shape: tuple[int, ...]
    """-1 for a length that was exported as dynamic."""


class Program(Struct, frozen=True):
    """What an archive holds."""

    nodes: list[dict[str, Any]]
    """In order, by torch's schema."""
    held: dict[str, NDArray[Any]]
    """Weights, buffers and constants by their names in the graph."""
    inputs: tuple[Port, ...]
    outputs: tuple[tuple[str, Port], ...]
    """By the key of the mapping that the network gave, or `output_0` and so on."""
    constants: dict[str, Any]
    """Inputs that were fixed at the export."""


def read_program(path: Path) -> Program:
    """The program of a `.pt2` file. Misuse for what is damaged, and for what is no plain graph of tensors."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _program(archive, path)
    except Misuse:
        raise
    except (
        AttributeError, ArithmeticError, LookupError, NotImplementedError, OSError, RecursionError,
        RuntimeError, TypeError, ValueError, zipfile.BadZipFile,
    ) as problem:  # fmt: skip
        raise Misuse(
            f"the archive is damaged ({type(problem).__name__}: {problem})", source=str(path),
            fix="Save the program again by torch.export.save.",
        ) from None  # fmt: skip


def refused(problem: str, path: Path | str, field: str, fix: str = "") -> Misuse:
    """The error for a program that needs more than operators of ATen on tensors."""
    usual = "Export the network in evaluation mode, with tensors in and out, or export it as ONNX."
    return Misuse(problem, source=str(path), field=field, fix=fix or usual)


def _program(archive: zipfile.ZipFile, path: Path) -> Program:
    names = archive.namelist()
    models = [each for each in names if "/models/" in f"/{each}" and each.endswith(".json")]
    if len(models) != 1:
        raise refused(f"it holds {len(models)} programs", path, "models", "Save one program in a file.")
    root, _, model = models[0].rpartition("models/")
    if archive.read(f"{root}byteorder" if f"{root}byteorder" in names else models[0])[:3] == b"big":
        raise refused("it was written on a big-endian machine", path, "byteorder")
    told = json.loads(archive.read(models[0]))
    major = told["schema_version"]["major"]
    if major != _SCHEMA:
        raise refused(
            f"its schema is version {major}, this reads {_SCHEMA}", path, "schema_version",
            "Export it again by a torch such as here.",
        )  # fmt: skip
    graph, signature = told["graph_module"]["graph"], told["graph_module"]["signature"]
    metas = graph["tensor_values"]
    stem = model.removesuffix(".json")
    weights = _tensors(archive, f"{root}{_WEIGHTS}", f"{stem}_weights_config.json", path)
    kept = _tensors(archive, f"{root}{_CONSTANTS}", f"{stem}_constants_config.json", path)
    inputs: list[Port] = []
    held: dict[str, NDArray[Any]] = {}
    constants: dict[str, Any] = {}
    for spec in signature["input_specs"]:
        ((kind, about),) = spec.items()
        if kind == "user_input":
            ((form, argument),) = about["arg"].items()
            if form != "as_tensor":
                raise refused(f"an input is {form.removeprefix('as_')}, no tensor", path, "input_specs")
            inputs.append(_port(argument["name"], metas[argument["name"]], path))
        elif kind == "parameter":
            held[about["arg"]["name"]] = weights[about["parameter_name"]]
        elif kind == "buffer":
            name = about["buffer_name"]
            held[about["arg"]["name"]] = weights[name] if name in weights else kept[name]
        elif kind == "tensor_constant":
            held[about["arg"]["name"]] = kept[about["tensor_constant_name"]]
        elif kind == "constant_input":
            ((_, constants[about["name"]]),) = about["value"].items()
        else:
            raise refused(f"an input is a {kind}", path, "input_specs")
    outputs = []
    for spec in signature["output_specs"]:
        ((kind, about),) = spec.items()
        if kind != "user_output":
            raise refused(f"it answers with a {kind}", path, "output_specs")
        ((form, argument),) = about["arg"].items()
        if form != "as_tensor":
            raise refused(f"an output is {form.removeprefix('as_')}, no tensor", path, "output_specs")
        outputs.append(_port(argument["name"], metas[argument["name"]], path))
    keys = _keys(told["graph_module"], len(outputs))
    return Program(graph["nodes"], held, tuple(inputs), tuple(zip(keys, outputs, strict=True)), constants)


def _port(name: str, meta: dict[str, Any], path: Path) -> Port:
    dtype = meta["dtype"]
    if dtype not in _DTYPES:
        raise refused("its dtype is none of the protocol's", path, name)
    return Port(name, _DTYPES[dtype], tuple(each.get("as_int", -1) for each in meta["sizes"]))


def _keys(module: dict[str, Any], count: int) -> list[str]:
    """What the network called its outputs, where it gave a flat mapping."""
    usual = [f"output_{number}" for number in range(count)]
    for call in module.get("module_call_graph", []):
        if call["fqn"] == "" and call.get("signature"):
            told = json.loads(call["signature"]["out_spec"])[1]
            leaves = all(each["type"] is None for each in told["children_spec"])
            if told["type"] == "builtins.dict" and leaves:
                keys = json.loads(told["context"])
                if len(keys) == count and all(isinstance(each, str) for each in keys):
                    return list(keys)
    return usual


def _tensors(archive: zipfile.ZipFile, folder: str, config: str, path: Path) -> dict[str, NDArray[Any]]:
    """Raw tensors by name; views of one payload share it."""
    if folder + config not in archive.namelist():
        raise refused("it is of an older layout, with pickled weights", path, config)
    payloads: dict[str, bytes] = {}
    found = {}
    for name, about in json.loads(archive.read(folder + config))["config"].items():
        place, meta = about["path_name"], about["tensor_meta"]
        if about["use_pickle"] or meta is None:
            raise refused("a tensor is pickled; loading it could run anything", path, name)
        if meta["dtype"] not in NUMPY:
            raise refused("its dtype is none of the protocol's", path, name)
        if place not in payloads:
            payloads[place] = archive.read(folder + place)
        sizes = [each["as_int"] for each in meta["sizes"]]
        strides = [each["as_int"] for each in meta["strides"]]
        dtype, offset = np.dtype(NUMPY[meta["dtype"]]), meta["storage_offset"]["as_int"]
        flat = np.frombuffer(payloads[place], dtype)
        if min([*sizes, *strides, offset, 0]) < 0 or len(sizes) != len(strides):
            raise ValueError(f"{name} has sizes {sizes} and strides {strides}")
        last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        if not prod(sizes):
            found[name] = np.zeros(sizes, dtype)
            continue
        if last >= len(flat):
            raise ValueError(f"{name} is longer than its payload")
        steps = [each * dtype.itemsize for each in strides]
        found[name] = np.lib.stride_tricks.as_strided(flat[offset:], sizes, steps, writeable=False).copy()
    return found
