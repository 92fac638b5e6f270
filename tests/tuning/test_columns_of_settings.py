"""A space's columns: the same row for the same setting, whichever way it is made."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.tuning.columns import Columns
from tradewind.tuning.space import Float, Space

SPACE = Space.of(
    {
        "c": ["a", True, 1],
        "x": {"low": 1e-3, "high": 1.0, "log": True},
        "n": {"low": 1, "high": 300, "log": True, "when": {"c": ["a", 1]}},
        "m": {"low": 2, "high": 4},
        "fixed": Float(3.0, 3.0),
        "deep": {"values": ["p", "q"], "when": {"c": "a", "m": [2, 3]}},
        "deeper": {"low": 0.0, "high": 1.0, "when": {"deep": "q"}},
    }
)


@given(st.lists(st.floats(0, 1), min_size=7, max_size=7))
@settings(max_examples=100, deadline=None)
def test_a_point_and_its_setting_have_one_row(units):
    columns = Columns(SPACE)
    setting = SPACE.setting(units)
    row = columns.rows(units)[0]
    assert row == pytest.approx(columns.row(setting), abs=1e-9)
    assert columns.rows(columns.middle(setting))[0] == pytest.approx(row, abs=1e-9)
    assert columns.placed(np.atleast_2d(units))[0].tolist() == [name in setting for name in SPACE.names]
    assert SPACE.setting(columns.middle(setting)) == pytest.approx(setting)


def test_what_each_column_is():
    columns = Columns(SPACE)
    assert columns.width == 3 + 1 + 1 + 1 + 1 + 2 + 1
    assert columns.starts == [0, 3, 4, 5, 6, 7, 9]
    assert columns.bent.tolist() == [False] * 3 + [True] * 3 + [False] * 3 + [True]
    assert columns.smooth == [1, 6] and columns.stepped == [0, 2, 3, 5]
    row = columns.row({"c": True, "x": 1.0, "m": 4, "fixed": 3.0})
    assert row == pytest.approx([0, 1, 0, 1, 0.5, 5 / 6, 0.5, 0, 0, 0.5])


def test_other_values_of_a_stepped_parameter():
    columns = Columns(SPACE)
    assert {SPACE.setting([u, 0, 0, 0, 0, 0, 0])["c"] for u in columns.values(0, 5, 0.0)} == {"a", True}
    assert len(columns.values(0, 5, 0.0)) == 3 and len(columns.values(3, 5, 0.0)) == 3
    middle = columns.middle({"c": "a", "n": 40})
    near = [SPACE.setting([0.1, 0, u, 0, 0, 0, 0])["n"] for u in columns.values(2, 12, float(middle[2]))]
    assert {39, 41} <= set(near) and 40 not in near and len(set(near)) == len(near) <= 12
    assert max(near) > 150
