"""Definitions 3.1 to 3.3 against trees counted by hand, and their laws on random ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.audit.bloat.degrees import (
    UNOWNED,
    Share,
    accessed_packages,
    measured,
    needed_paths,
)
from tradewind.audit.packages import Inventory, Package, Requirement
from tradewind.audit.slimming.kept import Kept, Reason
from tradewind.audit.tracing.events import Touched
from tradewind.audit.trees import Entry, Tree


def needs(name):
    return (Requirement((name,)),)


@pytest.fixture
def inventory():
    tree = Tree([
        Entry("bin", "link", target="usr/bin"),
        Entry("usr", "directory"),
        Entry("usr/bin", "directory"),
        Entry("usr/bin/tool", "file", 100),
        Entry("usr/bin/tool2", "file", 300, node=7),
        Entry("usr/bin/tool2-link", "file", 300, node=7),
        Entry("usr/lib.so", "file", 50, layer=1),
        Entry("usr/doc", "file", 40),
        Entry("usr/idle", "file", 60, layer=1),
        Entry("usr/lost", "file", 25),
        Entry("cache", "file", 425, layer=1),
        Entry("empty", "file", 0),
    ])  # fmt: skip
    return Inventory(tree, {
        "apt:tool": Package("apt", "tool", "1", ("usr/bin/tool", "usr/bin/tool2", "usr/lib.so"),
                            requires=needs("idle"), asked_for=True),
        # Claims a file that is the first's, and a name of a file that the first has under another.
        "apt:zshare": Package("apt", "zshare", "1", ("usr/bin/tool2-link", "usr/doc", "usr/lib.so"),
                              records=("usr/doc",), category="ML"),
        "apt:idle": Package("apt", "idle", "1", ("usr/idle",), category="ML"),
        "pip:lost": Package("pip", "lost", "1", ("usr/lost",), requires=needs("idle")),
    })  # fmt: skip


def test_degrees_counted_by_hand(inventory):
    kept = Kept(inventory.tree, {path: Reason("traced") for path in ("bin", "usr/bin/tool2-link", "usr/doc")})
    found, graph = measured(inventory, kept)
    assert found.whole == Share(1000, 340, 8, 2) and found.degree == 0.66
    assert found.whole.bytes == inventory.tree.bytes and found.whole.kept_bytes == kept.bytes
    idle, tool, share, lost = found.packages
    # tool2 is kept by its other name, which is the same file.
    assert (tool.share, tool.state, tool.direct) == (Share(450, 300, 3, 1), "used", True)
    assert tool.share.degree == pytest.approx(150 / 450)
    assert (share.share, share.metadata_only, share.bloated) == (Share(40, 40, 1, 1), True, True)
    assert share.share.degree == 0.0 and share.depth is None
    assert (idle.state, idle.depth, idle.direct) == ("reachable", 2, False)
    assert (lost.state, lost.share.degree, lost.depth) == ("unreachable", 1.0, None)
    assert found.managers == {
        "apt": Share(550, 340, 5, 2), "pip": Share(25, 0, 1, 0), UNOWNED: Share(425, 0, 2, 0),
    }  # fmt: skip
    assert found.categories["ML"] == Share(100, 40, 2, 1)
    assert found.layers == {0: Share(465, 340, 5, 2), 1: Share(535, 0, 3, 0)}
    assert found.states["reachable"] == Share(60, 0, 1, 0)
    assert (found.removed_direct, found.removed_transitive.removed_bytes) == (Share(), 85)
    assert graph.chain_from_used("apt:idle") == ("apt:tool", "apt:idle")
    assert found.package("pip:lost") is lost
    with pytest.raises(KeyError):
        found.package("pip:none")


def test_what_a_run_touched_may_stand_for_what_is_kept(inventory):
    touched = Touched(
        opened=frozenset({"usr/bin/tool"}), probed=frozenset({"usr/idle"}), hops=frozenset({"bin"}),
        written=frozenset({"usr/lost"}), listed=frozenset({"usr"}),
    )  # fmt: skip
    assert needed_paths(touched) == {"usr/bin/tool", "bin"}
    assert measured(inventory, touched)[0].whole.kept_bytes == 100
    assert measured(inventory, touched, probed=True)[0].whole.kept_bytes == 160
    assert accessed_packages(inventory, ["usr/doc"]) == frozenset()


def test_nothing_has_no_degree():
    found, _ = measured(Inventory(Tree(()), {}), Touched())
    assert found.degree == 0.0 and found.whole == Share()
    assert Share(0, 0, 4, 1).degree == 0.75


PATHS = tuple(f"d/f{place}" for place in range(12))
SIZES = st.lists(st.integers(0, 50), min_size=len(PATHS), max_size=len(PATHS))
NODES = st.lists(st.integers(0, 3), min_size=len(PATHS), max_size=len(PATHS))
SUBSETS = st.sets(st.sampled_from(PATHS))


@settings(max_examples=80, deadline=None)
@given(SIZES, NODES, st.lists(SUBSETS, max_size=4), SUBSETS, SUBSETS)
def test_parts_sum_to_the_whole_and_more_runs_never_remove_more(sizes, nodes, claims, first, second):
    size_of = {node: size for node, size in zip(nodes, sizes, strict=True)}
    tree = Tree([
        Entry("d", "directory"),
        *(Entry(path, "file", size_of[node] if node else size, node=node, layer=node)
          for path, size, node in zip(PATHS, sizes, nodes, strict=True)),
    ])  # fmt: skip
    managers, categories = ("apt", "pip", "conda", "pip"), ("ML", "GPU", "generic", "generic")
    inventory = Inventory(tree, {
        f"{managers[at]}:p{at}": Package(managers[at], f"p{at}", "1", tuple(sorted(claim)),
                                         category=categories[at])
        for at, claim in enumerate(claims)
    })  # fmt: skip
    one, _ = measured(inventory, Touched(opened=frozenset(first)))
    both, _ = measured(inventory, Touched(opened=frozenset(first)).joined(Touched(opened=frozenset(second))))
    for found in (one, both):
        assert found.whole.bytes == tree.bytes
        for parts in (found.managers, found.categories, found.layers, found.states):
            total = Share()
            for part in parts.values():
                assert 0.0 <= part.degree <= 1.0
                total = total.plus(part)
            assert total == found.whole
        assert sum(each.share.bytes for each in found.packages) + found.unowned.bytes == tree.bytes
        bloated = found.removed_direct.bytes + found.removed_transitive.bytes
        assert bloated == sum(each.share.bytes for each in found.packages if each.bloated)
    assert one.whole.kept_bytes == tree.bytes_of(
        name for path in first for name in (tree.names.get(tree.entries[path].node) or (path,))
    )
    assert both.degree <= one.degree
    for before, after in zip(one.packages, both.packages, strict=True):
        assert after.share.kept_bytes >= before.share.kept_bytes and before.bloated >= after.bloated
