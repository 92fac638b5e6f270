"""Inventories: every file has one owner, and the parts sum to the whole."""

from hypothesis import given
from hypothesis import strategies as st

from tradewind.audit.packages import Inventory, Package
from tradewind.audit.trees import Entry, Tree


def test_a_file_claimed_twice_has_one_owner():
    tree = Tree(
        [Entry("a", "file", 1), Entry("b", "file", 2), Entry("c", "file", 4), Entry("l", "link", target="a")]
    )
    packages = {
        "pip:x": Package("pip", "x", "1", files=("a", "b")),
        "apt:y": Package("apt", "y", "2", files=("b",)),
    }
    inventory = Inventory(tree, packages)
    assert inventory.owners == {"a": "pip:x", "b": "apt:y"}
    assert inventory.owned == {"apt:y": ("b",), "pip:x": ("a",)}
    assert inventory.unowned == ("c", "l")
    assert inventory.bytes_of("pip:x") == 1 and inventory.bytes_of("apt:y", kept={"a"}) == 0


def test_every_name_of_a_file_has_its_owner():
    tree = Tree([Entry("a", "file", 3, node=1), Entry("b", "file", 3, node=1)])
    inventory = Inventory(tree, {"pip:x": Package("pip", "x", "1", files=("b",))})
    assert inventory.owners == {"a": "pip:x", "b": "pip:x"} and not inventory.unowned


def test_packages_are_found_by_key_and_by_name():
    package = Package("pip", "requests", "2")
    inventory = Inventory(
        Tree([]), {"pip:requests@venv": package, "apt:requests": Package("apt", "requests", "1")}
    )
    assert inventory.by_name("pip:requests") == (package,)
    assert len(inventory.by_name("requests")) == 2 and not inventory.by_name("request")


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=8),
    st.lists(st.sets(st.integers(0, 7)), max_size=4),
)
def test_owned_and_unowned_bytes_sum_to_the_tree(files, claims):
    entries = [Entry(str(i), "file", 7 * node or size, node=node) for i, (size, node) in enumerate(files)]
    tree = Tree(entries)
    inventory = Inventory(
        tree,
        {f"pip:{i}": Package("pip", str(i), "1", files=tuple(str(c) for c in sorted(claim) if c < len(files)))
         for i, claim in enumerate(claims)},
    )  # fmt: skip
    total = sum(inventory.bytes_of(key) for key in inventory.packages) + tree.bytes_of(inventory.unowned)
    assert total == tree.bytes
