"""From a measured tree to the rows of its report."""

from tradewind.audit.bloat.degrees import measured
from tradewind.audit.bloat.pages import TouchedPages, page_bloat
from tradewind.audit.packages import Inventory, Package, Requirement
from tradewind.audit.tracing.events import Run, RunHeader, Touched
from tradewind.audit.trees import Entry, Tree
from tradewind.session.report.audit.data import AuditReport
from tradewind.session.report.audit.page import audit_page
from tradewind.session.report.audit.reading import (
    bloat_section,
    inventory_section,
    runs_section,
    subject_of,
)

TREE = Tree([
    Entry("a.so", "file", 10_000), Entry("b", "file", 300, node=1), Entry("c", "file", 300, node=1),
    Entry("d", "file", 50, layer=1), Entry("l", "link", target="a.so"),
])  # fmt: skip
INVENTORY = Inventory(TREE, {
    "pip:one": Package("pip", "one", "1", ("a.so",),
                       requires=(Requirement(("two",)), Requirement(("gone",)))),
    "pip:two": Package("pip", "two", "2", ("b",), category="ML"),
})  # fmt: skip
OPENED = frozenset({"a.so"})


def run(name, *paths, lost=0):
    header = RunHeader("tradewind-trace-1", name, "strace", ("python3", "x"), "sha256:0", 0, 1.5, lost=lost)
    return Run(header, Touched(opened=frozenset(paths)))


def test_a_measured_tree_becomes_its_rows():
    bloat, graph = measured(INVENTORY, Touched(opened=OPENED))
    pages = page_bloat(TREE, OPENED, [TouchedPages("a.so", 10_000, ((0, 1),))], exact=True)
    section = bloat_section(INVENTORY, bloat, graph, OPENED, pages)
    assert section.whole.degree == bloat.degree and section.whole.bytes == 10_350
    assert [(line.key, line.state, line.chain) for line in section.packages] == [
        ("pip:two", "reachable", ("pip:one", "pip:two")), ("pip:one", "used", ("pip:one",)),
    ]  # fmt: skip
    assert section.unmet == ("pip:one asks for gone",)
    assert [(line.path, line.note) for line in section.removed] == [("b", "2 names"), ("d", "")]
    assert [line.name for line in section.pages] == ["kept", "shared library", "a.so"]
    assert [line.name for line in section.layers] == ["layer 0", "layer 1"]
    subject = subject_of(INVENTORY, "t", "directory")
    assert (subject.bytes, subject.files, subject.links) == (10_350, 3, 1)
    report = AuditReport(title="t", version="0", made=0.0, subject=subject, bloat=section,
                         inventory=inventory_section(INVENTORY))  # fmt: skip
    assert "pip:one" in audit_page(report)


def test_an_inventory_alone_owns_and_leaves():
    section = inventory_section(INVENTORY)
    assert [(line.key, line.bytes, line.degree) for line in section.packages] == [
        ("pip:one", 10_000, 0.0), ("pip:two", 300, 0.0),
    ]  # fmt: skip
    assert section.unowned_bytes == 50 and [line.path for line in section.unowned] == ["d"]


def test_each_run_is_told_with_what_it_added():
    section = runs_section(
        INVENTORY, [run("r", "a.so", "gone"), run("s", "c", "a.so", lost=2), run("t", "b")]
    )
    assert [(line.files, line.bytes, line.new_files, line.new_bytes) for line in section.runs] == [
        (1, 10_000, 1, 10_000), (2, 10_300, 1, 300), (1, 300, 0, 0),
    ]  # fmt: skip
    assert section.runs[1].lost == 2 and section.runs[0].command == "python3 x"
