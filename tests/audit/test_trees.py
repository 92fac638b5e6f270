"""Trees of files: bytes, links and what is cut out of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.audit.trees import Entry, Tree


def directory(path):
    return Entry(path, "directory", mode=0o755)


def file(path, size=1, node=0):
    return Entry(path, "file", size=size, node=node)


def link(path, target):
    return Entry(path, "link", target=target)


@pytest.fixture
def tree():
    return Tree(
        [
            directory("usr"),
            directory("usr/bin"),
            directory("usr/lib"),
            link("bin", "usr/bin"),
            link("lib", "/usr/lib"),
            file("usr/bin/python3.11", 10),
            link("usr/bin/python", "python3.11"),
            link("usr/bin/py", "../../bin/python"),
            file("usr/lib/a", 5, node=7),
            file("usr/lib/b", 5, node=7),
            link("usr/lib/loop", "loop"),
            link("away", "../../etc"),
            link("dangling", "nothing"),
        ]
    )


def test_hard_links_count_once(tree):
    assert tree.bytes == 15
    assert tree.bytes_of(["usr/lib/b"]) == tree.bytes_of(["usr/lib/a", "usr/lib/b"]) == 5
    assert tree.names == {7: ("usr/lib/a", "usr/lib/b")}


@pytest.mark.parametrize(
    ("path", "leads", "hops"),
    [
        ("usr/bin/python3.11", "usr/bin/python3.11", ()),
        ("/bin/py", "usr/bin/python3.11", ("bin", "usr/bin/py", "bin", "usr/bin/python")),
        ("lib/../bin/python", "usr/bin/python3.11", ("lib", "usr/bin/python")),
        ("", "", ()),
        ("/../..", "", ()),
        ("usr/lib/a/x", None, ()),
        ("dangling", None, ("dangling",)),
        ("away", None, ("away",)),
        ("nowhere", None, ()),
    ],
)
def test_paths_are_resolved_inside_the_root(tree, path, leads, hops):
    assert tree.resolve(path) == (leads, hops)


def test_a_circle_of_links_leads_nowhere(tree):
    leads, hops = tree.resolve("usr/lib/loop")
    assert leads is None and set(hops) == {"usr/lib/loop"}


def test_what_is_cut_out_keeps_the_directories_above(tree):
    cut = tree.only(["usr/lib/b", "not/there"])
    assert list(cut.entries) == ["usr", "usr/lib", "usr/lib/b"]
    assert cut.children[""] == ("usr",)


@pytest.mark.parametrize("path", ["/a", "a//b", "a/../b", "./a", "a/."])
def test_a_path_that_is_none_is_refused(path):
    with pytest.raises(ValueError, match="no path below a root"):
        Tree([file(path)])


def test_a_path_given_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        Tree([file("a"), directory("a")])


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.integers(0, 9), st.integers(0, 2)), max_size=6)
)
def test_bytes_are_those_of_distinct_files(found):
    sizes = {node: 5 * node for _, node in found.values() if node}
    tree = Tree(file(name, sizes.get(node, size), node) for name, (size, node) in found.items())
    assert tree.bytes == sum(sizes.values()) + sum(size for size, node in found.values() if not node)
