import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_stage import ROWS, SERVICE, running, tensor
from tritonclient.grpc import service_pb2 as published
from tritonclient.utils import InferenceServerException

from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.server.grpc.messages import open_messages
from tradewind.serving.server.grpc.tensor_messages import TensorMessages
from tradewind.serving.tensors import DTYPES


@pytest.fixture(scope="module")
def server():
    with running() as it:
        yield it


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server.address) as it:
        yield it


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.address) as it:
        yield it


VALUES = {
    "BOOL": [True, False, True, True],
    "UINT8": [0, 1, 254, 255],
    "UINT16": [0, 1, 2, 65535],
    "UINT32": [0, 1, 2, 2**32 - 1],
    "UINT64": [0, 1, 2, 2**64 - 1],
    "INT8": [-128, -1, 0, 127],
    "INT16": [-32768, -1, 0, 32767],
    "INT32": [-(2**31), -1, 0, 2**31 - 1],
    "INT64": [-(2**63), -1, 0, 2**63 - 1],
    "FP16": [0.5, -65504, np.inf, np.nan],
    "FP32": [0.1, -3.4e38, np.inf, np.nan],
    "FP64": [0.1, -1.7e308, -np.inf, np.nan],
    "BYTES": [b"", b"a\x00", "ü".encode(), b"\xff" * 300],
}

FIELDS = {
    "BOOL": "bool",
    "INT64": "int64",
    "UINT64": "uint64",
    "FP32": "fp32",
    "FP64": "fp64",
    "BYTES": "bytes",
}


def test_every_datatype_comes_back_as_it_went(client):
    assert VALUES.keys() == DTYPES.keys()
    arrays = {name: np.array(values, DTYPES[name]).reshape(2, 2) for name, values in VALUES.items()}
    for empty in ("FP32", "BYTES", "BOOL"):
        arrays[f"no {empty}"] = np.empty((0, 3), DTYPES[empty])
    found = client.infer("identity", [tensor(name, array) for name, array in arrays.items()])
    for name, array in arrays.items():
        back = found.as_numpy(name)
        assert back.dtype == array.dtype and back.shape == array.shape
        np.testing.assert_array_equal(back, array)


def contents(field, values):
    return published.InferTensorContents(**{field: values})


def field_of(datatype):
    return FIELDS.get(datatype, "uint" if datatype[0] == "U" else "int") + "_contents"


@pytest.fixture
def infer(channel):
    return channel.unary_unary(
        SERVICE + "ModelInfer",
        published.ModelInferRequest.SerializeToString,
        published.ModelInferResponse.FromString,
    )


def test_typed_contents_are_answered_by_typed_contents(infer, server):
    request = published.ModelInferRequest(model_name="identity")
    typed = {name: values for name, values in VALUES.items() if name != "FP16"}
    for name, values in typed.items():
        added = request.inputs.add(name=name, datatype=name, shape=[2, 2])
        added.contents.CopyFrom(contents(field_of(name), values))
    response = infer(request)
    for name, array in server.engine.calls[-1].inputs.items():
        np.testing.assert_array_equal(array, np.array(VALUES[name], DTYPES[name]).reshape(2, 2))
        assert array.dtype == DTYPES[name]
    assert not response.raw_output_contents
    for output in response.outputs:
        assert list(output.shape) == [2, 2]
        assert output.contents == contents(field_of(output.name), typed[output.name])


def test_classification(client):
    wanted = [triton.InferRequestedOutput("x", class_count=2)]
    rows = np.array([[0.25, 3, 1], [2, -1, 2]], np.float32)
    found = client.infer("identity", [tensor("x", rows)], outputs=wanted)
    assert found.as_numpy("x").tolist() == [
        [b"3.000000:1", b"1.000000:2"],
        [b"2.000000:0", b"2.000000:2"],
    ]
    texts = tensor("x", np.array([b"a"], object))
    with pytest.raises(InferenceServerException, match="BYTES have no highest"):
        client.infer("identity", [texts], outputs=wanted)


REFUSED = {
    "two raw contents for one input": (
        {"raw": [b"\0" * 4, b""], "shape": [1]},
        "1 inputs have 2 raw contents",
    ),
    "too few bytes": ({"raw": [b"\0" * 5], "shape": [2]}, "takes 8 bytes, not 5"),
    "too many bytes": ({"raw": [b"\0" * 12], "shape": [2]}, "takes 8 bytes, not 12"),
    "a negative dimension": ({"raw": [b""], "shape": [-1, 0]}, "negative dimension"),
    "an unknown datatype": ({"raw": [b"\0" * 4], "shape": [1], "datatype": "FP31"}, "'FP31' is no datatype"),
    "an unknown datatype, typed": ({"shape": [1], "datatype": "BF16"}, "'BF16' is no datatype"),
    "a BOOL that is 2": ({"raw": [b"\2"], "shape": [1], "datatype": "BOOL"}, "byte 0 or 1"),
    "texts that end early": (
        {"raw": [b"\5\0\0\0abc"], "shape": [1], "datatype": "BYTES"},
        "3 bytes of the 5 promised",
    ),
    "more texts than bytes": ({"raw": [b"\0" * 8], "shape": [2**40], "datatype": "BYTES"}, "at least, not 8"),
    "a shape beyond any memory": ({"raw": [b""], "shape": [0, 2**62, 2**62]}, "no array has the shape"),
    "raw and typed": (
        {"raw": [b"\0" * 4], "shape": [1], "contents": contents("fp32_contents", [1])},
        "raw and typed contents are mixed",
    ),
    "typed in another field": (
        {"shape": [1], "contents": contents("fp64_contents", [1])},
        "belongs into fp32_contents alone, not fp64_contents",
    ),
    "typed in two fields": (
        {"shape": [1], "contents": published.InferTensorContents(fp32_contents=[1], int_contents=[1])},
        "not int_contents, fp32_contents",
    ),
    "too few elements": (
        {"shape": [2], "contents": contents("fp32_contents", [1])},
        "takes 2 elements in fp32_contents, not 1",
    ),
    "an INT8 of 128": (
        {"shape": [1], "datatype": "INT8", "contents": contents("int_contents", [128])},
        "does not fit INT8",
    ),
    "typed FP16": ({"shape": [1], "datatype": "FP16"}, "FP16 has no typed contents"),
    "shared memory": ({"shape": [1], "parameters": {"shared_memory_region": "a"}}, "no shared memory"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_malformed_tensors_are_refused_clearly(infer, name):
    given, text = REFUSED[name]
    request = published.ModelInferRequest(model_name="identity", raw_input_contents=given.get("raw"))
    added = request.inputs.add(name="x", datatype=given.get("datatype", "FP32"), shape=given["shape"])
    if "contents" in given:
        added.contents.CopyFrom(given["contents"])
    for key, value in given.get("parameters", {}).items():
        added.parameters[key].string_param = value
    with pytest.raises(grpc.RpcError, match=text) as refusal:
        infer(request)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "input" in refusal.value.details() or name.startswith("two raw")


def test_mangled_requests_are_read_or_refused_and_nothing_else():
    request = published.ModelInferRequest(model_name="identity", id="7")
    for name, values in VALUES.items():
        if name != "FP16":
            added = request.inputs.add(name=name, datatype=name, shape=[2, 2])
            added.contents.CopyFrom(contents(field_of(name), values))
    request.outputs.add(name="x").parameters["classification"].int64_param = 2
    request.parameters["timeout"].int64_param = 5
    raw = published.ModelInferRequest(raw_input_contents=[b"\1\0\0\0a", b"\0" * 8, b"\1"])
    for name, datatype, shape in (("a", "BYTES", [1]), ("b", "FP64", [1]), ("c", "BOOL", [1, 1])):
        raw.inputs.add(name=name, datatype=datatype, shape=shape)
    messages = open_messages()
    parse, tensors = messages["inference.ModelInferRequest"].FromString, TensorMessages(messages)
    chance = np.random.default_rng(11)
    ends = {"read": 0, "refused": 0, "unreadable": 0}
    for _ in range(1500):
        mangled = bytearray((request if chance.random() < 0.5 else raw).SerializeToString())
        for place in chance.integers(0, len(mangled), chance.integers(1, 4)):
            mangled[place] = chance.integers(0, 256)
        try:
            call, _ = tensors.call_of(parse(bytes(mangled)), 0.0, None)
            assert sum(array.nbytes for array in call.inputs.values()) < 10_000
            ends["read"] += 1
        except Refusal as refusal:
            assert refusal.kind is RefusalKind.MALFORMED
            ends["refused"] += 1
        except messages.unreadable:
            ends["unreadable"] += 1
    assert min(ends.values()) > 50, ends


def test_other_malformed_requests_are_refused_clearly(client, channel):
    row = tensor("x", ROWS)
    for given, text in (
        ({"inputs": [row, row]}, "given twice"),
        ({"outputs": [triton.InferRequestedOutput("x")] * 2}, "asked for twice"),
        ({"sequence_id": 3}, "without a sequence"),
        ({"timeout": -1}, "whole number"),
    ):
        with pytest.raises(InferenceServerException, match=text) as refusal:
            client.infer("identity", **{"inputs": [row], **given})
        assert refusal.value.status() == "StatusCode.INVALID_ARGUMENT"
    shared = triton.InferRequestedOutput("x")
    shared.set_shared_memory("region", 8)
    with pytest.raises(InferenceServerException, match="writes no shared memory"):
        client.infer("identity", [row], outputs=[shared])
    with pytest.raises(InferenceServerException, match="no model 'nobody'") as refusal:
        client.infer("nobody", [row])
    assert refusal.value.status() == "StatusCode.NOT_FOUND"
    with pytest.raises(grpc.RpcError, match="no message of its method") as broken:
        channel.unary_unary(SERVICE + "ModelInfer")(b"\xff\xff\xff")
    assert broken.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as unknown:
        channel.unary_unary(SERVICE + "NoSuchMethod")(b"")
    assert unknown.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_parameters_reach_the_model_but_for_reserved_ones(client, server):
    client.infer(
        "identity",
        [tensor("x", ROWS)],
        priority=2,
        parameters={"k": 3, "name": "a", "share": 0.5, "on": True},
    )
    assert server.engine.calls[-1].parameters == {"k": 3, "name": "a", "share": 0.5, "on": True}
