"""Labels become numbers, classes and places among the classes, or one clear error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tradewind.algorithms.labels import balanced_weights, class_numbers, classes_in, numeric
from tradewind.errors import Misuse


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float32, np.float64])
def test_numbers_of_every_kind_are_numbers(dtype):
    found = numeric(np.array([0, 1, 1], dtype), "here")
    assert found.dtype == np.float64 and found.tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (None, "no labels"),
        (np.array(["a", "b"]), "are no numbers"),
        (np.array([1.0, None], object), "are no numbers"),
        (np.ones((2, 1)), r"shape \(2, 1\)"),
        (np.array([0.0, np.nan]), "the label of row 1 is nan"),
        (np.array([-np.inf, 0.0]), "the label of row 0 is -inf"),
        (np.array([1j, 0]), "are no numbers"),
    ],
)
def test_what_is_no_number_is_refused(labels, told):
    with pytest.raises(Misuse, match=told) as refused:
        numeric(labels, "here")
    assert (refused.value.source, refused.value.field) == ("here", "labels") and refused.value.fix


def test_classes_are_those_that_are_there():
    assert classes_in(np.array([7.0, 3.0, 7.0, -2.0]), "here").tolist() == [-2.0, 3.0, 7.0]
    assert classes_in(np.array([-0.0, 1.0]), "here").tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("label", "classes"), [(0.0, [0.0, 1.0]), (-1.0, [-1.0, 1.0])])
def test_one_class_tells_of_the_other_where_it_can(label, classes):
    assert classes_in(np.full(3, label), "here").tolist() == classes


@pytest.mark.parametrize("labels", [[1.0, 1.0], [2.0], []])
def test_one_class_alone_is_refused(labels):
    with pytest.raises(Misuse, match=f"first {len(labels)} rows show one class only") as refused:
        classes_in(np.array(labels), "here")
    assert "classes=(0, 1)" in refused.value.fix


def test_values_are_no_classes():
    with pytest.raises(Misuse, match="no whole numbers"):
        classes_in(np.array([0.5, 1.0]), "here")


@settings(max_examples=30, deadline=None)
@given(npst.arrays(np.float64, st.integers(1, 20), elements=st.integers(-50, 50).map(float)))
def test_places_bring_back_the_labels(labels):
    classes = np.unique(labels)
    places = class_numbers(labels, classes, "here")
    assert np.array_equal(classes[places], labels)


@pytest.mark.parametrize("strange", [-1.0, 2.0, 9.0])
def test_a_label_that_is_no_class_is_told_with_its_row(strange):
    with pytest.raises(Misuse, match=f"the label {strange:g} of row 1 is none of the classes") as refused:
        class_numbers(np.array([1.0, strange, 3.0]), np.array([0.0, 1.0, 3.0]), "update")
    assert refused.value.source == "update"


def test_balanced_classes_count_the_same():
    numbers = np.array([0, 0, 0, 1, 3, 3])
    weights = balanced_weights(numbers, 4)
    assert weights[2] == 1.0
    sums = np.bincount(numbers, weights[numbers], 4)
    assert sums[[0, 1, 3]] == pytest.approx(np.full(3, 6 / 4))
