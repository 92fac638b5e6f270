"""Bodies of `infer`: whatever goes in comes out, in JSON and in binary."""

import json

import hypothesis.extra.numpy as numpy_strategies
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.serving.calls import Answer, Refusal
from tradewind.serving.server.http import open_inference_bodies as bodies
from tradewind.serving.server.http.messages import Request
from tradewind.serving.tensor_bytes import encode
from tradewind.serving.tensor_json import encode as encode_json
from tradewind.serving.tensor_json import values_of
from tradewind.serving.tensors import DTYPES, TensorSpec

_NAMES = st.sampled_from(list(DTYPES))
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@st.composite
def _tensors(draw):
    found = {}
    for index in range(draw(st.integers(1, 3))):
        datatype = draw(_NAMES)
        shape = draw(numpy_strategies.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
        if datatype == "BYTES":
            array = np.empty(int(np.prod(shape)), object)
            array[:] = [draw(_TEXTS).encode() for _ in array]
            found[f"t{index}"] = array.reshape(shape)
        else:
            found[f"t{index}"] = draw(numpy_strategies.arrays(DTYPES[datatype], shape))
    return found


def _body(tensors, binary):
    inputs, tail = [], b""
    for (name, array), packed in zip(tensors.items(), binary, strict=False):
        datatype = (
            "BYTES" if array.dtype == object else next(n for n, d in DTYPES.items() if d == array.dtype)
        )
        tensor = {"name": name, "shape": list(array.shape), "datatype": datatype}
        if packed:
            piece = encode(array)
            tail += piece
            tensor["parameters"] = {"binary_data_size": len(piece)}
        else:
            tensor["data"] = values_of(array)
        inputs.append(tensor)
    header = encode_json({"id": "7", "inputs": inputs})
    headers = {"inference-header-content-length": str(len(header))} if tail else {}
    return Request("POST", "/", "", headers, header + tail, 0.0)


@settings(max_examples=40, deadline=None)
@given(tensors=_tensors(), binary=st.lists(st.booleans(), min_size=3, max_size=3))
def test_what_goes_in_comes_out(tensors, binary):
    call, _ = bodies.call_of(_body(tensors, binary), "m", "2")
    assert (call.model, call.version, call.id) == ("m", "2", "7") and call.inputs.keys() == tensors.keys()
    for name, array in tensors.items():
        assert call.inputs[name].shape == array.shape and call.inputs[name].dtype == array.dtype
        np.testing.assert_array_equal(call.inputs[name], array)

    wanted = bodies.Wanted(binary[0], {"t1": binary[1]})
    response = bodies.response_of(Answer("m", "2", "7", tensors), wanted)
    header, *pieces = response.body if isinstance(response.body, list) else [response.body]
    said = json.loads(header)
    back, tail, at = {}, b"".join(pieces), 0
    for output in said["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        tensor = {**output, "name": output["name"]}
        assert (size is not None) == wanted.each.get(output["name"], wanted.binary)
        # Read by the other direction, which the tests of tritonclient check against a reader of its own.
        body = encode_json({"inputs": [tensor]})
        headers = {} if size is None else {"inference-header-content-length": str(len(body))}
        piece = b"" if size is None else tail[at : at + size]
        at += size or 0
        read, _ = bodies.call_of(Request("POST", "/", "", headers, body + piece, 0.0), "m")
        back.update(read.inputs)
    assert at == len(tail)
    for name, array in tensors.items():
        np.testing.assert_array_equal(back[name], array)


def test_large_tensors_are_not_copied():
    array = np.arange(1 << 16, dtype=np.float32)
    header = json.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "shape": [1 << 16],
                    "datatype": "FP32",
                    "parameters": {"binary_data_size": 1 << 18},
                }
            ]
        }
    ).encode()
    header += b" " * (-len(header) % 8)  # as aligned as the body is
    body = header + array.tobytes()
    request = Request("POST", "/", "", {"inference-header-content-length": str(len(header))}, body, 0.0)
    found = bodies.call_of(request, "m")[0].inputs["x"]
    np.testing.assert_array_equal(found, array)
    assert np.shares_memory(found, np.frombuffer(body, np.uint8))


@pytest.mark.parametrize(
    "array", [np.array([3, 3, 1, 9], np.int32), np.array([3.0, 3.0, 1.0, 9.0], np.float16)]
)
def test_classes_of_equal_value_come_by_index(array):
    response = bodies.response_of(Answer("m", "", "", {"x": array}), bodies.Wanted(False, {}, {"x": 3}))
    (output,) = json.loads(response.body)["outputs"]
    assert output["data"] == ["9.000000:3", "3.000000:0", "3.000000:1"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [3])


def test_a_raw_body_takes_the_open_dimension_from_its_size():
    request = Request("POST", "/", "", {"inference-header-content-length": "0"}, bytes(48), 0.0)
    for shape, expected in (((-1, 4), (3, 4)), ((2, -1), (2, 6)), ((-1, -1), (1, 12)), ((12,), (12,))):
        call, wanted = bodies.call_of(request, "m", raw=TensorSpec("x", "FP32", shape))
        assert call.inputs["x"].shape == expected and wanted.binary
    with pytest.raises(Refusal, match="takes 20 bytes, not 48"):
        bodies.call_of(request, "m", raw=TensorSpec("x", "FP32", (-1, 5)))
