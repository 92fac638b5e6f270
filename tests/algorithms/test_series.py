"""Series as rows: what goes in comes out again, and what is no series is told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.algorithms.batch import Batch, batch_of
from tradewind.algorithms.series import (
    SeriesLayout,
    layout_of,
    lengths_of,
    series_of,
    series_rows,
    unpacked_series,
    wide_rows,
)
from tradewind.errors import Misuse

VALUES = st.none() | st.floats(-1e6, 1e6, width=32)


@st.composite
def many(draw):
    dynamic, categories = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    found = []
    for _ in range(draw(st.integers(1, 4))):
        target = draw(st.lists(VALUES, max_size=6))
        steps = len(target) + draw(st.integers(0, 3))
        found.append(
            {
                "start": draw(
                    st.sampled_from(["1969-12-31 23:59:59", "2026-02-28", "2026-01-01T12:30", "2261-01-01"])
                ),
                "target": target,
                "cat": draw(st.lists(st.integers(0, 2**24 - 1), min_size=categories, max_size=categories)),
                "dynamic_feat": [
                    draw(st.lists(st.floats(-9, 9, width=32), min_size=steps, max_size=steps))
                    for _ in range(dynamic)
                ],
            }
        )
    if dynamic and not any(len(each["target"]) for each in found):
        found[0]["target"] = []
    return found


@settings(max_examples=40, deadline=None)
@given(many())
def test_what_goes_in_comes_out_again(given_) -> None:
    block = unpacked_series(series_rows(given_))
    for row, each in enumerate(given_):
        length = len(each["target"])
        assert block.length[row] == length
        wanted = [np.nan if x is None else x for x in each["target"]]
        assert np.array_equal(block.target[row, :length], np.array(wanted, np.float32), equal_nan=True)
        assert np.isnan(block.target[row, length:]).all()
        assert block.start[row] == np.datetime64(each["start"], "s").astype(np.int64)
        assert block.categories[row].tolist() == each["cat"]
        for f, feature in enumerate(each["dynamic_feat"]):
            assert np.array_equal(block.dynamic[row, f, : len(feature)], np.array(feature, np.float32))
            assert np.isnan(block.dynamic[row, f, len(feature) :]).all()


def test_slices_and_shuffled_rows_stay_series() -> None:
    rows = series_rows([{"start": "2026-01-01", "target": [i, None, 0, i]} for i in range(5)])
    assert layout_of(rows) == SeriesLayout(4)
    block = unpacked_series(rows.rows(2, 4))
    assert block.target[:, 0].tolist() == [2, 3] and block.target[0, 2] == 0 and np.isnan(block.target[0, 1])
    picked = unpacked_series(batch_of(rows.matrix()[[4, 0]]))
    assert picked.target[:, 3].tolist() == [4, 0]


def test_a_history_can_be_cut_and_rows_taken() -> None:
    block = unpacked_series(wide_rows([[1.0, 2.0, 3.0], [4.0, np.nan, 6.0]]))
    before = block.until(np.array([2, 1]))
    assert before.length.tolist() == [2, 1] and np.isnan(before.target[1, 1:]).all()
    assert len(block.take(np.array([False, True]))) == 1


def test_a_wide_table_ends_where_only_nan_is_left() -> None:
    table = [[1.0, np.nan, 3.0, np.nan], [np.nan, np.nan, np.nan, np.nan], [0.0, 0.0, 0.0, 0.0]]
    block = unpacked_series(wide_rows(table, ["2026-01-01", "2026-01-02", "2026-01-03"]))
    assert block.length.tolist() == [3, 0, 4]
    rows = wide_rows(table)
    assert lengths_of(rows).tolist() == [3, 0, 4] and lengths_of(rows.rows(1, 3)).tolist() == [0, 4]
    assert block.start.tolist() == [np.datetime64(f"2026-01-0{d}", "s").astype(int) for d in (1, 2, 3)]
    assert np.isnan(block.target[0, 1]) and (block.target[2] == 0).all()


def test_the_span_can_be_fixed() -> None:
    rows = series_rows([{"start": "2026-01-01", "target": [1]}], span=10)
    assert layout_of(rows).span == 10 and rows.features == 15
    with pytest.raises(Misuse, match="3 steps do not fit in 2"):
        series_rows([{"start": "2026-01-01", "target": [1, 2, 3]}], span=2)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"start": None}, "start: None is no moment"),
        ({"start": "soon"}, "start: 'soon' is no moment"),
        ({"start": "2026-01-01T00:00:00+01:00"}, "is no moment"),
        ({"start": "2026-01-01T00:00:00Z"}, "is no moment"),
        ({"start": "NaT"}, "is no moment"),
        ({"target": "1, 2"}, "target: it is no list of numbers"),
        ({"target": [1, "two"]}, "target: it is no list of numbers"),
        ({"target": [True]}, "target: it is no list of numbers"),
        ({"target": [1, float("inf")]}, "target: step 1 is infinite"),
        ({"target": [1e300]}, "target: a value is too large"),
        ({"cat": [-1]}, "cat: .* is no category"),
        ({"cat": "a"}, "cat: .* is no category"),
        ({"cat": [0.5]}, "cat: .* is no category"),
        ({"dynamic_feat": [[1, 2], [1]]}, "dynamic_feat: it is no list"),
        ({"dynamic_feat": [[1, None]]}, "dynamic_feat: a value is missing"),
        ({"dynamic_feat": [[1]]}, "dynamic_feat: 1 steps for a target of 2"),
        ({"colour": 1}, "colour: a series has no such field"),
    ],
)
def test_what_is_no_series_is_told(changes, match) -> None:
    with pytest.raises(Misuse, match=match):
        series_of({"start": "2026-01-01", "target": [1, 2], **changes}, "here")


def test_absent_fields_and_other_things_are_told() -> None:
    with pytest.raises(Misuse, match="target: it is absent"):
        series_of({"start": "2026-01-01"})
    with pytest.raises(Misuse, match="int is no series"):
        series_rows([3])
    with pytest.raises(Misuse, match="there is no series"):
        series_rows([])
    one = {"start": "2026-01-01", "target": [1], "cat": [1]}
    with pytest.raises(Misuse, match="series 1: cat: 2 where the first series has 1"):
        series_rows([one, {**one, "cat": [1, 2]}])
    with pytest.raises(Misuse, match="one a row"):
        wide_rows([[1.0], [2.0]], ["2026-01-01"])
    with pytest.raises(Misuse, match=r"Give numbers, \(series, steps\)"):
        wide_rows([1.0, 2.0])


def test_rows_that_are_no_series_are_told() -> None:
    rows = series_rows([{"start": "2026-01-01", "target": [1, 2]}] * 2)
    wrong = [
        batch_of(np.ones((2, 7), np.float32)),
        rows.rows(0, 0),
        Batch(rows.features + 1, indptr=rows.indptr, indices=rows.indices, values=rows.values),
        Batch(rows.features, indptr=rows.indptr, indices=rows.indices, values=rows.values * 0 + 1.5),
        batch_of(np.eye(7)),
    ]
    for each in wrong:
        with pytest.raises(Misuse, match="these rows are no series"):
            unpacked_series(each)
