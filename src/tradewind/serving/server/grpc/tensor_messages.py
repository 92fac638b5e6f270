"""Requests for inference as calls, and answers as responses.

Open Inference Protocol v2, "GRPC", with Triton's extensions for parameters and classification. A request
brings its tensors as raw contents or as typed contents, never both; the response has them in the same way,
but raw where an output is FP16, which has no typed contents. Of the parameters that Triton reserves `timeout`
sets the deadline, `priority` has no effect (batches are cut by deadline), a sequence is refused, since no
model here keeps state between requests. What is left goes to the model.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.errors import Misuse
from tradewind.serving import tensor_bytes
from tradewind.serving.calls import Answer, Call, Refusal, RefusalKind
from tradewind.serving.classification import classified
from tradewind.serving.server.grpc.messages import Messages
from tradewind.serving.tensors import DTYPES, Tensors, datatype_of

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where the typed contents of each datatype stand."""
_WIDE = {"int_contents": np.dtype(np.int32), "uint_contents": np.dtype(np.uint32)}
"""As what they arrive where narrower datatypes share a field."""
_DATATYPES = {dtype: name for name, dtype in DTYPES.items()}
_RESERVED = frozenset(("timeout", "priority", "sequence_id", "sequence_start", "sequence_end"))


class Wanted(Struct, gc=False):
    """How the caller wants the outputs."""

    typed: bool = False
    """Whether as typed contents; raw ones if not."""
    classes: dict[str, int] = {}
    """By output: how many of its highest values are wanted, as texts, instead of the output."""


_RAW = Wanted()


class TensorMessages:
    """Translates between the messages of inference and calls."""

    def __init__(self, messages: Messages) -> None:
        self._response = messages["inference.ModelInferResponse"]
        self._output = messages["inference.ModelInferResponse.InferOutputTensor"]
        self._contents = messages["inference.InferTensorContents"]

    def call_of(self, request: Any, now: float, left: float | None) -> tuple[Call, Wanted]:
        """The call that a ModelInferRequest makes, and how its answer is wanted.

        `left` is how many seconds after `now` the caller waits, None if for ever. Raises Refusal, MALFORMED.
        """
        try:
            inputs, typed = _inputs(request)
            names: tuple[str, ...] = ()
            wanted = Wanted(True) if typed else _RAW
            if request.outputs:
                names, classes = _outputs(request.outputs)
                wanted = Wanted(typed, classes)
            parameters: dict[str, Any] = {}
            if request.parameters:
                parameters, seconds = _parameters(request.parameters)
                left = seconds if left is None else min(left, seconds)
        except Misuse as error:
            raise Refusal(RefusalKind.MALFORMED, str(error)) from None
        deadline = None if left is None or left == math.inf else now + left
        call = Call(
            request.model_name, inputs, request.model_version, request.id, names, deadline, "", parameters
        )
        return call, wanted

    def response_of(self, answer: Answer, wanted: Wanted) -> Any:
        """The ModelInferResponse with an answer. Raises Refusal, MALFORMED, for what cannot be classified."""
        outputs: list[Any] = []
        arrays: list[NDArray[Any]] = []
        typed = wanted.typed
        for name, array in answer.outputs.items():
            if wanted.classes and name in wanted.classes:
                try:
                    array = classified(array, wanted.classes[name])
                except Misuse as error:
                    raise Refusal(RefusalKind.MALFORMED, f"output {name!r}: {error}") from None
            datatype = _DATATYPES.get(array.dtype) or datatype_of(array)
            typed = typed and datatype in _CONTENTS
            outputs.append(self._output(name=name, datatype=datatype, shape=array.shape))
            arrays.append(array)
        response = self._response(
            model_name=answer.model, model_version=answer.version, id=answer.id, outputs=outputs
        )
        if answer.variant:
            response.parameters["variant"].string_param = answer.variant
        if typed:
            for output, array in zip(response.outputs, arrays, strict=True):
                values = _texts(array) if output.datatype == "BYTES" else array.ravel().tolist()
                output.contents.CopyFrom(self._contents(**{_CONTENTS[output.datatype]: values}))
        else:
            response.raw_output_contents.extend([tensor_bytes.encode(array) for array in arrays])
        return response


def _inputs(request: Any) -> tuple[Tensors, bool]:
    """The tensors, and whether they came as typed contents."""
    tensors, raw = request.inputs, request.raw_input_contents
    found: Tensors = {}
    if raw and len(raw) != len(tensors):
        raise Misuse(f"{len(tensors)} inputs have {len(raw)} raw contents", field="raw_input_contents")
    for index, tensor in enumerate(tensors):
        name = tensor.name
        if name in found:
            raise Misuse(f"input {name!r} is given twice", field="inputs")
        try:
            if tensor.parameters and "shared_memory_region" in tensor.parameters:
                raise Misuse("this server reads no shared memory", fix="Send the data with the request.")
            if not raw:
                found[name] = _array(tensor)
            elif tensor.HasField("contents"):
                raise Misuse("raw and typed contents are mixed in one request")
            else:
                found[name] = tensor_bytes.decode(raw[index], tensor.datatype, tuple(tensor.shape))
        except Misuse as error:
            raise Misuse(f"input {name!r}: {error}") from None
    return found, not raw


def _array(tensor: Any) -> NDArray[Any]:
    datatype, shape = tensor.datatype, tuple(tensor.shape)
    field = _CONTENTS.get(datatype)
    if field is None:
        if datatype in DTYPES:
            raise Misuse(f"{datatype} has no typed contents", fix="Send it in raw_input_contents.")
        raise Misuse(f"{datatype!r} is no datatype", field="datatype", fix=f"Use one of {', '.join(DTYPES)}.")
    if min(shape, default=0) < 0:
        raise Misuse(f"{list(shape)} has a negative dimension", field="shape")
    filled = [descriptor.name for descriptor, _ in tensor.contents.ListFields()]
    if filled and filled != [field]:
        raise Misuse(f"{datatype} belongs into {field} alone, not {', '.join(filled)}", field="contents")
    values = getattr(tensor.contents, field)
    count = math.prod(shape)
    if len(values) != count:
        raise Misuse(
            f"{datatype} of shape {list(shape)} takes {count} elements in {field}, not {len(values)}",
            field="contents",
        )
    dtype = DTYPES[datatype]
    if datatype == "BYTES":
        texts: NDArray[Any] = np.empty(len(values), object)
        texts[:] = values
        return tensor_bytes.shaped(texts, shape)
    array = np.fromiter(values, _WIDE.get(field, dtype), len(values))
    if array.dtype != dtype:
        bounds = np.iinfo(dtype)
        if array.size and not (bounds.min <= array.min() and array.max() <= bounds.max):
            raise Misuse(f"a value does not fit {datatype}", field=field)
        array = array.astype(dtype)
    return tensor_bytes.shaped(array, shape)


def _texts(array: NDArray[Any]) -> list[bytes]:
    return [element.encode() if isinstance(element, str) else element for element in array.ravel().tolist()]


def _outputs(asked: Any) -> tuple[tuple[str, ...], dict[str, int]]:
    classes: dict[str, int] = {}
    for output in asked:
        for name, parameter in output.parameters.items():
            if name == "shared_memory_region":
                raise Misuse(
                    "this server writes no shared memory",
                    source=f"output {output.name!r}",
                    fix="Take the data with the response.",
                )
            if name == "classification":
                count = _value(parameter)
                if type(count) is not int or count < 1:
                    raise Misuse("give how many classes", source=f"output {output.name!r}", field=name)
                classes[output.name] = count
    names = tuple([output.name for output in asked])
    if len(set(names)) != len(names):
        raise Misuse("an output is asked for twice", field="outputs")
    return names, classes


def _parameters(given: Any) -> tuple[dict[str, Any], float]:
    """The model's own parameters, and how many seconds the caller waits; infinity if it does not say."""
    own = {name: _value(parameter) for name, parameter in given.items()}
    if own.get("sequence_id"):
        raise Misuse(
            "models here keep nothing between requests",
            field="sequence_id",
            fix="Send each request whole, without a sequence.",
        )
    timeout = own.get("timeout", 0)
    if type(timeout) is not int or timeout < 0:
        raise Misuse("give microseconds, as a whole number", field="timeout")
    own = {
        name: value for name, value in own.items() if name not in _RESERVED and not name.startswith("triton_")
    }
    return own, timeout * 1e-6 if timeout else math.inf


def _value(parameter: Any) -> Any:
    chosen = parameter.WhichOneof("parameter_choice")
    return None if chosen is None else getattr(parameter, chosen)
