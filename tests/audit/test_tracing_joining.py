"""Runs joined: what each added, by files, bytes and packages, and what is said of it."""

from tradewind.audit.packages import Inventory, Package
from tradewind.audit.tracing.events import Run, RunHeader, Touched
from tradewind.audit.tracing.joining import join_runs
from tradewind.audit.trees import Entry, Tree

TREE = Tree(
    [
        Entry("a", "file", 10),
        Entry("b", "file", 20, node=1),
        Entry("c", "file", 20, node=1),
        Entry("d", "file", 40),
    ]
)
INVENTORY = Inventory(
    TREE, {"pip:one": Package("pip", "one", "1", ("a", "b")), "pip:two": Package("pip", "two", "1", ("d",))}
)


def run(name: str, *opened: str, probed=(), sees=("open", "stat"), lost=0) -> Run:
    header = RunHeader("tradewind-trace-1", name, "strace", ("x",), "sha256:0", sees=sees, lost=lost)
    return Run(header, Touched(opened=frozenset(opened), probed=frozenset(probed)))


def test_each_run_adds_what_none_before_had():
    joined = join_runs(
        [run("x", "a", "b"), run("y", "c", probed=("d",)), run("z", "a", "d")], TREE, INVENTORY
    )
    assert [(e.run, e.files, e.bytes, e.probed, e.packages) for e in joined.added] == [
        ("x", 2, 30, 0, ("pip:one",)),
        ("y", 1, 0, 1, ()),  # another name of what is counted
        ("z", 1, 40, 0, ("pip:two",)),
    ]
    assert joined.touched.opened == {"a", "b", "c", "d"} and not joined.touched.probed
    assert joined.packages == (("pip:one", ("x", "y", "z")), ("pip:two", ("z",)))
    assert sum(each.bytes for each in joined.added) == TREE.bytes_of(joined.touched.opened)


def test_growth_is_said_to_have_stopped_only_when_the_last_run_added_nothing():
    growing = join_runs([run("x", "a"), run("y", "b")], TREE)
    assert growing.quiet == 0 and "has not stopped growing" in growing.statement
    still = join_runs([run("x", "a"), run("y", "b"), run("z", "a"), run("w", "b")], TREE)
    assert still.quiet == 2 and "the last 2 runs nothing new: it has stopped growing" in still.statement


def test_one_run_proves_nothing_and_none_less():
    assert "is not known" in join_runs([run("x", "a")], TREE).statement
    assert "Nothing was run" in join_runs([], TREE).statement


def test_what_one_tracer_cannot_see_is_not_seen_by_all_and_losses_sum():
    joined = join_runs([run("x", "a", lost=2), run("y", "a", sees=("open",), lost=1)], TREE)
    assert joined.sees == ("open",) and joined.lost == 3 and "3 events were lost" in joined.statement
