"""Rows and named columns of callers who send no tensors, as a model's inputs; and its outputs as rows again.

KServe's protocol v1 and TensorFlow Serving's REST API ("instances" and "inputs"), MLflow's scoring bodies,
and the tables that SageMaker's containers take all say values and leave the datatypes to the model. They are
read by its signature, as strictly as a tensor is: nothing is cast that the datatype does not hold.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Raw
from numpy.typing import NDArray

from tradewind.errors import Misuse, suggestion
from tradewind.serving import tensor_json
from tradewind.serving.tensors import DTYPES, Signature, Tensors, TensorSpec

_OBJECTS = msgspec.json.Decoder(list[dict[str, Raw]])
_ROWS = msgspec.json.Decoder(list[list[Raw]])
_NAMED = msgspec.json.Decoder(dict[str, Raw])
_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
FEATURES = "features"
"""The key under which SageMaker's own algorithms take a row of numbers."""


def inputs_of_instances(instances: Raw | bytes, signature: Signature) -> Tensors:
    """The inputs that a list of instances makes, one a row.

    An instance is a value or a nested list for a model with one input; an object with a value for each input,
    by name; an object of columns, in the order of the first, for a model whose one input is a table; an
    object with the one key "features"; or a list with a value for each of several inputs. Misuse otherwise.
    """
    text = bytes(instances).strip()
    inputs = signature.inputs
    if not text.startswith(b"["):
        raise Misuse("give a list, with one instance a row", field="instances")
    inside = text[1:].lstrip()
    if inside.startswith(b"]"):
        raise Misuse("there are none", field="instances")
    binary = len(inputs) == 1 and inside[1:].lstrip().startswith(b'"b64"')
    if binary or not inside.startswith(b"{"):
        if len(inputs) == 1:
            return {inputs[0].name: _fitted(_array(text, inputs[0]), inputs[0])}
        return _by_place(_decoded(text, _ROWS, "a list for each row"), inputs)
    objects = _decoded(text, _OBJECTS, "an object for each row")
    keys = list(objects[0])
    if any(len(row) != len(keys) or row.keys() != objects[0].keys() for row in objects):
        raise Misuse("instances have different keys", field="instances", fix="Give every one the same keys.")
    columns = [(key, [row[key] for row in objects]) for key in keys]
    if len(inputs) == 1 and keys in ([inputs[0].name], [FEATURES]):
        return {inputs[0].name: _fitted(_array(_joined(columns[0][1]), inputs[0]), inputs[0])}
    return _of_columns(columns, inputs)


def inputs_of_columns(inputs: Raw | bytes, signature: Signature) -> Tensors:
    """The inputs given whole, not cut into rows: an object of arrays by name, or the one input's array."""
    text = bytes(inputs).strip()
    specs = signature.inputs
    if not text.startswith(b"{"):
        if len(specs) != 1:
            raise Misuse(
                f"the model has {len(specs)} inputs",
                field="inputs",
                fix=f"Give an object with {', '.join(spec.name for spec in specs)}.",
            )
        return {specs[0].name: _fitted(_array(text, specs[0]), specs[0])}
    named = _decoded(text, _NAMED, "an object of arrays")
    if len(specs) == 1 and named.keys() == {"b64"}:
        return {specs[0].name: _fitted(_array(text, specs[0]), specs[0])}
    _check_names(named, specs, "input")
    return {spec.name: _fitted(_array(named[spec.name], spec), spec) for spec in specs}


def inputs_of_table(
    columns: Sequence[str] | None, rows: Sequence[Sequence[Raw]], signature: Signature
) -> Tensors:
    """The inputs that rows of JSON values make, under named columns or without names. Misuse if ragged."""
    width = len(rows[0]) if columns is None and rows else len(columns or ())
    for index, row in enumerate(rows):
        if len(row) != width:
            raise Misuse(f"row {index} has {len(row)} values, not {width}", field="data")
    if columns is None:
        if len(signature.inputs) != 1:
            return _by_place(rows, signature.inputs)
        columns = [str(place) for place in range(width)]
    elif len(set(columns)) != len(columns):
        raise Misuse("a column is named twice", field="columns")
    if not rows:
        raise Misuse("there are no rows", field="data")
    return _of_columns(
        [(name, [row[at] for row in rows]) for at, name in enumerate(columns)], signature.inputs
    )


def inputs_of_text(
    names: Sequence[str] | None, rows: Sequence[Sequence[str]], signature: Signature
) -> Tensors:
    """The inputs that rows of texts make, as CSV has them; an empty text is NaN among floats."""
    specs = signature.inputs
    width = len(names) if names is not None else len(rows[0]) if rows else 0
    for index, row in enumerate(rows):
        if len(row) != width:
            raise Misuse(f"row {index} has {len(row)} values, not {width}")
    if not rows:
        raise Misuse("there are no rows")
    if len(specs) == 1 and (names is None or specs[0].name not in names or len(specs[0].shape) > 1):
        spec = specs[0]
        cells = [cell for row in rows for cell in row]
        return {spec.name: _fitted(_of_texts(cells, spec).reshape(len(rows), width), spec)}
    if names is None:
        names = [spec.name for spec in specs]
        if len(names) != width:
            raise Misuse(f"there are {width} columns; the model takes {len(names)}: {', '.join(names)}")
    _check_names(dict.fromkeys(names), specs, "column")
    places = {name: at for at, name in enumerate(names)}
    return {
        spec.name: _fitted(_of_texts([row[places[spec.name]] for row in rows], spec), spec) for spec in specs
    }


def input_of_array(array: NDArray[Any], signature: Signature) -> Tensors:
    """An array as the model's one input, in its datatype where that loses no more than precision."""
    if len(signature.inputs) != 1:
        raise Misuse(f"one array was sent; the model has {len(signature.inputs)} inputs")
    spec = signature.inputs[0]
    dtype = DTYPES[spec.datatype]
    if dtype.kind == "O":
        if array.dtype.kind not in "SU":
            raise Misuse(f"input {spec.name!r} takes texts, not {array.dtype}")
        texts = np.empty(array.size, object)
        try:
            texts[:] = [text if isinstance(text, bytes) else text.encode() for text in array.ravel().tolist()]
        except (ValueError, SystemError):  # the latter of a number that is no code point
            raise Misuse(f"input {spec.name!r}: a text holds what is no character") from None
        return {spec.name: _fitted(texts.reshape(array.shape), spec)}
    if array.dtype.kind not in "biuf" or not np.can_cast(array.dtype, dtype, "same_kind"):
        raise Misuse(f"input {spec.name!r} takes {spec.datatype}, and {array.dtype} would lose by it")
    try:
        with np.errstate(over="raise"):
            found = array.astype(dtype, copy=False)
    except FloatingPointError:
        raise Misuse(f"input {spec.name!r}: a value is beyond the range of {spec.datatype}") from None
    return {spec.name: _fitted(found, spec)}


def predictions_of(outputs: Tensors) -> Any:
    """The outputs for JSON: one output's values, or an object a row with a value for each output.

    Where outputs have no common number of rows, an object of whole arrays.
    """
    named = {name: _nested(name, array) for name, array in outputs.items()}
    if len(named) == 1:
        return next(iter(named.values()))
    lengths = {array.shape[0] if array.ndim else -1 for array in outputs.values()}
    if len(lengths) != 1 or -1 in lengths:
        return named
    return [dict(zip(named, row, strict=True)) for row in zip(*named.values(), strict=True)]


def columns_of(outputs: Tensors) -> Any:
    """The outputs for JSON, not cut into rows: one output's values, or an object of arrays."""
    named = {name: _nested(name, array) for name, array in outputs.items()}
    return next(iter(named.values())) if len(named) == 1 else named


def rows_of(outputs: Tensors) -> list[list[Any]]:
    """The outputs side by side, each row flat, as a table has them. Misuse if they have no common rows."""
    lengths = {array.shape[0] if array.ndim else 1 for array in outputs.values()}
    if len(lengths) != 1:
        raise Misuse("the outputs have no common number of rows", fix="Ask for JSON.")
    (length,) = lengths
    tables = []
    for name, array in outputs.items():
        values = _nested(name, array.reshape(length, -1)) if array.size else [[] for _ in range(length)]
        tables.append(values)
    return [[value for part in parts for value in part] for parts in zip(*tables, strict=True)]


def _nested(name: str, array: NDArray[Any]) -> Any:
    try:
        return tensor_json.nested_values_of(array)
    except Misuse as error:
        raise Misuse(f"output {name!r}: {error}") from None


def _of_columns(columns: Sequence[tuple[str, Sequence[Raw]]], specs: Sequence[TensorSpec]) -> Tensors:
    names = [name for name, _ in columns]
    if len(specs) == 1 and specs[0].name not in names and len(specs[0].shape) > 1:
        spec = specs[0]
        rows = zip(*(values for _, values in columns), strict=True)
        text = b"[" + b",".join(_joined(row) for row in rows) + b"]"
        return {spec.name: _fitted(_array(text, spec), spec)}
    if len(specs) == 1 and len(columns) == 1:
        columns = [(specs[0].name, columns[0][1])]
    named = dict(columns)
    _check_names(named, specs, "column")
    return {spec.name: _fitted(_array(_joined(named[spec.name]), spec), spec) for spec in specs}


def _by_place(rows: Sequence[Sequence[Raw]], specs: Sequence[TensorSpec]) -> Tensors:
    for index, row in enumerate(rows):
        if len(row) != len(specs):
            raise Misuse(
                f"row {index} has {len(row)} values; the model has {len(specs)} inputs: "
                + ", ".join(spec.name for spec in specs)
            )
    return {
        spec.name: _fitted(_array(_joined([row[at] for row in rows]), spec), spec)
        for at, spec in enumerate(specs)
    }


def _check_names(given: dict[str, Any], specs: Sequence[TensorSpec], what: str) -> None:
    names = [spec.name for spec in specs]
    for name in given:
        if name not in names:
            raise Misuse(f"the model has no {what} {name!r}", fix=suggestion(name, names))
    for name in names:
        if name not in given:
            raise Misuse(f"{what} {name!r} is missing")


def _decoded(text: bytes, decoder: msgspec.json.Decoder[Any], what: str) -> Any:
    try:
        return tensor_json.decode(text, decoder)
    except Misuse as error:
        raise Misuse(f"give {what}: {error}") from None


def _joined(values: Sequence[Raw]) -> bytes:
    return b"[" + b",".join(bytes(value) for value in values) + b"]"


def _array(text: bytes | Raw, spec: TensorSpec) -> NDArray[Any]:
    text = bytes(text)
    try:
        if spec.datatype == "BYTES" and b'"b64"' in text:
            return _of_base64(text)
        return tensor_json.nested_array_of(text, spec.datatype)
    except Misuse as error:
        raise Misuse(f"input {spec.name!r}: {error}") from None


def _of_base64(text: bytes) -> NDArray[Any]:
    """BYTES with objects {"b64": text} for elements that are no text, as TensorFlow Serving has them."""

    def element(value: Any) -> Any:
        if isinstance(value, list):
            return [element(inner) for inner in value]
        try:
            if isinstance(value, str):
                return value.encode()
            return base64.b64decode(msgspec.convert(value, dict[str, str])["b64"], validate=True)
        except (ValueError, KeyError):
            raise Misuse('an element is neither a text nor {"b64": text in base64}') from None

    try:
        values = element(tensor_json.decode(text, _ANY))
    except RecursionError:
        raise Misuse("the lists are nested too deep") from None
    flat, shape = [values], []
    while flat and isinstance(flat[0], list):
        lengths = {len(inner) if isinstance(inner, list) else -1 for inner in flat}
        if len(lengths) != 1:
            raise Misuse("the lists are of unequal lengths")
        shape.append(lengths.pop())
        flat = [inner for level in flat for inner in level]
    found: NDArray[Any] = np.empty(len(flat), object)
    found[:] = flat
    return found.reshape(shape)


def _of_texts(cells: Sequence[str], spec: TensorSpec) -> NDArray[Any]:
    dtype = DTYPES[spec.datatype]
    try:
        if dtype.kind == "O":
            texts: NDArray[Any] = np.empty(len(cells), object)
            texts[:] = [cell.encode() for cell in cells]
            return texts
        if dtype.kind == "b":
            truth = {"true": True, "false": False, "1": True, "0": False}
            return np.array([truth[cell.strip().lower()] for cell in cells], dtype)
        if dtype.kind == "f":
            with np.errstate(over="raise"):
                return np.array([float(cell) if cell.strip() else np.nan for cell in cells], dtype)
        return np.array([int(cell) for cell in cells], dtype)
    except (ValueError, KeyError):
        raise Misuse(f"input {spec.name!r} takes {spec.datatype}: a value is none") from None
    except (OverflowError, FloatingPointError):
        raise Misuse(f"input {spec.name!r}: a value is beyond the range of {spec.datatype}") from None


def _fitted(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """`array` with the dimensions of the spec, where only a column's, a row's or a flat row's are missing."""
    shape = spec.shape
    if array.ndim == len(shape):
        return array
    if array.ndim == len(shape) - 1:
        if shape[-1] == 1:
            return array[..., None]
        if all(wanted in (-1, length) for wanted, length in zip(shape[1:], array.shape, strict=True)):
            return array[None]
    if array.ndim == 2 and len(shape) == 1 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim == 2 and len(shape) > 2 and -1 not in shape[1:] and array.shape[1] == np.prod(shape[1:]):
        return array.reshape(array.shape[0], *shape[1:])
    raise Misuse(
        f"input {spec.name!r} has {len(shape)} dimensions, {list(shape)}; shape {list(array.shape)} was given"
    )
