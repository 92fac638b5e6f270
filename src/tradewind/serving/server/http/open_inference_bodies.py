"""Bodies of the Open Inference Protocol's `infer`: a request's as a Call, and an Answer's as a response.

Open Inference Protocol v2, "Inference Request and Response JSON Objects"; Triton's extensions for binary
tensors, classification, and parameters. Of the parameters that Triton reserves, `timeout` sets the deadline,
`priority` is read and has no effect (batches are cut by deadline), a `sequence_id` is refused, since no model
here keeps state between requests, and the others are passed over. Anything else goes to the model.
"""

from __future__ import annotations

import math
from typing import Any

from msgspec import Raw, Struct
from msgspec.json import Decoder

from tradewind.errors import Misuse
from tradewind.serving import tensor_bytes, tensor_json
from tradewind.serving.calls import Answer, Call, Refusal, RefusalKind
from tradewind.serving.classification import classified
from tradewind.serving.server.http.deadlines import deadline_of
from tradewind.serving.server.http.messages import Buffer, Request, Response
from tradewind.serving.tensors import DTYPES, Tensors, TensorSpec, datatype_of

LENGTH_HEADER = "Inference-Header-Content-Length"
_LENGTH_HEADER = LENGTH_HEADER.lower()
_RESERVED = frozenset(
    ("sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers", "binary_data_output")
)
_DATATYPES = {dtype: name for name, dtype in DTYPES.items()}


_NOTHING = Raw(b"")
_NO_DATA = memoryview(b"")


class _Input(Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: Raw = _NOTHING


class _Output(Struct, gc=False):
    name: str
    parameters: dict[str, Any] | None = None


class _Body(Struct, gc=False):
    inputs: list[_Input]
    id: str = ""
    outputs: list[_Output] | None = None
    parameters: dict[str, Any] | None = None


_DECODER = Decoder(_Body)


class Wanted(Struct, gc=False):
    """How the caller wants the outputs."""

    binary: bool = False
    """Whether outputs come as binary data where nothing else is said."""
    each: dict[str, bool] = {}
    """By output: whether it comes as binary data."""
    classes: dict[str, int] = {}
    """By output: how many of its highest values are wanted, as texts, instead of the output."""


_JSON = Wanted()


def call_of(
    request: Request, model: str, version: str = "", raw: TensorSpec | None = None
) -> tuple[Call, Wanted]:
    """The call that a request's body makes, and how its answer is wanted.

    `raw` is the model's only input, where it has only one: for a body that is nothing but that input's bytes
    (`Inference-Header-Content-Length: 0`). Raises Refusal, MALFORMED, that says what is wrong.
    """
    length = request.headers.get(_LENGTH_HEADER)
    try:
        if length is None:
            body: _Body = tensor_json.decode(request.body, _DECODER)
            return _call(request, body, _NO_DATA, model, version)
        size = _header_length(length, len(request.body))
        if size == 0 and request.body:
            return _raw_call(request, model, version, raw), Wanted(binary=True)
        body = tensor_json.decode(request.body[:size], _DECODER)
        return _call(request, body, memoryview(request.body)[size:], model, version)
    except Misuse as error:
        raise Refusal(RefusalKind.MALFORMED, str(error)) from None


def response_of(answer: Answer, wanted: Wanted, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """The response with an answer, in JSON, or in JSON with binary tensors behind it.

    Raises Refusal, MALFORMED, for an output that cannot be given as it was wanted.
    """
    outputs: list[dict[str, Any]] = []
    pieces: list[Buffer] = []
    for name, array in answer.outputs.items():
        if wanted.classes and name in wanted.classes:
            try:
                array = classified(array, wanted.classes[name])
            except Misuse as problem:
                raise Refusal(RefusalKind.MALFORMED, f"output {name!r}: {problem}") from None
        shape = array.shape
        datatype = _DATATYPES.get(array.dtype) or datatype_of(array)
        if wanted.each.get(name, wanted.binary) if wanted.each else wanted.binary:
            piece = tensor_bytes.encode(array)
            pieces.append(piece)
            parameters = {"binary_data_size": len(piece)}
            outputs.append({"name": name, "datatype": datatype, "shape": shape, "parameters": parameters})
        else:
            try:
                data = tensor_json.values_of(array)
            except Misuse as error:
                raise Refusal(RefusalKind.MALFORMED, f"output {name!r}: {error}") from None
            outputs.append({"name": name, "datatype": datatype, "shape": shape, "data": data})
    said: dict[str, Any] = {"model_name": answer.model, "model_version": answer.version, "outputs": outputs}
    if answer.id:
        said["id"] = answer.id
    if answer.variant:
        said["parameters"] = {"variant": answer.variant}
    header = tensor_json.encode(said)
    if not pieces:
        return Response(200, header, "application/json", headers)
    length = (LENGTH_HEADER, str(len(header)))
    return Response(200, [header, *pieces], "application/octet-stream", (length, *headers))


def _call(request: Request, body: _Body, binary: memoryview, model: str, version: str) -> tuple[Call, Wanted]:
    inputs: Tensors = {}
    at = 0
    for tensor in body.inputs:
        name = tensor.name
        if name in inputs:
            raise Misuse(f"input {name!r} is given twice", field="inputs")
        try:
            size = _binary_size(tensor.parameters) if tensor.parameters else None
            if size is None:
                inputs[name] = tensor_json.array_of(_given(tensor.data), tensor.datatype, tensor.shape)
                continue
            if size > len(binary) - at:
                raise Misuse(
                    f"{size} bytes of binary data are promised, {len(binary) - at} follow the JSON",
                    fix=f"Give the length of the JSON as {LENGTH_HEADER} and the data behind it.",
                )
            inputs[name] = tensor_bytes.decode(binary[at : at + size], tensor.datatype, tensor.shape)
            at += size
        except Misuse as error:
            raise Misuse(f"input {name!r}: {error}") from None
    if at != len(binary):
        raise Misuse(f"{len(binary) - at} bytes follow the binary data that the inputs promise")
    parameters = body.parameters
    if parameters is None and body.outputs is None:
        return Call(model, inputs, version, body.id, (), deadline_of(request)), _JSON
    own, microseconds, all_binary = _parameters(parameters or {})
    outputs, wanted = _outputs(body.outputs or [], all_binary)
    return Call(model, inputs, version, body.id, outputs, deadline_of(request, microseconds), "", own), wanted


def _raw_call(request: Request, model: str, version: str, spec: TensorSpec | None) -> Call:
    """Triton's raw binary request: the body is one tensor; its open dimension follows from its size."""
    if spec is None:
        raise Misuse("a body of binary data alone needs a model with one input")
    body = request.body
    if spec.datatype == "BYTES":
        if len(body) < 4 or 4 + int.from_bytes(body[:4], "little") != len(body):
            body = len(body).to_bytes(4, "little") + body
        shape = [1] * len(spec.shape)
    else:
        open_ones = [axis for axis, length in enumerate(spec.shape) if length < 0]
        # A batch axis is taken for 1 where another dimension is open as well.
        filling = open_ones[-1] if open_ones else None
        shape = [length if length >= 0 else 1 for length in spec.shape]
        unit = math.prod(shape) * DTYPES[spec.datatype].itemsize
        if filling is not None and unit and len(body) % unit == 0:
            shape[filling] = len(body) // unit
    inputs = {spec.name: tensor_bytes.decode(body, spec.datatype, shape)}
    return Call(model, inputs, version, deadline=deadline_of(request))


def _header_length(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16 and int(text) <= most):
        raise Misuse(
            f"{text[:40]!r} is not the length of the JSON in a body of {most} bytes", source=LENGTH_HEADER
        )
    return int(text)


def _given(data: Raw) -> Raw:
    if not data or bytes(data) == b"null":
        raise Misuse(
            "it has no data", field="data", fix="Give data, or binary_data_size among its parameters."
        )
    return data


def _binary_size(parameters: dict[str, Any]) -> int | None:
    """The size of an input's binary data; None where its data is in the JSON."""
    if "shared_memory_region" in parameters:
        raise Misuse("shared memory is not read by this server", fix="Send the data with the request.")
    size = parameters.get("binary_data_size")
    if size is not None and (type(size) is not int or size < 0):
        raise Misuse(f"{size!r} is no number of bytes", field="binary_data_size")
    return size


def _parameters(given: dict[str, Any]) -> tuple[dict[str, Any], Any, bool]:
    """The model's own parameters, the timeout in microseconds, and whether outputs come as binary data."""
    if given.get("sequence_id"):
        raise Misuse(
            "models here keep nothing between requests",
            field="sequence_id",
            fix="Send each request whole, without a sequence.",
        )
    binary = given.get("binary_data_output", False)
    if type(binary) is not bool:
        raise Misuse("give true or false", field="binary_data_output")
    priority = given.get("priority", 0)
    if type(priority) is not int or priority < 0:
        raise Misuse("give a whole number, not negative", field="priority")
    own = {
        name: value
        for name, value in given.items()
        if name not in _RESERVED and not name.startswith("triton_")
    }
    return own, given.get("timeout"), binary


def _outputs(asked: list[_Output], binary: bool) -> tuple[tuple[str, ...], Wanted]:
    wanted = Wanted(binary, {}, {})
    for output in asked:
        for name, value in (output.parameters or {}).items():
            if name == "binary_data":
                if type(value) is not bool:
                    raise Misuse("give true or false", source=f"output {output.name!r}", field=name)
                wanted.each[output.name] = value
            elif name == "classification":
                if type(value) is not int or value < 1:
                    raise Misuse("give how many classes", source=f"output {output.name!r}", field=name)
                wanted.classes[output.name] = value
            elif name == "shared_memory_region":
                raise Misuse(
                    "shared memory is not written by this server",
                    source=f"output {output.name!r}",
                    fix="Take the data with the response.",
                )
    names = tuple(output.name for output in asked)
    if len(set(names)) != len(names):
        raise Misuse("an output is asked for twice", field="outputs")
    return names, wanted
