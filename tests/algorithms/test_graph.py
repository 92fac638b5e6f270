"""The values that a model's graph is made of."""

import numpy as np

from tradewind.algorithms.graph import Port, constant, rows


def test_rows_come_in_any_number():
    assert rows(3) == Port("X", ("rows", 3), "float32")


def test_a_constant_is_an_array_in_one_piece():
    found = constant(np.arange(6.0).reshape(2, 3).T)
    assert found.flags.c_contiguous and found.dtype == np.float32 and found.shape == (3, 2)
    assert constant([-1], np.int64).dtype == np.int64
