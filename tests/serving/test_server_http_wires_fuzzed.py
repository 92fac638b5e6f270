"""Every wire, given bodies that are nearly right: an answer or a refusal, and never anything unexpected."""

import io
import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served_wires import ask, routes_of
from small_engine import SmallEngine

_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "25"))
_ROUTES = routes_of(SmallEngine())
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, -(2**63), 2**80, 1e308, -0.0, "NaN", "Infinity", "é", "", "FP32", "BYTES"])
    | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
_TENSOR = {"name": "in_it", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 1]}
_OUTPUT = {"name": "out_it", "parameters": {}}
_INFER = {"id": "x", "parameters": {"timeout": 5}, "inputs": [_TENSOR], "outputs": [_OUTPUT]}
_TARGETS = {
    "/v2/models/same_FP32/infer": _INFER,
    "/v2/models/same_BYTES/infer": {"inputs": [{**_TENSOR, "datatype": "BYTES", "data": ["a", "b"]}]},
    "/v2/repository/index": {"ready": True},
    "/v2/repository/models/linear/load": {"parameters": {"config": "{}"}},
    "/v2/logging": {},
    "/v1/models/columns:predict": {"instances": [{"height": 1.5, "count": 2}], "parameters": {}},
    "/v1/models/texts:predict": {"inputs": [{"b64": "AAEC"}, "x"]},
    "/models/columns/invoke": {"dataframe_split": {"columns": ["height", "count"], "data": [[1, 2]]}},
    "/models/same_FP32/invoke": {"inputs": [_TENSOR]},
    "/endpoints/columns/invocations": {"dataframe_records": [{"height": 1.5, "count": 2}]},
}  # fmt: skip


def _places(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from _places(value[key], (*path, key))


def _with(value, path, put):
    if not path:
        return put
    copy = value.copy()
    copy[path[0]] = _with(copy[path[0]], path[1:], put)
    return copy


def _check(response):
    assert response.status in (200, 400, 404, 406, 415, 424), (response.status, response.body)
    if response.status != 200:
        said = json.loads(response.body)
        assert any(said.get(key) for key in ("error", "message", "Message"))


@pytest.mark.parametrize("target", _TARGETS)
@settings(max_examples=_EXAMPLES, deadline=None)
@given(data=st.data())
def test_json_with_one_value_changed(target, data):
    body = _TARGETS[target]
    path = data.draw(st.sampled_from(list(_places(body))))
    _check(ask(_ROUTES, "POST", target, json.dumps(_with(body, path, data.draw(_VALUES))).encode()))


def _npy():
    stream = io.BytesIO()
    np.save(stream, np.ones((2, 64), np.float32))
    return stream.getvalue()


_HEADER = json.dumps({"inputs": [{**_TENSOR, "parameters": {"binary_data_size": 8}}]}).encode()
_BYTES = (
    ("/v2/models/same_FP32/infer", {}, json.dumps(_INFER).encode()),
    (
        "/v2/models/same_FP32/infer",
        {"Inference_Header_Content_Length": str(len(_HEADER))},
        _HEADER + bytes(8),
    ),
    ("/models/linear/invoke", {"Content_Type": "application/x-npy"}, _npy()),
    ("/models/columns/invoke", {"Content_Type": "text/csv"}, b'height,count\n1.5,2\n"3",4\n'),
    ("/models/columns/invoke", {"Content_Type": "application/jsonlines"}, b'{"height": 1, "count": 2}\n' * 2),
)


@pytest.mark.parametrize("index", range(len(_BYTES)))
@settings(max_examples=_EXAMPLES, deadline=None)
@given(data=st.data())
def test_bytes_cut_doubled_and_changed(index, data):
    target, headers, body = _BYTES[index]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        kept = data.draw(st.integers(0, 8))
        body = body[:at] + data.draw(st.binary(max_size=3)) + body[at + kept :]
    _check(ask(_ROUTES, "POST", target, body, **headers))


@pytest.mark.parametrize("shape", [[0, 2**70], [0, 2**40, 2**40], [2**62, 0], [1] * 65, [2**31, 2**31], []])
@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
@pytest.mark.parametrize("binary", [True, False])
def test_shapes_beyond_all_bounds(shape, datatype, binary):
    tensor = {"name": "in_it", "shape": shape, "datatype": datatype}
    tensor |= {"parameters": {"binary_data_size": 0}} if binary else {"data": []}
    response = ask(_ROUTES, "POST", "/v2/models/same_FP32/infer", json.dumps({"inputs": [tensor]}).encode())
    assert response.status == 400 and json.loads(response.body)["error"]
