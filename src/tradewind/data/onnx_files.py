"""Models as ONNX files, for whoever serves them without Python or without us.

A model gives its operators as a value, see `algorithms.graph`; here they become the bytes of an ONNX model of
a stated version, which the package's own checker and shape inference have passed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.algorithms.graph import ML_OPSET, OPSET, Graph
from tradewind.data.durable_files import write_durably
from tradewind.errors import MissingExtra, Misuse

IR_VERSION = 8
"""Of the file's layout: that of operators 17, which every onnxruntime since 1.12 reads."""

_LARGEST = 2**31 - 2**20
"""Bytes of constants: a protobuf message holds less than 2 GiB, and the operators need some of it."""


def onnx_bytes(graph: Graph, *, name: str = "", about: Mapping[str, str] | None = None) -> bytes:
    """The ONNX model of `graph`; `about` goes into its metadata, under the same names.

    Equal graphs give equal bytes. Constants of float64 are written as float32. Raises Misuse for a graph that
    ONNX's checker or its inference of types and shapes refuses, for a constant that is too large for float32,
    and for more than 2 GiB; MissingExtra without the package onnx.
    """
    onnx = _onnx()
    source = name or "graph"
    constants = {key: _narrowed(value, source, key) for key, value in graph.constants.items()}
    if sum(each.nbytes for each in constants.values()) > _LARGEST:
        raise Misuse(
            "its constants take more than the 2 GiB that an ONNX file holds", source=source,
            field="constants", fix="Use model.safetensors.",
        )  # fmt: skip
    helper = onnx.helper
    try:
        made = helper.make_graph(
            [
                helper.make_node(
                    each.operator, each.inputs, each.outputs, name=f"{number}_{each.operator}",
                    domain=each.domain, **each.attributes,
                )
                for number, each in enumerate(graph.nodes)
            ],
            name or "model",
            [_port(onnx, each) for each in graph.inputs],
            [_port(onnx, each) for each in graph.outputs],
            [onnx.numpy_helper.from_array(value, key) for key, value in constants.items()],
        )  # fmt: skip
        domains = [helper.make_opsetid("", OPSET)]
        if any(each.domain == "ai.onnx.ml" for each in graph.nodes):
            domains.append(helper.make_opsetid("ai.onnx.ml", ML_OPSET))
        model = helper.make_model(
            made, opset_imports=domains, ir_version=IR_VERSION, producer_name="tradewind"
        )
        helper.set_model_props(model, {str(key): str(value) for key, value in (about or {}).items()})
        onnx.checker.check_model(model)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, TypeError, ValueError) as why:
        raise Misuse(
            f"this is no valid ONNX model ({' '.join(str(why).split())[:500]})", source=source,
            field="graph", fix="Mend what the model's graph() gives.",
        ) from None  # fmt: skip
    return bytes(model.SerializeToString(deterministic=True))


def write_onnx(
    path: str | os.PathLike[str], graph: Graph, *, name: str = "", about: Mapping[str, str] | None = None
) -> None:
    """Make `onnx_bytes` of `graph` the whole content of a file; durable on return."""
    write_durably(Path(path), onnx_bytes(graph, name=name or Path(path).stem, about=about))


def _narrowed(value: NDArray[Any], source: str, name: str) -> NDArray[Any]:
    """A constant as ONNX files hold it: float64 as float32."""
    array = np.asarray(value, order="C")
    if array.dtype != np.float64:
        return array
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    if not np.array_equal(np.isfinite(narrow), np.isfinite(array)):
        raise Misuse(
            "a number is too large for float32", source=source, field=name,
            fix="Scale the columns before learning, or use model.safetensors.",
        )  # fmt: skip
    return narrow


def _port(onnx: Any, port: Any) -> Any:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
    return onnx.helper.make_tensor_value_info(port.name, kind, list(port.shape))


def _onnx() -> Any:
    try:
        import onnx  # noqa: PLC0415
        import onnx.checker  # noqa: PLC0415
        import onnx.helper  # noqa: PLC0415
        import onnx.numpy_helper  # noqa: PLC0415
        import onnx.shape_inference  # noqa: PLC0415
    except ModuleNotFoundError:
        raise MissingExtra("onnx", "onnx", "writing an ONNX file") from None
    return onnx
