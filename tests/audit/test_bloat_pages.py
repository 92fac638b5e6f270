"""Pages that were touched, joined, summed and fetched ahead."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.audit.bloat.pages import TouchedPages, joined_pages, page_bloat, prefetch_list
from tradewind.audit.trees import Entry, Tree

TREE = Tree([
    Entry("lib.so.1", "file", 40960 + 5), Entry("m.py", "file", 100), Entry("m.pyc", "file", 5000, node=3),
    Entry("n.pyc", "file", 5000, node=3), Entry("gone", "file", 4930), Entry("l", "link", target="m.py"),
])  # fmt: skip


def test_degrees_of_pages_counted_by_hand():
    touched = [TouchedPages("lib.so.1", 40965, ((0, 2), (10, 1))), TouchedPages("n.pyc", 5000, ((1, 1),)),
               TouchedPages("m.pyc", 5000, ((1, 1),)), TouchedPages("gone", 4930, ((0, 2),))]  # fmt: skip
    assert touched[0].bytes == 2 * 4096 + 5, "the last page ends with the file"
    owners = {"lib.so.1": "apt:lib", "m.pyc": "pip:m", "n.pyc": "pip:m"}
    found = page_bloat(TREE, {"lib.so.1", "m.py", "n.pyc", "l"}, touched, exact=False, owners=owners)
    assert (found.kept.files, found.kept.bytes, found.kept.touched) == (3, 46065, 8197 + 904)
    assert found.kept.degree == pytest.approx(1 - 9101 / 46065)
    assert found.total_degree == pytest.approx(1 - 9101 / (46065 + 4930)) and TREE.bytes == 46065 + 4930
    assert [(row.name, row.bytes) for row in found.kinds] == [
        ("shared library", 40965), ("Python bytecode", 5000), ("Python source", 100),
    ]  # fmt: skip
    assert [(row.name, row.files, row.bytes, row.touched) for row in found.packages] == [
        ("apt:lib", 1, 40965, 8197), ("pip:m", 1, 5000, 904), ("unowned", 1, 100, 0),
    ]  # fmt: skip
    assert [row.name for row in found.files] == ["lib.so.1", "m.pyc", "m.py"]
    assert "upper bound" in found.note and "off" in page_bloat(TREE, (), (), exact=True).note


def test_what_is_fetched_ahead_joins_what_is_near():
    touched = [TouchedPages("b", 40965, ((0, 2), (4, 1), (10, 1))), TouchedPages("a", 10, ((0, 1),))]
    assert [(each.path, each.offset, each.length) for each in prefetch_list(touched, gap=3 * 4096)] == [
        ("a", 0, 10), ("b", 0, 5 * 4096), ("b", 40960, 5),
    ]  # fmt: skip
    assert len(prefetch_list(touched, gap=0)) == 4
    first = prefetch_list([*touched, TouchedPages("c", 1, ((0, 1),))], order=["x", "c", "b"])
    assert [each.path for each in first] == ["c", "b", "a"]


RUNS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), max_size=8)


@given(RUNS, RUNS)
def test_joined_runs_hold_the_pages_of_both(first, second):
    def pages(runs):
        return {page for start, count in runs for page in range(start, start + count)}

    size = 36 * 4096 - 7
    joined = joined_pages(
        [[TouchedPages("f", size, tuple(first))], [TouchedPages("f", size, tuple(second))]]
    )[0]
    assert pages(joined.runs) == pages(first) | pages(second)
    assert joined.bytes <= size and joined.bytes >= 4096 * len(pages(joined.runs)) - 7
    assert all(sum(one) < other[0] for one, other in pairwise(joined.runs))


def test_files_that_differ_are_not_joined():
    with pytest.raises(ValueError, match="not the same file"):
        TouchedPages("f", 5).joined(TouchedPages("f", 6))
