"""Tensors as JSON."""

import json

import hypothesis.extra.numpy as numpy_strategies
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.serving import tensor_json
from tradewind.serving.tensors import DTYPES

_NUMERIC = [name for name in DTYPES if name != "BYTES"]


@pytest.mark.parametrize("datatype", _NUMERIC)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_numbers_come_back_whole_flat_and_nested(datatype, data):
    shape = data.draw(numpy_strategies.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    array = data.draw(numpy_strategies.arrays(DTYPES[datatype], shape))

    flat = tensor_json.encode(tensor_json.values_of(array))
    json.loads(flat, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    back = tensor_json.array_of(flat, datatype, shape)
    assert back.dtype == array.dtype and back.shape == array.shape
    np.testing.assert_array_equal(back, array)

    nested = tensor_json.encode(tensor_json.nested_values_of(array))
    if 0 not in shape:
        np.testing.assert_array_equal(tensor_json.array_of(nested, datatype, shape), array)
        np.testing.assert_array_equal(tensor_json.nested_array_of(nested, datatype), array)


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(st.text(), min_size=6, max_size=6))
def test_texts_come_back_whole(texts):
    array = np.empty(6, object)
    array[:] = [text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode() for text in texts]
    array = array.reshape(2, 3)
    for values in (tensor_json.values_of(array), tensor_json.nested_values_of(array)):
        back = tensor_json.array_of(tensor_json.encode(values), "BYTES", (2, 3))
        assert back.tolist() == array.tolist()


def test_special_numbers_are_read_in_every_spelling():
    found = tensor_json.array_of(b'["NaN", null, "Infinity", "-Infinity", 1]', "FP32", [5])
    np.testing.assert_array_equal(found, np.array([np.nan, np.nan, np.inf, -np.inf, 1], np.float32))
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    body = b'{"a": [NaN, -Infinity, Infinity], "b": ["not NaN", "\\"Infinity"]}'
    read = tensor_json.decode(body, decoder)
    np.testing.assert_array_equal(
        tensor_json.array_of(read["a"], "FP64", [3]), np.array([np.nan, -np.inf, np.inf])
    )
    assert tensor_json.array_of(read["b"], "BYTES", [2]).tolist() == [b"not NaN", b'"Infinity']


def test_special_numbers_are_written_as_texts():
    written = tensor_json.encode({"x": [1.0, float("nan")], "y": [[float("inf")], -float("inf")], "z": None})
    assert json.loads(written) == {"x": [1.0, "NaN"], "y": [["Infinity"], "-Infinity"], "z": None}


@pytest.mark.parametrize(
    ("data", "datatype", "shape", "said"),
    [
        (b"[1,2,3]", "FP32", [2], "3 values; shape [2] takes 2"),
        (b"[1,2]", "FP99", [2], "'FP99' is no datatype. Use one of BOOL"),
        (b"[1,2]", "FP32", [-2], "no shape"),
        (b"[1,2]", "FP32", [1] * 33, "no shape"),
        (b'[1,"a"]', "FP32", [2], "not a number of FP32"),
        (b"[1.5]", "INT32", [1], "1.5 is not an integer of INT32"),
        (b"[true]", "INT8", [1], "not an integer of INT8"),
        (b"[1]", "BOOL", [1], "not true or false of BOOL"),
        (b"[1]", "BYTES", [1], "not a text of BYTES"),
        (b"[300]", "UINT8", [1], "beyond the range of uint8"),
        (b"[-1]", "UINT64", [1], "beyond the range of uint64"),
        (b"[99999999999999999999999999]", "INT64", [1], "beyond the range of int64"),
        (b"[1e39]", "FP32", [1], "beyond the range of float32"),
        (b"[70000]", "FP16", [1], "beyond the range of float16"),
        (b"[[1,2],[3]]", "FP32", [2, 2], "unequal lengths"),
        (b'[["a"],["b","c"]]', "BYTES", [2, 2], "unequal lengths"),
        (b"[[1,2],[3,4]]", "FP32", [1, 4], "nested as shape [2, 2], not as the [1, 4] given"),
        (b"[" * 40 + b"]" * 40, "FP32", [1], "nested 33 deep"),
        (b'"x"', "FP32", [1], "not a number"),
        (b"{}", "FP32", [1], "not a number"),
        (b'["\xff"]', "BYTES", [1], "not a text of BYTES"),
    ],
)
def test_what_does_not_fit_is_said_clearly(data, datatype, shape, said):
    with pytest.raises(Misuse) as found:
        tensor_json.array_of(data, datatype, shape)
    assert said in str(found.value)


def test_bytes_that_are_no_text_cannot_be_written():
    array = np.array([b"\xff\xfe"], object)
    with pytest.raises(Misuse, match="UTF-8"):
        tensor_json.values_of(array)


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"a": [1, }', b"\xff\xfe{}", b'{"a": NaN', b'{"a":' + b"[" * 100_000]
)
def test_what_is_no_json_is_one_clear_error(body):
    with pytest.raises(Misuse, match="the body is"):
        tensor_json.decode(body, msgspec.json.Decoder(dict[str, msgspec.Raw]))


def test_a_number_without_a_fraction_is_an_integer_however_it_is_written():
    for data in (b"[1.0, 2e3, -0]", b"[[1], [2000.0], [0]]"):
        found = tensor_json.array_of(data, "INT16", [3, 1])
        assert found.dtype == np.int16 and found.ravel().tolist() == [1, 2000, 0]


@pytest.mark.parametrize(
    ("datatype", "text"), [("FP32", "0.125"), ("INT64", "-12"), ("BOOL", "true"), ("FP64", '"NaN"')]
)
@pytest.mark.parametrize("between", [",", " , "])
def test_a_long_list_is_read_in_pieces_to_the_same_numbers(datatype, text, between):
    count = 100_001
    long = f"[{between.join([text] * count)}]".encode()
    assert len(long) > tensor_json._LONG
    found = tensor_json.array_of(long, datatype, [count, 1])
    short = tensor_json.array_of(f"[{text}]".encode(), datatype, [1])
    assert found.shape == (count, 1) and found.dtype == short.dtype
    np.testing.assert_array_equal(found[:, 0], np.repeat(short, count))
    for wrong, shape in (
        (long[:-1] + b",]", [count]), (long[:-1] + b", ]", [count]), (long, [count + 1]), (long, [count - 1]),
        (long[:-1] + b",[1]]", [count + 1]), (long[:-1], [count]), (long[:-1] + b",,1]", [count + 1]),
    ):  # fmt: skip
        with pytest.raises(Misuse):
            tensor_json.array_of(wrong, datatype, shape)
