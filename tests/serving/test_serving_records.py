"""Rows and named columns as a model's inputs, and outputs as rows."""

import json

import msgspec
import numpy as np
import pytest

from tradewind.errors import Misuse
from tradewind.serving import records
from tradewind.serving.tensors import Signature, TensorSpec


def _signature(*inputs, batched=True):
    return Signature(tuple(TensorSpec(*spec) for spec in inputs), (), batched)


_MATRIX = _signature(("x", "FP32", (-1, 3)))
_VECTOR = _signature(("x", "FP64", (-1,)))
_COLUMNS = _signature(("age", "INT64", (-1, 1)), ("name", "BYTES", (-1,)), ("height", "FP32", (-1,)))
_IMAGE = _signature(("x", "UINT8", (-1, 2, 2)))
_BYTES = _signature(("x", "BYTES", (-1,)))


_TWO_ROWS = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
_PEOPLE = {
    "age": np.array([[3], [4]]),
    "name": np.array([b"Ann", b"Bo"], object),
    "height": np.array([1.5, 2], np.float32),
}


def _json(value):
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("instances", "signature", "expected"),
    [
        ([[1, 2, 3], [4, 5, 6]], _MATRIX, {"x": _TWO_ROWS}),
        ([1, 2, 3], _MATRIX, {"x": np.array([[1, 2, 3]], np.float32)}),
        ([{"x": [1, 2, 3]}, {"x": [4, 5, 6]}], _MATRIX, {"x": _TWO_ROWS}),
        ([{"features": [1, 2, 3]}], _MATRIX, {"x": np.array([[1, 2, 3]], np.float32)}),
        ([{"b": 1, "a": 2, "c": 3}, {"a": 5, "b": 4, "c": 6}], _MATRIX, {"x": _TWO_ROWS}),
        ([1.5, 2], _VECTOR, {"x": np.array([1.5, 2])}),
        ([[1.5], [2]], _VECTOR, {"x": np.array([1.5, 2])}),
        ([[[1, 2], [3, 4]]], _IMAGE, {"x": np.array([[[1, 2], [3, 4]]], np.uint8)}),
        ([[1, 2, 3, 4]], _IMAGE, {"x": np.array([[[1, 2], [3, 4]]], np.uint8)}),
        (["a", "é"], _BYTES, {"x": np.array([b"a", "é".encode()], object)}),
        ([{"b64": "AAEC"}, "z"], _BYTES, {"x": np.array([b"\0\1\2", b"z"], object)}),
        ([{"b64": "AAEC"}], _BYTES, {"x": np.array([b"\0\1\2"], object)}),
        ([{"x": {"b64": "AAEC"}}], _BYTES, {"x": np.array([b"\0\1\2"], object)}),
        (
            [{"age": 3, "name": "Ann", "height": 1.5}, {"height": 2, "name": "Bo", "age": 4}],
            _COLUMNS,
            _PEOPLE,
        ),
        (
            [[3, "Ann", 1.5]],
            _COLUMNS,
            {name: column[:1] for name, column in _PEOPLE.items()},
        ),
    ],
)  # fmt: skip
def test_instances_become_inputs(instances, signature, expected):
    _same(records.inputs_of_instances(_json(instances), signature), expected)


@pytest.mark.parametrize(
    ("instances", "signature", "said"),
    [
        ({"x": 1}, _MATRIX, "give a list"),
        ([], _COLUMNS, "there are none"),
        ([[1, 2], [3]], _MATRIX, "unequal lengths"),
        ([[[[1]]]], _MATRIX, "3 dimensions|has 2 dimensions"),
        ([{"a": 1}, {"b": 1}], _MATRIX, "different keys"),
        ([{"age": 3, "name": "Ann"}], _COLUMNS, "column 'height' is missing"),
        ([{"age": 3, "name": "Ann", "hight": 1.5}], _COLUMNS, "no column 'hight'. Did you mean 'height'"),
        ([{"age": 3.5, "name": "Ann", "height": 1.5}], _COLUMNS, "input .age.: .*not an integer"),
        ([[3, "Ann"]], _COLUMNS, "row 0 has 2 values; the model has 3 inputs: age, name, height"),
        ([{"b64": "%%"}], _BYTES, "base64"),
        ([{"b64": 3}], _BYTES, "base64"),
        ([["a", "b"], ["c"]], _signature(("x", "BYTES", (-1, 2))), "unequal"),
        ([300, 1], _signature(("x", "UINT8", (-1,))), "range of uint8"),
        ([1, {"x": 2}], _MATRIX, "not a number"),
        ([{"x": 2}, 1], _MATRIX, "an object for each row"),
    ],
)
def test_instances_that_do_not_fit_are_said_clearly(instances, signature, said):
    with pytest.raises(Misuse, match=said):
        records.inputs_of_instances(_json(instances), signature)


def test_inputs_are_whole_arrays():
    _same(records.inputs_of_columns(b"[[1,2,3]]", _MATRIX), {"x": np.array([[1, 2, 3]], np.float32)})
    named = b'{"age": [[1],[2]], "height": [1,2], "name": ["a","b"]}'
    expected = {
        "age": np.array([[1], [2]]),
        "name": np.array([b"a", b"b"], object),
        "height": np.array([1, 2], np.float32),
    }
    _same(records.inputs_of_columns(named, _COLUMNS), expected)
    _same(
        records.inputs_of_columns(b'{"b64": "AAEC"}', _signature(("x", "BYTES", ()))),
        {"x": np.array(b"\0\1\2", object)},
    )
    for body, said in (
        (b"[1]", "3 inputs"),
        (b'{"age": [1]}', "'name' is missing"),
        (b'{"x": [1]}', "no input 'x'"),
    ):
        with pytest.raises(Misuse, match=said):
            records.inputs_of_columns(body, _COLUMNS)


def test_a_table_goes_by_its_columns():
    rows = msgspec.json.decode(b'[[1.5, 3, "Ann"], [2, 4, "Bo"]]', type=list[list[msgspec.Raw]])
    expected = {
        "age": np.array([3, 4]),
        "name": np.array([b"Ann", b"Bo"], object),
        "height": np.array([1.5, 2], np.float32),
    }
    found = records.inputs_of_table(["height", "age", "name"], rows, _COLUMNS)
    _same({**found, "age": found["age"][:, 0]}, expected)
    plain = msgspec.json.decode(b"[[1,2,3],[4,5,6]]", type=list[list[msgspec.Raw]])
    matrix = {"x": _TWO_ROWS}
    _same(records.inputs_of_table(None, plain, _MATRIX), matrix)
    _same(records.inputs_of_table(["a", "b", "c"], plain, _MATRIX), matrix)
    with pytest.raises(Misuse, match="row 1 has 2 values, not 3"):
        records.inputs_of_table(None, [plain[0], plain[1][:2]], _MATRIX)
    with pytest.raises(Misuse, match="named twice"):
        records.inputs_of_table(["a", "a", "c"], plain, _MATRIX)
    with pytest.raises(Misuse, match="no rows"):
        records.inputs_of_table(["a", "b", "c"], [], _MATRIX)


def test_texts_are_read_as_the_datatypes_say():
    found = records.inputs_of_text(None, [["1", " 2.5 ", ""], ["nan", "-3e2", "7"]], _MATRIX)
    _same(found, {"x": np.array([[1, 2.5, np.nan], [np.nan, -300, 7]], np.float32)})
    found = records.inputs_of_text(["name", "height", "age"], [["Ann", "1.5", "3"]], _COLUMNS)
    expected = {
        "age": np.array([[3]]),
        "name": np.array([b"Ann"], object),
        "height": np.array([1.5], np.float32),
    }
    _same(found, expected)
    flags = records.inputs_of_text(None, [["true"], ["0"]], _signature(("x", "BOOL", (-1,))))
    _same(flags, {"x": np.array([True, False])})
    for names, rows, signature, said in (
        (None, [["1", "2"], ["3"]], _MATRIX, "row 1 has 1 values, not 2"),
        (None, [["1", "x", "3"]], _MATRIX, "takes FP32: a value is none"),
        (None, [["1", "1e39", "3"]], _MATRIX, "beyond the range"),
        (None, [["1.5"]], _signature(("x", "INT8", (-1,))), "takes INT8"),
        (None, [["128"]], _signature(("x", "INT8", (-1,))), "beyond the range"),
        (None, [["1", "2"]], _COLUMNS, "2 columns; the model takes 3: age, name, height"),
        (["age", "nam", "height"], [["1", "2", "3"]], _COLUMNS, "no column 'nam'. Did you mean 'name'"),
        (["a", "b", "c"], [], _MATRIX, "no rows"),
    ):
        with pytest.raises(Misuse, match=said):
            records.inputs_of_text(names, rows, signature)


def test_an_array_is_cast_only_within_its_kind():
    _same(records.input_of_array(np.ones((2, 3)), _MATRIX), {"x": np.ones((2, 3), np.float32)})
    _same(records.input_of_array(np.array(["é"]), _BYTES), {"x": np.array(["é".encode()], object)})
    for array, signature, said in (
        (np.full((1, 3), 1e300), _MATRIX, "range of FP32"),
        (np.ones((1, 3)), _signature(("x", "INT64", (-1, 3))), "would lose"),
        (np.ones((1, 3), complex), _MATRIX, "would lose"),
        (np.ones(2), _BYTES, "takes texts"),
        (np.frombuffer(b"\xff" * 4, "<U1"), _BYTES, "no character"),
        (np.array(["\ud800"]), _BYTES, "no character"),
        (np.array(["a", "b", "c"]), _MATRIX, "would lose"),
        (np.ones((1, 3)), _COLUMNS, "3 inputs"),
    ):
        with pytest.raises(Misuse, match=said):
            records.input_of_array(array, signature)


def test_outputs_become_rows_again():
    label = np.array([b"a", b"b"], object)
    scores = np.array([[0.25, 0.75], [1.0, 0.0]])
    both = {"label": label, "scores": scores}
    assert records.predictions_of({"scores": scores}) == [[0.25, 0.75], [1.0, 0.0]]
    assert records.predictions_of(both) == [
        {"label": "a", "scores": [0.25, 0.75]},
        {"label": "b", "scores": [1.0, 0.0]},
    ]
    assert records.columns_of(both) == {"label": ["a", "b"], "scores": [[0.25, 0.75], [1.0, 0.0]]}
    assert records.rows_of(both) == [["a", 0.25, 0.75], ["b", 1.0, 0.0]]
    uneven = {"label": label, "scores": scores[:1]}
    assert records.predictions_of(uneven) == {"label": ["a", "b"], "scores": [[0.25, 0.75]]}
    with pytest.raises(Misuse, match="no common number"):
        records.rows_of(uneven)
    with pytest.raises(Misuse, match=r"output 'label': .*UTF-8"):
        records.predictions_of({"label": np.array([b"\xff"], object)})


def _same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(found[name], array)
