"""Rectangles that fill their box and are as near to squares as they get."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.session.report.audit.data import PackageLine
from tradewind.session.report.audit.treemap import Box, squarified, treemap


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=40), st.integers(5, 900), st.integers(5, 900))
def test_areas_are_sizes_and_nothing_overlaps(sizes, width, height):
    sizes = sorted(sizes, reverse=True)
    boxes = squarified(sizes, Box(3, 7, width, height))
    scale = width * height / sum(sizes)
    for size, box in zip(sizes, boxes, strict=True):
        assert box.width * box.height == pytest.approx(size * scale, rel=1e-6)
        assert box.x >= 3 - 1e-6 and box.x + box.width <= 3 + width * (1 + 1e-9) + 1e-6
        assert box.y >= 7 - 1e-6 and box.y + box.height <= 7 + height * (1 + 1e-9) + 1e-6
    for at, one in enumerate(boxes):
        for other in boxes[at + 1 :]:
            across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
            down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
            assert min(across, down) < 1e-6


def test_equal_sizes_become_squares():
    assert squarified([1, 1, 1, 1], Box(0, 0, 10, 10)) == tuple(
        Box(x, y, 5, 5) for x in (0, 5) for y in (0, 5)
    )
    assert squarified([], Box(0, 0, 10, 10)) == ()


def test_many_packages_are_drawn_as_one():
    lines = [PackageLine(f"apt:p{k}", "1", "generic", 1000 - k, 10 * (k % 2)) for k in range(300)]
    picture, left = treemap([*lines, PackageLine("pip:none", "1", "ML", 0, 0)], (500, 100), measured=True)
    assert "210" in left and "<title>210 others" in picture and "pip" not in picture
    assert picture.count("<rect") < 250
    kept = re.search(r"<title>no package: 500 B, 100 B kept, degree 0.800</title>", picture)
    assert kept
    alone, _ = treemap(lines[:2], (0, 0), measured=False)
    assert "kept" not in alone and "unowned" not in alone
