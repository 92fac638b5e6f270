"""Requests made up to a signature fit it, and answers that do not are told by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.serving.models.answers import RowsDiffer, checked, first_answer, fits, made_up, rows_of
from tradewind.serving.tensors import DTYPES, Signature, TensorSpec, datatype_of

ROWS = Signature((TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "FP64", (-1,)),))


class Model:
    platform, memory = "test", 0

    def __init__(self, answer, signature=ROWS):
        self.signature, self.answer = signature, answer

    def predict(self, inputs):
        return self.answer(inputs)

    def close(self):
        pass


@settings(max_examples=60, deadline=None)
@given(
    datatype=st.sampled_from(sorted(DTYPES)),
    inner=st.lists(st.integers(-1, 3), max_size=3),
    rows=st.integers(0, 4),
    batched=st.booleans(),
)
def test_what_is_made_up_fits(datatype, inner, rows, batched):
    shape = (-1, *inner) if batched else tuple(inner)
    spec = TensorSpec("x", datatype, shape)
    array = made_up(Signature((spec,), (), batched), rows)["x"]
    assert fits(array.shape, shape) and datatype_of(array) == datatype
    assert not batched or len(array) == rows


def test_open_dimensions_are_as_asked():
    image = Signature((TensorSpec("x", "UINT8", (-1, 3, -1, -1)),), ())
    assert made_up(image, 2)["x"].shape == (2, 3, 1, 1)
    assert made_up(image, 2, {"x": [3, 8, 9]})["x"].shape == (2, 3, 8, 9)
    for shapes, told in (({"x": [4, 8, 9]}, "shapes.x"), ({"x": [3, 8]}, "shapes.x"), ({"z": [1]}, "shapes")):
        with pytest.raises(Misuse) as problem:
            made_up(image, 2, shapes)
        assert problem.value.field == told


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        ([1.0], "answers with list"),
        ({}, "is missing"),
        ({"y": [1.0, 2.0]}, "is a list"),
        ({"y": np.zeros(2, np.float32)}, "is FP32, its signature says FP64"),
        ({"y": np.zeros(2, np.complex64)}, "is complex64"),
        ({"y": np.zeros((2, 1))}, r"shape \[2, 1\]"),
        ({"y": np.zeros(3)}, "2 rows came in and 3 go out"),
    ],
)
def test_a_wrong_answer_is_told(outputs, told):
    with pytest.raises(Misuse, match=told) as problem:
        checked(outputs, ROWS, 2, "mine")
    assert problem.value.source == "mine" and problem.value.field in ("y", "predict")


def test_a_right_answer_comes_in_order_without_what_nobody_asked_for():
    two = Signature(ROWS.inputs, (TensorSpec("b", "INT64", (-1,)), TensorSpec("a", "BYTES", (-1, 1))))
    found = checked({"c": 1, "a": np.full((2, 1), b"t", object), "b": np.arange(2)}, two, 2, "mine")
    assert list(found) == ["b", "a"]
    assert rows_of({"x": np.zeros((7, 2), np.float32)}, ROWS) == 7
    assert rows_of({"x": np.zeros(1)}, Signature(ROWS.inputs, ROWS.outputs, batched=False)) is None


def test_rows_that_are_not_their_own_are_noticed():
    def shared(inputs):
        return {"y": np.full(len(inputs["x"]), 1.0 / max(1, len(inputs["x"])))}

    first_answer(Model(shared), "m")
    with pytest.raises(RowsDiffer, match="y: a row's answer depends on the rows beside it"):
        first_answer(Model(shared), "m", alike=True)
    for steady in (np.float64("nan"), 2.0):
        first_answer(
            Model(lambda inputs, steady=steady: {"y": np.full(len(inputs["x"]), steady)}), "m", alike=True
        )


def test_a_first_answer_is_tried_with_two_counts_of_rows():
    seen = []

    def right(inputs):
        seen.append(len(inputs["x"]))
        return {"y": inputs["x"].sum(axis=1, dtype=np.float64)}

    first_answer(Model(right), "m")
    assert seen == [1, 3]
    with pytest.raises(Misuse, match="3 rows came in and 1 go out"):
        first_answer(Model(lambda inputs: {"y": np.zeros(1)}), "m")
    for problem in (KeyError("lost"), Misuse("lost")):
        with pytest.raises(Misuse, match=r"m: warmup: its first answer failed: .*lost"):
            first_answer(Model(lambda inputs, problem=problem: (_ for _ in ()).throw(problem)), "m")
