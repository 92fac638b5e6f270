"""Tables whose rows sum to the tree, in an order that does not change."""

import pytest

from tradewind.audit.bloat.degrees import UNOWNED, measured
from tradewind.audit.bloat.tables import (
    biggest_kept,
    biggest_packages,
    biggest_removed,
    biggest_unowned,
    by_category,
    by_layer,
    by_manager,
    by_state,
    package_rows,
)
from tradewind.audit.packages import Inventory, Package, Requirement
from tradewind.audit.tracing.events import Touched
from tradewind.audit.trees import Entry, Tree

TREE = Tree([
    Entry("a", "file", 10), Entry("b", "file", 30), Entry("c", "file", 30, node=1),
    Entry("d", "file", 30, node=1),
    Entry("e", "file", 5, layer=2), Entry("l", "link", target="a"),
])  # fmt: skip
INVENTORY = Inventory(TREE, {
    "apt:one": Package("apt", "one", "1", ("a",), requires=(Requirement(("two",)),)),
    "apt:two": Package("apt", "two", "1", ("d",), category="GPU"),
    "pip:three": Package("pip", "three", "2", ("b",), category="ML"),
})  # fmt: skip
KEPT = frozenset({"a", "l"})


@pytest.fixture
def told():
    return measured(INVENTORY, Touched(opened=frozenset({"a"}), hops=frozenset({"l"})))


def test_every_table_sums_to_the_tree(told):
    bloat, _ = told
    for table in (by_manager(bloat), by_category(bloat), by_state(bloat), by_layer(bloat),
                  *(biggest_packages(bloat, most, removed=True) for most in (0, 1, 2, 9))):  # fmt: skip
        assert table.total.share == bloat.whole and bloat.whole.bytes == TREE.bytes == 75
    assert [(row.name, row.packages, row.bloated) for row in by_manager(bloat).rows] == [
        ("apt", 2, 1), ("pip", 1, 1), (UNOWNED, 0, 0),
    ]  # fmt: skip
    assert [row.name for row in by_category(bloat).rows] == ["GPU", "ML", "generic", UNOWNED]
    assert [row.name for row in by_layer(bloat).rows] == ["layer 0", "layer 2"]
    assert [row.name for row in biggest_packages(bloat, 1).rows] == ["apt:two", "2 others", UNOWNED]
    assert by_manager(bloat).total.packages == 3


def test_packages_come_with_why_they_are_there(told):
    rows = package_rows(*told)
    assert [(row.package.key, row.needs, row.needed_by, row.chain) for row in rows] == [
        ("apt:two", 0, 1, ("apt:one", "apt:two")),
        ("pip:three", 0, 0, ()),
        ("apt:one", 1, 0, ("apt:one",)),
    ]


def test_files_are_told_once_whatever_their_names():
    removed = biggest_removed(INVENTORY, KEPT, 1)
    assert [(row.path, row.bytes, row.owner, row.names) for row in removed.rows] == [
        ("b", 30, "pip:three", 1)
    ]
    assert (removed.others, removed.other_bytes, removed.bytes) == (2, 35, 65)
    assert [row.path for row in biggest_kept(INVENTORY, {"d"}).rows] == ["c"], "kept by its other name"
    assert [row.path for row in biggest_unowned(INVENTORY, KEPT).rows] == ["e"]
