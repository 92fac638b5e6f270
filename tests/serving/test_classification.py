import numpy as np
import pytest

from tradewind.errors import Misuse
from tradewind.serving.classification import classified


def test_the_highest_values_come_first_and_of_equals_the_first():
    rows = np.array([[1.5, 3, 3], [-1, -2, -0.5]])
    assert classified(rows, 2).tolist() == [
        [b"3.000000:1", b"3.000000:2"],
        [b"-0.500000:2", b"-1.000000:0"],
    ]
    assert classified(rows[0], 5).tolist() == [b"3.000000:1", b"3.000000:2", b"1.500000:0"]


def test_nan_comes_last():
    assert classified(np.array([np.nan, -np.inf, 1.0]), 3).tolist() == [b"1.000000:2", b"-inf:1", b"nan:0"]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint64, np.bool_, np.float16])
def test_every_kind_of_number_is_ordered(dtype):
    values = np.array([0, 1, 1, 0], dtype)
    assert [text.split(b":")[1] for text in classified(values, 4)] == [b"1", b"2", b"0", b"3"]


def test_whole_numbers_are_told_apart_to_the_last():
    values = np.array([2**63 - 2, 2**63 - 1, -(2**63)], np.int64)
    assert [text.split(b":")[1] for text in classified(values, 3)] == [b"1", b"0", b"2"]


def test_further_axes_belong_to_the_row():
    assert classified(np.arange(8).reshape(2, 2, 2), 1).tolist() == [[b"3.000000:3"], [b"7.000000:3"]]


def test_texts_have_no_order():
    with pytest.raises(Misuse, match="BYTES"):
        classified(np.array([b"a"], object), 1)
