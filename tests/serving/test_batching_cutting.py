"""How many requests make one batch."""

from __future__ import annotations

from collections import deque

import pytest

from tradewind.serving.batching.cutting import fitting, rows_within


@pytest.mark.parametrize(
    ("sizes", "largest", "skip", "expected"),
    [
        ([], 8, 0, 0),
        ([1], 8, 1, 0),
        ([99], 8, 0, 1),
        ([99, 1], 8, 0, 1),
        ([1, 99], 8, 0, 1),
        ([3, 3, 3], 8, 0, 2),
        ([4, 4, 4], 8, 0, 2),
        ([4, 4, 4], 8, 1, 2),
        ([1] * 20, 8, 0, 8),
        ([1] * 20, 8, 15, 5),
    ],
)
def test_whole_requests_up_to_the_largest(sizes: list[int], largest: int, skip: int, expected: int) -> None:
    assert fitting(sizes, largest, skip) == fitting(deque(sizes), largest, skip) == expected


def test_rows_are_counted_no_further_than_asked() -> None:
    assert rows_within([2, 3], 8) == 5
    assert rows_within([2, 3, 9, 9], 8) == 8
    assert rows_within([], 8) == 0
