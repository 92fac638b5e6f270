"""What is asked of a model by a body alone: SageMaker's `/invocations`, and MLflow's on the same path.

SageMaker, "Use Your Own Inference Code with Hosting Services", leaves the body to the container; MLflow,
"Local Inference Server", takes JSON and CSV. Both are told apart by what is sent:

- application/json: an object with `dataframe_split`, `dataframe_records`, `instances` or `inputs` (MLflow,
  TensorFlow Serving) is answered by `predictions`; a bare list of rows by a bare list; a body of the Open
  Inference Protocol (its `inputs` are tensors) in that protocol, binary tensors included.
- application/jsonlines: one instance a line.
- text/csv: rows of cells. The first line is a header if `header=present` is said with the type, or if no cell
  of it is a number though inputs are numbers, or if it names the inputs.
- application/x-npy: one array in NumPy's format, of numbers or texts; never with pickles in it.

`Accept` chooses among JSON, JSON lines, CSV and npy; JSON if it says nothing. A type that is not known is
refused with 415, an `Accept` that cannot be met with 406.
"""

from __future__ import annotations

import ast
import csv
import io
import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from msgspec import Raw, Struct, json
from numpy.lib import format as npy
from numpy.typing import NDArray

from tradewind.errors import Misuse
from tradewind.serving import records, tensor_json
from tradewind.serving.calls import Answer, Call, Engine, Refusal, RefusalKind
from tradewind.serving.server.http import open_inference_bodies as bodies
from tradewind.serving.server.http.deadlines import deadline_of
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.routes import Unanswerable
from tradewind.serving.tensors import Signature, Tensors

_TRITON_TYPE = "application/vnd.sagemaker-triton.binary+json"
JSON, LINES, CSV, NPY = "application/json", "application/jsonlines", "text/csv", "application/x-npy"
_TYPES = {
    JSON: JSON,
    "application/jsonlines": LINES,
    "application/x-jsonlines": LINES,
    "application/x-ndjson": LINES,
    CSV: CSV,
    NPY: NPY,
}
_UNSAID = ("", "application/octet-stream", "application/x-www-form-urlencoded", "text/plain")
"""Types that clients send who set none; the body is then taken for JSON."""


_NOTHING = Raw(b"")


class _Split(Struct):
    data: list[list[Raw]]
    columns: list[str] | None = None


class _Body(Struct):
    dataframe_split: _Split | None = None
    dataframe_records: Raw = _NOTHING
    instances: Raw = _NOTHING
    inputs: Raw = _NOTHING
    params: dict[str, Any] | None = None


class _Header(Struct):
    """Of a .npy file; an array of records, whose `descr` is no text, is not taken."""

    descr: str
    fortran_order: bool
    shape: tuple[int, ...]


_DESCRIPTION = re.compile(r"[<>|=]?[biufSU][0-9]{1,8}")
_HEADER_AT_MOST = 10_000
"""Bytes; NumPy's own limit."""


class _Maybe(Struct):
    """Enough of an input to tell a tensor of the Open Inference Protocol from a value."""

    datatype: str
    shape: list[int]


_BODY = json.Decoder(_Body)
_TENSORS = json.Decoder(list[_Maybe])
_NO_DEMANDS: Mapping[str, Any] = {}


async def invoke(
    engine: Engine,
    request: Request,
    model: str,
    *,
    variant: str = "",
    id: str = "",
    demands: Mapping[str, Any] = _NO_DEMANDS,
) -> tuple[Answer, Response]:
    """The model's answer to a request's body, and the response with it.

    `demands` are parameters that came beside the body; those in it go before them.

    Raises Refusal; Unanswerable with 415 and 406 for types that are not known.
    """
    type_, options = _media_type(request.headers.get("content-type", ""))
    kind = _TYPES.get(type_)
    if type_ == _TRITON_TYPE:
        length = options.get("json-header-size", "")
        request = Request(
            request.method, request.path, request.query,
            {**request.headers, bodies.LENGTH_HEADER.lower(): length}, request.body, request.arrived,
            request.variables,
        )  # fmt: skip
    elif kind is None and type_ not in _UNSAID:
        known = ", ".join([*dict.fromkeys(_TYPES.values())])
        raise Unanswerable(415, f"bodies of type {type_} are not read; send {known}", (("Accept", known),))
    if bodies.LENGTH_HEADER.lower() in request.headers:
        return await _open_inference(engine, request, model, variant, id, demands)
    wanted = _accepted(request.headers.get("accept", ""))
    try:
        bare = False
        parameters: dict[str, Any] = {}
        signature = (await engine.described(model)).signature
        if kind == CSV:
            inputs = _from_csv(request.body, options, signature)
        elif kind == NPY:
            inputs = records.input_of_array(_from_npy(request.body), signature)
        elif kind == LINES:
            lines = [line for line in request.body.splitlines() if line.strip()]
            inputs = records.inputs_of_instances(b"[" + b",".join(lines) + b"]", signature)
        elif request.body.lstrip()[:1] == b"[":
            bare = True
            inputs = records.inputs_of_instances(tensor_json.decode(request.body, _RAW), signature)
        else:
            body: _Body = tensor_json.decode(request.body, _BODY)
            if _is_open_inference(body):
                return await _open_inference(engine, request, model, variant, id, demands)
            inputs = _from_object(body, signature)
            parameters = body.params or {}
    except Misuse as error:
        raise Refusal(RefusalKind.MALFORMED, str(error)) from None
    if demands:
        parameters = {**demands, **parameters}
    call = Call(model, inputs, id=id, deadline=deadline_of(request), variant=variant, parameters=parameters)
    answer = await engine.infer(call)
    try:
        return answer, _response(answer.outputs, wanted, bare)
    except Misuse as error:
        raise Refusal(RefusalKind.MALFORMED, str(error)) from None


_RAW = json.Decoder(Raw)
_LONG, _PIECE = 1 << 18, 1 << 16
"""Characters of a table that is read in pieces, and of one."""


async def _open_inference(
    engine: Engine, request: Request, model: str, variant: str, id: str, demands: Mapping[str, Any]
) -> tuple[Answer, Response]:
    call, wanted = bodies.call_of(request, model)
    call.variant = variant
    if demands:
        call.parameters = {**demands, **call.parameters}
    call.id = call.id or id
    answer = await engine.infer(call)
    return answer, bodies.response_of(answer, wanted)


def _is_open_inference(body: _Body) -> bool:
    if not bytes(body.inputs).startswith(b"["):
        return False
    try:
        return bool(_TENSORS.decode(body.inputs))
    except ValueError:
        return False


def _from_object(body: _Body, signature: Signature) -> Tensors:
    forms = ("dataframe_split", "dataframe_records", "instances", "inputs")
    given = [name for name in forms if getattr(body, name)]
    if len(given) != 1:
        raise Misuse(
            f"the body has {' and '.join(given) or 'nothing to predict for'}",
            fix=f"Give one of {', '.join(forms)}.",
        )
    if body.dataframe_split:
        return records.inputs_of_table(body.dataframe_split.columns, body.dataframe_split.data, signature)
    if body.dataframe_records:
        return records.inputs_of_instances(body.dataframe_records, signature)
    if body.instances:
        return records.inputs_of_instances(body.instances, signature)
    return records.inputs_of_columns(body.inputs, signature)


def _from_csv(body: bytes, options: dict[str, str], signature: Signature) -> Tensors:
    if options.get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise Misuse("is not in UTF-8", source="the body of CSV")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Misuse("is not in UTF-8", source="the body of CSV") from None
    said = options.get("header", "").lower()
    if len(text) > _LONG and signature.batched and '"' not in text:
        pieced = _from_long_csv(text, said, signature)
        if pieced is not None:
            return pieced
    try:
        rows = _rows(text)
    except csv.Error as error:
        raise Misuse(str(error), source="the body of CSV") from None
    if not rows:
        raise Misuse("has no rows", source="the body of CSV")
    if said == "present" or (said != "absent" and _is_header(rows[0], signature)):
        return records.inputs_of_text([name.strip() for name in rows[0]], rows[1:], signature)
    return records.inputs_of_text(None, rows, signature)


def _rows(text: str) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]


def _from_long_csv(text: str, header: str, signature: Signature) -> Tensors | None:
    """A long table without quotation marks, piece by piece: millions of texts at once would stop all threads
    for seconds. None where it cannot be read so, and is to be read, or refused, as a whole."""
    names: list[str] | None = None
    parts: list[Tensors] = []
    at, first = 0, True
    try:
        while at < len(text):
            cut = text.find("\n", at + _PIECE) + 1 or len(text)
            rows = _rows(text[at:cut])
            at = cut
            if rows and first:
                first = False
                if header == "present" or (header != "absent" and _is_header(rows[0], signature)):
                    names = [name.strip() for name in rows.pop(0)]
            if rows:
                parts.append(records.inputs_of_text(names, rows, signature))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else None
    except (csv.Error, Misuse, ValueError):
        return None


def _is_header(cells: list[str], signature: Signature) -> bool:
    names = {spec.name for spec in signature.inputs}
    if names <= {cell.strip() for cell in cells}:
        return True
    if any(spec.datatype in ("BYTES", "BOOL") for spec in signature.inputs):
        return False
    return not any(_is_number(cell) for cell in cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True


def _from_npy(body: bytes) -> NDArray[Any]:
    """The array in a .npy file. Read by its header alone: nothing is unpickled, nor allocated on its word."""
    length, start = (2, 10) if body[6:7] == b"\1" else (4, 12)
    end = start + int.from_bytes(body[8 : 8 + length], "little")
    text = body[start:end]
    try:
        if body[:6] != npy.MAGIC_PREFIX or body[6:7] not in (b"\1", b"\2", b"\3") or end > len(body):
            raise ValueError("it does not begin as one")
        if len(text) > _HEADER_AT_MOST or b"\\" in text:
            raise ValueError("its header is none of NumPy's")
        header = msgspec.convert(ast.literal_eval(text.decode().strip()), _Header)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise Misuse(f"it is no array in NumPy's format: {str(error)[:200]}", source="the body") from None
    if not _DESCRIPTION.fullmatch(header.descr):
        raise Misuse(
            f"an array of {header.descr[:40]!r} is not taken", source="the body", fix="Send numbers or texts."
        )
    try:
        dtype = np.dtype(header.descr)
    except (TypeError, ValueError):
        raise Misuse(f"{header.descr!r} is no datatype of NumPy", source="the body") from None
    shape = header.shape
    data = memoryview(body)[end:]
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(data):
        raise Misuse(
            f"{dtype.name} of shape {list(shape)} does not take {len(data)} bytes", source="the body"
        )
    if not dtype.itemsize:
        raise Misuse("it holds empty texts only", source="the body")
    if dtype.kind == "b" and data and max(data) > 1:
        raise Misuse("a boolean is the byte 0 or 1", source="the body")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if header.fortran_order else "C")
    native = array.astype(dtype.newbyteorder("="), copy=not array.flags.aligned)
    return np.ascontiguousarray(native) if array.ndim else native


def _response(outputs: Tensors, wanted: str, bare: bool) -> Response:
    if wanted == JSON:
        predictions = records.predictions_of(outputs)
        return Response(200, tensor_json.encode(predictions if bare else {"predictions": predictions}))
    if wanted == NPY:
        if len(outputs) != 1:
            raise Misuse(
                f"the model has {len(outputs)} outputs, and {NPY} holds one array", fix="Accept JSON."
            )
        (array,) = outputs.values()
        if array.dtype.hasobject:
            raise Misuse(f"the model gives texts, which {NPY} holds no way to send", fix="Accept JSON.")
        stream = io.BytesIO()
        npy.write_array(stream, array, allow_pickle=False)
        return Response(200, stream.getvalue(), NPY)
    if wanted == LINES:
        lengths = {array.shape[0] if array.ndim else -1 for array in outputs.values()}
        if len(lengths) != 1 or -1 in lengths:
            raise Misuse("the outputs have no common number of rows", fix="Accept JSON.")
        columns = {name: records.predictions_of({name: array}) for name, array in outputs.items()}
        rows = zip(*columns.values(), strict=True)
        lines = [tensor_json.encode(dict(zip(columns, row, strict=True))) for row in rows]
        return Response(200, b"\n".join([*lines, b""]), LINES)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(records.rows_of(outputs))
    return Response(200, text.getvalue().encode(), CSV)


def _accepted(accept: str) -> str:
    """The type that the caller would have, among those that there are."""
    if not accept:
        return JSON
    best, chosen = 0.0, ""
    for part in accept.split(","):
        type_, options = _media_type(part)
        try:
            quality = float(options.get("q", "1"))
        except ValueError:
            quality = 0.0
        found = (
            JSON if type_ in ("*/*", "application/*") else CSV if type_ == "text/*" else _TYPES.get(type_, "")
        )
        if found and quality > best:
            best, chosen = quality, found
    if not chosen:
        known = ", ".join([*dict.fromkeys(_TYPES.values())])
        raise Unanswerable(406, f"{accept[:100]!r} cannot be given; accept one of {known}")
    return chosen


def _media_type(text: str) -> tuple[str, dict[str, str]]:
    type_, *options = text.split(";")
    pairs = (option.partition("=") for option in options)
    return type_.strip().lower(), {
        name.strip().lower(): value.strip().strip('"') for name, _, value in pairs if name.strip()
    }
